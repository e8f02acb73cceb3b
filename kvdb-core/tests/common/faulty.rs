use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use kvdb_core::toolkit::check_batch;
use kvdb_core::{
    Backend, Batch, Capabilities, Changes, Error, ErrorKind, Feed, Fetched, Key, KeyRange, LeaseId, LeaseInfo, Limits,
    NativeReply, NativeTxn, Op, Outcome, Page, Read, Result, Retry, Revision, Scan, WatchSpec,
};
use kvdb_memory::{MemoryBackend, MemoryConfig};
use tokio::sync::mpsc::UnboundedReceiver;

/// A memory store behind a bad line.
#[derive(Debug)]
pub(crate) struct Faulty {
    store: Mutex<Arc<MemoryBackend>>,
    /// The store evaluates transactions itself; without it one is read, chosen and committed, each over the line.
    pub(crate) native: AtomicBool,
    /// So many guards and writes fit into a batch; 0 leaves it to the store.
    pub(crate) batch_ops: AtomicUsize,
    /// Every call that reached the line, by name, watches and keep-alives included.
    pub(crate) calls: Mutex<Vec<&'static str>>,
    /// Every watch that was asked for.
    pub(crate) watches: Mutex<Vec<WatchSpec>>,
    /// So many leases are granted, and the answer is lost.
    pub(crate) lost_grants: AtomicUsize,
    /// So many watches are asked of a member that has seen nothing yet.
    pub(crate) lagging: AtomicUsize,
    /// Nothing is answered, and nothing reaches the store.
    pub(crate) silent: AtomicBool,
    /// So many calls are refused before they are sent.
    pub(crate) refusals: AtomicUsize,
    /// So many commits are lost on their way to the store.
    pub(crate) lost_requests: AtomicUsize,
    /// So many commits are lost to the caller and done right before the next one, which is followed by silence; or
    /// before the read that `late_reads` counts down to.
    pub(crate) late_requests: AtomicUsize,
    /// A late commit is done before this read from now on; 0 is none.
    pub(crate) late_reads: AtomicUsize,
    late: Mutex<Option<Batch>>,
    /// So many commits are done, and their answer is lost.
    pub(crate) lost_answers: AtomicUsize,
    /// So many leases end before anything is attached to them.
    pub(crate) short_leases: AtomicUsize,
    /// What the next watch tells in place of the store's changes; the store then keeps no history.
    pub(crate) script: Mutex<Option<UnboundedReceiver<Changes>>>,
    pub(crate) forgets: AtomicBool,
    /// Once a commit's answer was lost, nothing is answered any more.
    pub(crate) silent_after_answer: AtomicBool,
}

impl Default for Faulty {
    fn default() -> Self {
        Self {
            store: Mutex::new(Arc::new(MemoryBackend::new(&MemoryConfig::default()))),
            native: AtomicBool::default(),
            batch_ops: AtomicUsize::default(),
            calls: Mutex::default(),
            watches: Mutex::default(),
            lost_grants: AtomicUsize::default(),
            lagging: AtomicUsize::default(),
            silent: AtomicBool::default(),
            refusals: AtomicUsize::default(),
            lost_requests: AtomicUsize::default(),
            late_requests: AtomicUsize::default(),
            late_reads: AtomicUsize::default(),
            late: Mutex::default(),
            lost_answers: AtomicUsize::default(),
            short_leases: AtomicUsize::default(),
            script: Mutex::default(),
            forgets: AtomicBool::default(),
            silent_after_answer: AtomicBool::default(),
        }
    }
}

fn take(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection broke").with_retry(Retry::Ambiguous)
}

impl Faulty {
    fn store(&self) -> Arc<MemoryBackend> {
        Arc::clone(&self.store.lock().unwrap())
    }

    /// An operator puts an older state in the place of the store: an empty one.
    pub(crate) fn restore(&self) {
        *self.store.lock().unwrap() = Arc::new(MemoryBackend::new(&MemoryConfig::default()));
    }

    /// What was called since this was asked last.
    pub(crate) fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// Deletes a directory behind every handle's back.
    pub(crate) async fn delete_all(&self, prefix: &str) {
        let ops = vec![Op::DeleteRange { range: KeyRange::prefix(prefix.as_bytes()) }];
        self.store().commit(&Batch { guards: Vec::new(), ops }).await.unwrap();
    }

