use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use kvdb_core::{
    AdminReply, AdminRequest, AtOnce, Backend, Batch, Capabilities, Error, Feed, Fetched, Key, KeyRange, LeaseId,
    LeaseInfo, Limits, NativeReply, NativeTxn, Outcome, Page, Pin, Read, Result, Revision, Scan, WatchSpec,
};
use tokio::sync::oneshot;

/// A call that the engine made.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// `get` of a key.
    Get(Key),
    /// `list` of a range.
    List(KeyRange),
    /// `commit` of a batch.
    Commit(Batch),
    /// `native_txn`.
    NativeTxn(NativeTxn),
    /// `watch`.
    Watch(WatchSpec),
    /// `grant`.
    Grant(Duration),
    /// `keep_alive`.
    KeepAlive(LeaseId),
    /// `revoke`.
    Revoke(LeaseId),
    /// `lease_info`.
    LeaseInfo(LeaseId),
    /// `compact`.
    Compact(Revision),
    /// `admin`.
    Admin,
    /// `close`.
    Close,
}

/// What befalls a call.
#[derive(Debug)]
pub enum Fault {
    /// Nothing.
    None,
    /// It waits so long, then goes on.
    Delay(Duration),
    /// It reaches the store, but its answer never comes.
    Swallow,
    /// It never reaches the store and no answer comes.
    Stall,
    /// It never reaches the store; this is the answer.
    Refuse(Error),
    /// It is carried out; this is the answer all the same.
    LoseReply(Error),
    /// This is the answer at once; a commit or native transaction is carried out once `go` is sent, which `done` then
    /// tells. Any other call, and one whose `go` is dropped, never is.
    Late {
        /// The answer.
        answer: Error,
        /// What lets it arrive.
        go: oneshot::Receiver<()>,
        /// Tells that it has arrived.
        done: oneshot::Sender<()>,
    },
}

type Plan = Mutex<Box<dyn FnMut(&Call) -> Fault + Send>>;

/// The real store behind a line on which calls are delayed, lost or refused, and recorded.
pub struct Faulty {
    inner: Arc<dyn Backend>,
    plan: Plan,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({:?})", self.inner)
    }
}

impl Faulty {
    /// `plan` is asked about each call before it is made.
    pub fn new(inner: Arc<dyn Backend>, plan: impl FnMut(&Call) -> Fault + Send + 'static) -> Self {
        Self { inner, plan: Mutex::new(Box::new(plan)), calls: Arc::default() }
    }

    /// Every call is carried out and recorded.
    #[must_use]
    pub fn recording(inner: Arc<dyn Backend>) -> Self {
        Self::new(inner, |_| Fault::None)
    }

    /// Where the calls are recorded, in order.
    #[must_use]
    pub fn calls(&self) -> Arc<Mutex<Vec<Call>>> {
        Arc::clone(&self.calls)
    }

    fn fault(&self, call: Call) -> Fault {
        let fault = self.plan.lock().unwrap_or_else(PoisonError::into_inner)(&call);
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        fault
    }

    /// A call that may arrive late.
    async fn through_or_late<T: Send + 'static>(&self, call: Call, made: BoxFuture<'static, Result<T>>) -> Result<T> {
        match self.fault(call) {
            Fault::Late { answer, go, done } => {
                tokio::spawn(async move {
                    if go.await.is_ok() {
                        drop(made.await);
                        let _ = done.send(());
                    }
                });
                Err(answer)
            }
            fault => through(fault, made).await,
        }
    }

    async fn through<T: Send>(&self, call: Call, made: impl Future<Output = Result<T>> + Send) -> Result<T> {
        through(self.fault(call), made).await
    }
}

async fn through<T: Send>(fault: Fault, made: impl Future<Output = Result<T>> + Send) -> Result<T> {
    match fault {
        Fault::None => made.await,
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            made.await
        }
        Fault::Swallow => {
            drop(made.await);
            std::future::pending().await
        }
        Fault::Stall => std::future::pending().await,
        Fault::Refuse(error) | Fault::Late { answer: error, .. } => Err(error),
        Fault::LoseReply(error) => {
            drop(made.await);
            Err(error)
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        self.through(Call::Get(key.clone()), self.inner.get(key, read)).await
    }

    /// The fault befalls the first page.
    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        let fault = self.fault(Call::List(range.clone()));
        let mut pages = self.inner.list(range, scan);
        stream::once(async move {
            let first = through(fault, async { pages.next().await.transpose() }).await;
            let rest = if first.is_ok() { pages } else { stream::empty().boxed() };
            stream::iter(first.transpose()).chain(rest)
        })
        .flatten()
        .boxed()
    }

    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        let (inner, batch) = (Arc::clone(&self.inner), batch.clone());
        self.through_or_late(Call::Commit(batch.clone()), Box::pin(async move { inner.commit(&batch).await })).await
    }

    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        self.through(Call::Watch(spec.clone()), self.inner.watch(spec)).await
    }

    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        self.through(Call::Grant(ttl), self.inner.grant(ttl)).await
    }

    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        self.through(Call::KeepAlive(lease.clone()), self.inner.keep_alive(lease)).await
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        self.through(Call::Revoke(lease.clone()), self.inner.revoke(lease)).await
    }

    async fn lease_info(&self, lease: &LeaseId) -> Result<LeaseInfo> {
        self.through(Call::LeaseInfo(lease.clone()), self.inner.lease_info(lease)).await
    }

    async fn compact(&self, before: Revision) -> Result<()> {
        self.through(Call::Compact(before), self.inner.compact(before)).await
    }

    async fn native_txn(&self, txn: &NativeTxn) -> Result<NativeReply> {
        let (inner, txn) = (Arc::clone(&self.inner), txn.clone());
        self.through_or_late(Call::NativeTxn(txn.clone()), Box::pin(async move { inner.native_txn(&txn).await })).await
    }

    /// Each key is read by itself, which is where something may befall it.
    async fn get_together(&self, _keys: &[Key]) -> Result<Option<Vec<Fetched>>> {
        Ok(None)
    }

    /// It asks nobody, so that nothing can befall it.
    fn pin(&self) -> Option<Pin> {
        self.inner.pin()
    }

    /// What befalls a call takes time.
    fn at_once(&self) -> Option<&dyn AtOnce> {
        None
    }

    async fn admin(&self, request: &AdminRequest) -> Result<AdminReply> {
        self.through(Call::Admin, self.inner.admin(request)).await
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        self.inner.details()
    }

    async fn close(&self) -> Result<()> {
        self.through(Call::Close, self.inner.close()).await
    }
}
