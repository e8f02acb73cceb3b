//! The one decorator: every verb with an interceptor before and after it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{Before, Call, End, Interceptor};
use crate::{
    AdminReply, AdminRequest, CallOptions, Capabilities, DeleteOptions, Deleted, GetOptions, Info, KvPair, Kvdb, Lease,
    LeaseId, LeaseInfo, Limits, ListOptions, ListPage, LockGuard, LockHolder, LockOptions, Operation, Pages,
    PutOptions, Result, Revision, Snapshot, SnapshotOptions, Target, Txn, TxnOp, TxnReply, Watch, WatchOptions,
};

/// A store with an interceptor around it.
#[derive(Debug)]
pub struct Intercepted<I> {
    interceptor: Arc<I>,
    inner: Arc<dyn Kvdb>,
}

impl<I: Interceptor> Intercepted<I> {
    /// Puts the interceptor around the store.
    #[must_use]
    pub fn new(interceptor: Arc<I>, inner: Arc<dyn Kvdb>) -> Self {
        Self { interceptor, inner }
    }

    async fn around<T>(
        &self,
        call: Call<'_>,
        forward: impl Future<Output = Result<T>>,
        look: impl FnOnce(&T) -> End<'static>,
    ) -> Result<T> {
        let explain = |error: crate::Error| {
            let error = error.with_operation(call.operation).with_backend(self.inner.info().backend);
            if call.key.is_empty() { error } else { error.with_key(call.key) }
        };
        let note = match self.interceptor.before(&call) {
            Before::Go(note) => note,
            Before::Refuse(error) => return Err(explain(error)),
            Before::Wait(until) => until.await.map_err(explain)?,
        };
        let result = forward.await;
        let end = match &result {
            Ok(answer) => look(answer),
            Err(error) => End { error: Some(error), ..End::default() },
        };
        self.interceptor.after(note, &call, &end);
        result
    }
}

fn nothing<T>(_: &T) -> End<'static> {
    End::default()
}

fn of_pair(pair: &KvPair) -> End<'static> {
    End { revision: Some(pair.modified_index), ..End::default() }
}

fn at(revision: Revision) -> End<'static> {
    End { revision: Some(revision), ..End::default() }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<I: Interceptor> Kvdb for Intercepted<I> {
    fn info(&self) -> Info {
        self.inner.info()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn get_opts(&self, key: &str, options: GetOptions) -> Result<Option<KvPair>> {
        let look = |pair: &Option<KvPair>| match pair {
            Some(pair) => End { received: pair.value.len(), ..at(pair.kvdb_index) },
            None => End::default(),
        };
        self.around(Call::new(Operation::Get, key), self.inner.get_opts(key, options), look).await
    }

    async fn list_opts(&self, target: Target<'_>, options: ListOptions) -> Result<Pages> {
        // A stream that nobody has read has asked the store nothing: the first page is what tells how the call ends.
        let first_page = async {
            let mut pages = self.inner.list_opts(target, options).await?;
            Ok((pages.next().await.transpose()?, pages))
        };
        let look = |(first, _): &(Option<ListPage>, Pages)| match first {
            Some(page) => End { received: page.pairs.iter().map(|pair| pair.value.len()).sum(), ..at(page.revision) },
            None => End::default(),
        };
        let (first, pages) = self.around(Call::new(Operation::List, target.name()), first_page, look).await?;
        Ok(Pages::new(Box::pin(stream::iter(first.map(Ok)).chain(pages))))
    }

    async fn put_opts(&self, key: &str, value: Bytes, options: PutOptions) -> Result<KvPair> {
        let call = Call { sent: value.len(), ..Call::new(options.operation(), key) };
        self.around(call, self.inner.put_opts(key, value, options), of_pair).await
    }

    async fn delete_opts(&self, target: Target<'_>, options: DeleteOptions) -> Result<Deleted> {
        let operation = match target {
            Target::Key(_) if options.when.is_none() => Operation::Delete,
            Target::Key(_) => Operation::CompareAndDelete,
            _ => Operation::DeleteTree,
        };
        let call = Call::new(operation, target.name());
        self.around(call, self.inner.delete_opts(target, options), |deleted| at(deleted.revision)).await
    }

    async fn txn_opts(&self, txn: Txn, options: CallOptions) -> Result<TxnReply> {
        let sent = txn.then.iter().chain(&txn.otherwise).map(|op| match op {
            TxnOp::Put { value, .. } => value.len(),
            _ => 0,
        });
        let call = Call { sent: sent.sum(), ..Call::new(Operation::Txn, "") };
        self.around(call, self.inner.txn_opts(txn, options), |reply| at(reply.revision)).await
    }

    async fn snapshot_opts(&self, prefixes: &[&str], options: SnapshotOptions) -> Result<Snapshot> {
        let call = Call::new(Operation::Snapshot, prefixes.first().copied().unwrap_or_default());
        self.around(call, self.inner.snapshot_opts(prefixes, options), |snapshot| at(snapshot.revision())).await
    }

    async fn watch_opts(&self, target: Target<'_>, options: WatchOptions) -> Result<Watch> {
        let call = Call::new(Operation::Watch, target.name());
        self.around(call, self.inner.watch_opts(target, options), |watch| at(watch.revision())).await
    }

    async fn lock_opts(&self, name: &str, options: LockOptions) -> Result<LockGuard> {
        let look = |guard: &LockGuard| at(guard.fencing_token());
        self.around(Call::new(Operation::Lock, name), self.inner.lock_opts(name, options), look).await
    }

    async fn unlock_opts(&self, guard: &LockGuard, options: CallOptions) -> Result<()> {
        let call = Call::new(Operation::Unlock, guard.name());
        self.around(call, self.inner.unlock_opts(guard, options), nothing).await
    }

    async fn lock_holder_opts(&self, name: &str, options: CallOptions) -> Result<Option<LockHolder>> {
        let call = Call::new(Operation::LockHolder, name);
        self.around(call, self.inner.lock_holder_opts(name, options), nothing).await
    }

    async fn lease_grant(&self, ttl: Duration, options: CallOptions) -> Result<Lease> {
        self.around(Call::new(Operation::LeaseGrant, ""), self.inner.lease_grant(ttl, options), nothing).await
    }

    async fn lease_keep_alive(&self, lease: &LeaseId, options: CallOptions) -> Result<Duration> {
        let call = Call::new(Operation::LeaseKeepAlive, "");
        self.around(call, self.inner.lease_keep_alive(lease, options), nothing).await
    }

    async fn lease_revoke(&self, lease: &LeaseId, options: CallOptions) -> Result<()> {
        self.around(Call::new(Operation::LeaseRevoke, ""), self.inner.lease_revoke(lease, options), nothing).await
    }

    async fn lease_info(&self, lease: &LeaseId, options: CallOptions) -> Result<LeaseInfo> {
        self.around(Call::new(Operation::LeaseInfo, ""), self.inner.lease_info(lease, options), nothing).await
    }

    async fn compact_opts(&self, before: Revision, options: CallOptions) -> Result<()> {
        self.around(Call::new(Operation::Compact, ""), self.inner.compact_opts(before, options), nothing).await
    }

    async fn admin_opts(&self, request: AdminRequest, options: CallOptions) -> Result<AdminReply> {
        let seen = request.clone();
        let call = Call { admin: Some(&seen), ..Call::new(Operation::Admin, "") };
        self.around(call, self.inner.admin_opts(request, options), nothing).await
    }

    async fn close(&self) -> Result<()> {
        self.around(Call::new(Operation::Close, ""), self.inner.close(), nothing).await
    }
}
