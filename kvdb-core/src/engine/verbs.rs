//! The engine as a [`Kvdb`]: each verb is done elsewhere; here its error learns what it was about.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::at_once::{GetCall, PutCall};
use super::{Engine, LockGuard, Pages, Watch, closed_error};
use crate::{
    AdminReply, AdminRequest, CallOptions, Capabilities, DeleteOptions, Deleted, Error, ErrorKind, GetOptions, Info,
    KvPair, Kvdb, Lease, LeaseId, LeaseInfo, Limits, ListOptions, LockHolder, LockOptions, Operation, PutOptions,
    Result, Revision, Snapshot, SnapshotOptions, Target, Txn, TxnReply, WatchOptions,
};

/// What an async verb of the trait returns, written out.
type Answer<'f, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'f>>;

impl Engine {
    fn explain<T>(&self, operation: Operation, key: &str, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.shared.explain(operation, key, error))
    }
}

#[async_trait]
impl Kvdb for Engine {
    fn info(&self) -> Info {
        self.shared.info()
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.backend.capabilities()
    }

    fn limits(&self) -> Limits {
        self.shared.backend.limits()
    }

    fn get_opts<'s, 'k, 'f>(&'s self, key: &'k str, options: GetOptions) -> Answer<'f, Option<KvPair>>
    where
        's: 'f,
        'k: 'f,
    {
        Box::pin(GetCall::new(&self.shared, key, options))
    }

    async fn list_opts(&self, target: Target<'_>, options: ListOptions) -> Result<Pages> {
        self.explain(Operation::List, target.name(), self.shared.list(target, options))
    }

    fn put_opts<'s, 'k, 'f>(&'s self, key: &'k str, value: Bytes, options: PutOptions) -> Answer<'f, KvPair>
    where
        's: 'f,
        'k: 'f,
    {
        Box::pin(PutCall::new(&self.shared, key, value, options))
    }

    async fn delete_opts(&self, target: Target<'_>, options: DeleteOptions) -> Result<Deleted> {
        match target {
            Target::Key(key) => {
                let operation = if options.when.is_none() { Operation::Delete } else { Operation::CompareAndDelete };
                let result = self.shared.delete(key, options).await;
                self.explain(operation, key, result)
            }
            _ => {
                let result = self.shared.delete_range(target, options).await;
                self.explain(Operation::DeleteTree, target.name(), result)
            }
        }
    }

    async fn txn_opts(&self, txn: Txn, options: CallOptions) -> Result<TxnReply> {
        let result = self.shared.txn(txn, options).await;
        self.explain(Operation::Txn, "", result)
    }

    async fn snapshot_opts(&self, prefixes: &[&str], options: SnapshotOptions) -> Result<Snapshot> {
        let result = self.shared.snapshot(prefixes, options).await;
        self.explain(Operation::Snapshot, "", result)
    }

    async fn watch_opts(&self, target: Target<'_>, options: WatchOptions) -> Result<Watch> {
        let result = self.shared.watch(target, options).await;
        self.explain(Operation::Watch, target.name(), result)
    }

    async fn lock_opts(&self, name: &str, options: LockOptions) -> Result<LockGuard> {
        let result = self.shared.lock(name, options).await;
        self.explain(Operation::Lock, name, result)
    }

    async fn unlock_opts(&self, guard: &LockGuard, options: CallOptions) -> Result<()> {
        let result = self.shared.unlock(guard, options).await;
        self.explain(Operation::Unlock, guard.name(), result)
    }

    async fn lock_holder_opts(&self, name: &str, options: CallOptions) -> Result<Option<LockHolder>> {
        let result = self.shared.lock_holder(name, options).await;
        self.explain(Operation::LockHolder, name, result)
    }

    async fn lease_grant(&self, ttl: Duration, options: CallOptions) -> Result<Lease> {
        let result = self.shared.lease_grant(ttl, options).await;
        self.explain(Operation::LeaseGrant, "", result)
    }

    async fn lease_keep_alive(&self, lease: &LeaseId, options: CallOptions) -> Result<Duration> {
        let result = self.shared.lease_keep_alive(lease, options).await;
        self.explain(Operation::LeaseKeepAlive, "", result)
    }

    async fn lease_revoke(&self, lease: &LeaseId, options: CallOptions) -> Result<()> {
        let result = self.shared.lease_revoke(lease, options).await;
        self.explain(Operation::LeaseRevoke, "", result)
    }

    async fn lease_info(&self, lease: &LeaseId, options: CallOptions) -> Result<LeaseInfo> {
        let result = self.shared.lease_info(lease, options).await;
        self.explain(Operation::LeaseInfo, "", result)
    }

    async fn compact_opts(&self, before: Revision, options: CallOptions) -> Result<()> {
        let result = self.shared.compact(before, options).await;
        self.explain(Operation::Compact, "", result)
    }

    async fn admin_opts(&self, request: AdminRequest, options: CallOptions) -> Result<AdminReply> {
        let result = self.shared.admin(request, options).await;
        self.explain(Operation::Admin, "", result)
    }

    async fn close(&self) -> Result<()> {
        // To its end, whether the caller waits for it or not.
        let shared = std::sync::Arc::clone(&self.shared);
        let result = match self.shared.runtime.spawn(async move { shared.close().await }).await {
            Ok(result) => result,
            Err(source) => Err(Error::new(ErrorKind::Internal, "the close was cut short").with_source(source)),
        };
        self.explain(Operation::Close, "", result)
    }
}

impl super::Shared {
    async fn compact(&self, before: Revision, options: CallOptions) -> Result<()> {
        self.ensure_open()?;
        self.require(Capabilities::COMPACT)?;
        // Compacting twice does what once does.
        self.deadline(options.timeout).read(|| self.backend.compact(before)).await
    }

    /// Ends what this handle holds at the store, then the backend. A second close is `Closed`.
    async fn close(&self) -> Result<()> {
        if self.closed.send_replace(true) {
            return Err(closed_error());
        }
        let leases = self.keepers.drain().into_iter().chain(self.granted.drain());
        let mut failed = None;
        // One deadline for all: what is not revoked in time runs out by itself.
        let mut deadline = self.deadline(None);
        for lease in leases {
            match deadline.write(|| self.backend.revoke(&lease)).await {
                Err(error) if *error.kind() != ErrorKind::LeaseNotFound => failed = Some(error),
                _ => {}
            }
        }
        // The backend is let go even if a lease could not be: it then runs out by itself.
        self.deadline(None).one(self.backend.close()).await?;
        failed.map_or(Ok(()), Err)
    }
}
