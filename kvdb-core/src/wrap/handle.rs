use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;

use crate::engine::Engine;
use crate::{
    AdminReply, AdminRequest, Backend, CallOptions, Capabilities, DeleteOptions, Deleted, FatalCallback, GetOptions,
    Info, KvPair, Kvdb, Lease, LeaseId, LeaseInfo, Limits, ListOptions, LockGuard, LockHolder, LockOptions, Options,
    Pages, PutOptions, Result, Revision, Snapshot, SnapshotOptions, Target, Txn, TxnReply, Watch, WatchOptions,
};

/// An opened store: what `kvdb::new` returns. Cloning is cheap and every clone is the same handle.
///
/// When the last clone is dropped without [`Kvdb::close`], what it held at the store runs out by its leases.
#[derive(Clone, Debug)]
pub struct Handle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    base: Arc<Engine>,
    /// What calls go through: the engine, below whatever wraps it.
    stack: ArcSwap<Stack>,
}

/// A thin pointer for the `ArcSwap`.
#[derive(Debug)]
struct Stack {
    top: Arc<dyn Kvdb>,
}

impl Handle {
    /// Makes a handle of a connected backend, under a domain; `name` is the backend's, for messages.
    ///
    /// # Errors
    /// `InvalidConfig` for options that make no sense, or outside a tokio runtime; `InvalidArgument` for a domain that
    /// is no key.
    pub fn open(name: &'static str, backend: Arc<dyn Backend>, domain: &str, options: &Options) -> Result<Self> {
        let base = Arc::new(Engine::open(name, backend, domain, options)?);
        let stack = ArcSwap::from_pointee(Stack { top: Arc::clone(&base) as Arc<dyn Kvdb> });
        Ok(Self { inner: Arc::new(Inner { base, stack }) })
    }

    /// The store below all wrappers.
    #[must_use]
    pub fn base(&self) -> Arc<dyn Kvdb> {
        Arc::clone(&self.inner.base) as Arc<dyn Kvdb>
    }

    /// Sets what is called when something breaks that no call can report.
    pub fn set_fatal_callback(&self, callback: FatalCallback) {
        self.inner.base.set_fatal_callback(callback);
    }

    /// How long a lock may be held before the fatal callback is called; `None` is for ever.
    #[must_use]
    pub fn lock_hold_duration(&self) -> Option<Duration> {
        self.inner.base.lock_hold()
    }

    /// Sets how long a lock may be held before the fatal callback is called; locks that are held keep their limit.
    pub fn set_lock_hold_duration(&self, hold: Option<Duration>) {
        self.inner.base.set_lock_hold(hold);
    }

    /// How long taking a lock waits unless told otherwise.
    #[must_use]
    pub fn lock_try_duration(&self) -> Duration {
        self.inner.base.lock_wait()
    }

    /// Sets how long taking a lock waits unless told otherwise.
    pub fn set_lock_try_duration(&self, wait: Duration) {
        self.inner.base.set_lock_wait(wait);
    }

    fn top(&self) -> Arc<Stack> {
        self.inner.stack.load_full()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Kvdb for Handle {
    fn info(&self) -> Info {
        self.top().top.info()
    }

    fn capabilities(&self) -> Capabilities {
        self.top().top.capabilities()
    }

    fn limits(&self) -> Limits {
        self.top().top.limits()
    }

    async fn get_opts(&self, key: &str, options: GetOptions) -> Result<Option<KvPair>> {
        self.top().top.get_opts(key, options).await
    }

    async fn list_opts(&self, target: Target<'_>, options: ListOptions) -> Result<Pages> {
        self.top().top.list_opts(target, options).await
    }

    async fn put_opts(&self, key: &str, value: Bytes, options: PutOptions) -> Result<KvPair> {
        self.top().top.put_opts(key, value, options).await
    }

    async fn delete_opts(&self, target: Target<'_>, options: DeleteOptions) -> Result<Deleted> {
        self.top().top.delete_opts(target, options).await
    }

    async fn txn_opts(&self, txn: Txn, options: CallOptions) -> Result<TxnReply> {
        self.top().top.txn_opts(txn, options).await
    }

    async fn snapshot_opts(&self, prefixes: &[&str], options: SnapshotOptions) -> Result<Snapshot> {
        self.top().top.snapshot_opts(prefixes, options).await
    }

    async fn watch_opts(&self, target: Target<'_>, options: WatchOptions) -> Result<Watch> {
        self.top().top.watch_opts(target, options).await
    }

    async fn lock_opts(&self, name: &str, options: LockOptions) -> Result<LockGuard> {
        Ok(self.top().top.lock_opts(name, options).await?.attach(self.clone()))
    }

    async fn unlock_opts(&self, guard: &LockGuard, options: CallOptions) -> Result<()> {
        self.top().top.unlock_opts(guard, options).await
    }

    async fn lock_holder_opts(&self, name: &str, options: CallOptions) -> Result<Option<LockHolder>> {
        self.top().top.lock_holder_opts(name, options).await
    }

    async fn lease_grant(&self, ttl: Duration, options: CallOptions) -> Result<Lease> {
        self.top().top.lease_grant(ttl, options).await
    }

    async fn lease_keep_alive(&self, lease: &LeaseId, options: CallOptions) -> Result<Duration> {
        self.top().top.lease_keep_alive(lease, options).await
    }

    async fn lease_revoke(&self, lease: &LeaseId, options: CallOptions) -> Result<()> {
        self.top().top.lease_revoke(lease, options).await
    }

    async fn lease_info(&self, lease: &LeaseId, options: CallOptions) -> Result<LeaseInfo> {
        self.top().top.lease_info(lease, options).await
    }

    async fn compact_opts(&self, before: Revision, options: CallOptions) -> Result<()> {
        self.top().top.compact_opts(before, options).await
    }

    async fn admin_opts(&self, request: AdminRequest, options: CallOptions) -> Result<AdminReply> {
        self.top().top.admin_opts(request, options).await
    }

    async fn close(&self) -> Result<()> {
        self.top().top.close().await
    }
}
