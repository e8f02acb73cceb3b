use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use kvdb_core::{
    Backend, Batch, Capabilities, Changes, Error, ErrorKind, Feed, Fetched, Key, KeyRange, LeaseId, LeaseInfo, Limits,
    Outcome, Page, Read, Result, Retry, Revision, Scan, WatchSpec,
};
use kvdb_memory::{MemoryBackend, MemoryConfig};
use tokio::sync::mpsc::UnboundedReceiver;

/// A memory store behind a bad line.
#[derive(Debug)]
pub(crate) struct Faulty {
    store: MemoryBackend,
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
            store: MemoryBackend::new(&MemoryConfig::default()),
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
    /// Does the commit that is late, if one is.
    async fn land(&self) -> Result<bool> {
        let late = self.late.lock().unwrap().take();
        match late {
            Some(late) => self.store.commit(&late).await.map(|_| true),
            None => Ok(false),
        }
    }

    async fn line(&self) -> Result<()> {
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
        // Without it a transaction is read, chosen and committed, each over the line.
        let history =
            if self.forgets.load(Ordering::SeqCst) { Capabilities::WATCH_RESUME } else { Capabilities::empty() };
        self.store.capabilities() - Capabilities::NATIVE_TXN - history
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        self.line().await?;
        if take(&self.late_reads) && self.late_reads.load(Ordering::SeqCst) == 0 {
            self.land().await?;
        }
        self.store.get(key, read).await
    }

    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        if self.silent.load(Ordering::SeqCst) {
            return stream::pending().boxed();
        }
        if take(&self.refusals) {
            return stream::once(async { Err(Error::new(ErrorKind::Unavailable, "no connection")) }).boxed();
        }
        self.store.list(range, scan)
    }

    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        self.line().await?;
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
        let outcome = self.store.commit(batch).await;
        if take(&self.lost_answers) {
            let silent = self.silent_after_answer.swap(false, Ordering::SeqCst);
            self.silent.fetch_or(silent, Ordering::SeqCst);
            return Err(lost());
        }
        outcome
    }

    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        self.line().await?;
        let feed = self.store.watch(spec).await?;
        let Some(script) = self.script.lock().unwrap().take() else { return Ok(feed) };
        let changes = stream::unfold(script, |mut script| async { Some((Ok(script.recv().await?), script)) });
        Ok(Feed { changes: changes.boxed(), ..feed })
    }

    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        self.line().await?;
        let granted = self.store.grant(ttl).await?;
        if take(&self.short_leases) {
            self.store.revoke(&granted.0).await?;
        }
        Ok(granted)
    }

    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        self.line().await?;
        self.store.keep_alive(lease).await
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        self.line().await?;
        self.store.revoke(lease).await
    }

    async fn lease_info(&self, lease: &LeaseId) -> Result<LeaseInfo> {
        self.line().await?;
        self.store.lease_info(lease).await
    }

    async fn compact(&self, before: Revision) -> Result<()> {
        self.line().await?;
        self.store.compact(before).await
    }

    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}