    /// Does the commit that is late, if one is.
    async fn land(&self) -> Result<bool> {
        let late = self.late.lock().unwrap().take();
        match late {
            Some(late) => self.store().commit(&late).await.map(|_| true),
            None => Ok(false),
        }
    }

    async fn line(&self, call: &'static str) -> Result<()> {
        self.calls.lock().unwrap().push(call);
        if self.silent.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
        if take(&self.refusals) {
            return Err(Error::new(ErrorKind::Unavailable, "no connection"));
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for Faulty {
    fn capabilities(&self) -> Capabilities {
        let lacks = |lacks: bool, capability| if lacks { capability } else { Capabilities::empty() };
        self.store().capabilities()
            - lacks(!self.native.load(Ordering::SeqCst), Capabilities::NATIVE_TXN)
            - lacks(self.forgets.load(Ordering::SeqCst), Capabilities::WATCH_RESUME)
    }

    fn limits(&self) -> Limits {
        let mut limits = self.store().limits();
        match self.batch_ops.load(Ordering::SeqCst) {
            0 => {}
            ops => limits.batch_ops = ops,
        }
        limits
    }

    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        self.line("get").await?;
        if take(&self.late_reads) && self.late_reads.load(Ordering::SeqCst) == 0 {
            self.land().await?;
        }
        self.store().get(key, read).await
    }

    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        self.calls.lock().unwrap().push("list");
        if self.silent.load(Ordering::SeqCst) {
            return stream::pending().boxed();
        }
        if take(&self.refusals) {
            return stream::once(async { Err(Error::new(ErrorKind::Unavailable, "no connection")) }).boxed();
        }
        self.store().list(range, scan)
    }

    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        self.line("commit").await?;
        check_batch(batch, &self.limits())?;
        if take(&self.lost_requests) {
            return Err(lost());
        }
        if self.land().await? {
            self.silent.store(true, Ordering::SeqCst);
        }
        if take(&self.late_requests) {
            *self.late.lock().unwrap() = Some(batch.clone());
            return Err(lost());
        }
        let outcome = self.store().commit(batch).await;
        if take(&self.lost_answers) {
            let silent = self.silent_after_answer.swap(false, Ordering::SeqCst);
            self.silent.fetch_or(silent, Ordering::SeqCst);
            return Err(lost());
        }
        outcome
    }

    async fn native_txn(&self, txn: &NativeTxn) -> Result<NativeReply> {
        self.line("native_txn").await?;
        if take(&self.lost_requests) {
            return Err(lost());
        }
        let reply = self.store().native_txn(txn).await;
        if take(&self.lost_answers) { Err(lost()) } else { reply }
    }

    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        self.line("watch").await?;
        self.watches.lock().unwrap().push(spec.clone());
        if take(&self.lagging) {
            match spec.after {
                Some(_) => return Err(Error::new(ErrorKind::FutureRevision { current: Revision::new(1) }, "not yet")),
                None => {
                    return self
                        .store()
                        .watch(&WatchSpec::new(spec.range.clone(), Some(Revision::new(1)), false))
                        .await
                        .map(|feed| Feed { revision: Revision::new(1), ..feed });
                }
            }
        }
        let feed = self.store().watch(spec).await?;
        let Some(script) = self.script.lock().unwrap().take() else { return Ok(feed) };
        let changes = stream::unfold(script, |mut script| async { Some((Ok(script.recv().await?), script)) });
        Ok(Feed { changes: changes.boxed(), ..feed })
    }

    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        self.line("grant").await?;
        let granted = self.store().grant(ttl).await?;
        if take(&self.lost_grants) {
            return Err(lost());
        }
        if take(&self.short_leases) {
            self.store().revoke(&granted.0).await?;
        }
        Ok(granted)
    }

    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        self.line("keep_alive").await?;
        self.store().keep_alive(lease).await
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        self.line("revoke").await?;
        self.store().revoke(lease).await
    }

    async fn lease_info(&self, lease: &LeaseId) -> Result<LeaseInfo> {
        self.line("lease_info").await?;
        self.store().lease_info(lease).await
    }

    async fn compact(&self, before: Revision) -> Result<()> {
        self.line("compact").await?;
        self.store().compact(before).await
    }

    async fn close(&self) -> Result<()> {
        self.store().close().await
    }
}
