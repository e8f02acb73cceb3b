//! The handle as a [`Kvdb`]: every verb goes to the top of its stack.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::Handle;
use crate::{
    AdminReply, AdminRequest, CallOptions, Capabilities, DeleteOptions, Deleted, GetOptions, Info, KvPair, Kvdb, Lease,
    LeaseId, LeaseInfo, Limits, ListOptions, LockGuard, LockHolder, LockOptions, Pages, PutOptions, Result, Revision,
    Snapshot, SnapshotOptions, Target, Txn, TxnReply, Watch, WatchOptions,
};

/// What an async verb of the trait returns, written out.
type Answer<'f, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'f>>;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Kvdb for Handle {
    fn info(&self) -> Info {
        self.top().kvdb.info()
    }

    fn capabilities(&self) -> Capabilities {
        self.top().kvdb.capabilities()
    }

    fn limits(&self) -> Limits {
        self.top().kvdb.limits()
    }

    // Written out for the two hottest verbs: without a wrapper the engine's own future is returned, in its one box.
    fn get_opts<'s, 'k, 'f>(&'s self, key: &'k str, options: GetOptions) -> Answer<'f, Option<KvPair>>
    where
        's: 'f,
        'k: 'f,
    {
        match self.bare() {
            Some(engine) => engine.get_opts(key, options),
            None => {
                let top = self.top();
                Box::pin(async move { top.kvdb.get_opts(key, options).await })
            }
        }
    }

    async fn list_opts(&self, target: Target<'_>, options: ListOptions) -> Result<Pages> {
        self.top().kvdb.list_opts(target, options).await
    }

    fn put_opts<'s, 'k, 'f>(&'s self, key: &'k str, value: Bytes, options: PutOptions) -> Answer<'f, KvPair>
    where
        's: 'f,
        'k: 'f,
    {
        match self.bare() {
            Some(engine) => engine.put_opts(key, value, options),
            None => {
                let top = self.top();
                Box::pin(async move { top.kvdb.put_opts(key, value, options).await })
            }
        }
    }

    async fn delete_opts(&self, target: Target<'_>, options: DeleteOptions) -> Result<Deleted> {
        self.top().kvdb.delete_opts(target, options).await
    }

    async fn txn_opts(&self, txn: Txn, options: CallOptions) -> Result<TxnReply> {
        self.top().kvdb.txn_opts(txn, options).await
    }

    async fn snapshot_opts(&self, prefixes: &[&str], options: SnapshotOptions) -> Result<Snapshot> {
        self.top().kvdb.snapshot_opts(prefixes, options).await
    }

    async fn watch_opts(&self, target: Target<'_>, options: WatchOptions) -> Result<Watch> {
        self.top().kvdb.watch_opts(target, options).await
    }

    async fn lock_opts(&self, name: &str, options: LockOptions) -> Result<LockGuard> {
        Ok(self.top().kvdb.lock_opts(name, options).await?.attach(self.clone()))
    }

    async fn unlock_opts(&self, guard: &LockGuard, options: CallOptions) -> Result<()> {
        self.top().kvdb.unlock_opts(guard, options).await
    }

    async fn lock_holder_opts(&self, name: &str, options: CallOptions) -> Result<Option<LockHolder>> {
        self.top().kvdb.lock_holder_opts(name, options).await
    }

    async fn lease_grant(&self, ttl: Duration, options: CallOptions) -> Result<Lease> {
        self.top().kvdb.lease_grant(ttl, options).await
    }

    async fn lease_keep_alive(&self, lease: &LeaseId, options: CallOptions) -> Result<Duration> {
        self.top().kvdb.lease_keep_alive(lease, options).await
    }

    async fn lease_revoke(&self, lease: &LeaseId, options: CallOptions) -> Result<()> {
        self.top().kvdb.lease_revoke(lease, options).await
    }

    async fn lease_info(&self, lease: &LeaseId, options: CallOptions) -> Result<LeaseInfo> {
        self.top().kvdb.lease_info(lease, options).await
    }

    async fn compact_opts(&self, before: Revision, options: CallOptions) -> Result<()> {
        self.top().kvdb.compact_opts(before, options).await
    }

    async fn admin_opts(&self, request: AdminRequest, options: CallOptions) -> Result<AdminReply> {
        self.top().kvdb.admin_opts(request, options).await
    }

    async fn close(&self) -> Result<()> {
        self.top().kvdb.close().await
    }
}
