//! A real store in memory with one promise taken out.

use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use kvdb::{
    AdminReply, AdminRequest, AtOnce, Backend, Batch, Capabilities, Changes, Error, Feed, Fetched, Guard, Key,
    KeyRange, LeaseId, LeaseInfo, Limits, NativeReply, NativeTxn, Outcome, Page, Pin, Read, Result, Revision, Scan,
    WatchSpec,
};

/// The promise that a store breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// None: the control.
    None,
    /// A watch leaves out its third change.
    DropsAnEvent,
    /// A waiter does not see those who came before it, so that it takes the lock beside them.
    GrantsTwice,
    /// What a lease holds never goes away.
    IgnoresTtl,
    /// A write happens although the key was written since.
    LosesACas,
    /// A store that says it is durable forgets its keys when it is closed.
    Forgets,
}

/// A store with a fault.
#[derive(Debug)]
pub(crate) struct Broken<B> {
    pub(crate) inner: B,
    pub(crate) fault: Fault,
    pub(crate) durable: bool,
}

/// Whether keys of this range are the queue of a lock.
fn is_lock_queue(range: &KeyRange) -> bool {
    let std::ops::Bound::Included(start) = &range.start else { return false };
    start.to_string().contains("_kvdb/lock/")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: Backend> Backend for Broken<B> {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.set(Capabilities::DURABLE, self.durable);
        // So that every write comes as a commit, where the fault is.
        capabilities.remove(Capabilities::NATIVE_TXN);
        capabilities
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        self.inner.get(key, read).await
    }

    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        let pages = self.inner.list(range, scan);
        if self.fault != Fault::GrantsTwice || !is_lock_queue(range) {
            return pages;
        }
        // Whoever asks came last, and sees itself alone.
        let last_alone = |page: Result<Page>| {
            let mut page = page?;
            let last = page.entries.iter().map(|entry| entry.created).max();
            page.entries.retain(|entry| Some(entry.created) == last);
            Ok(page)
        };
        pages.map(last_alone).boxed()
    }

    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        let mut batch = batch.clone();
        if self.fault == Fault::LosesACas {
            batch
                .guards
                .retain(|guard| !matches!(guard, Guard::Unchanged(key, _) if key.to_string().ends_with("/race")));
        }
        self.inner.commit(&batch).await
    }

    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        let mut feed = self.inner.watch(spec).await?;
        if self.fault == Fault::DropsAnEvent {
            let mut seen = 0;
            feed.changes = feed
                .changes
                .filter(move |changes| {
                    let event = matches!(changes, Ok(Changes::Batch { .. }));
                    seen += usize::from(event);
                    std::future::ready(!event || seen != 3)
                })
                .boxed();
        }
        Ok(feed)
    }

    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        if self.fault == Fault::IgnoresTtl {
            let (lease, _) = self.inner.grant(ttl.saturating_add(Duration::from_secs(3600))).await?;
            return Ok((lease, ttl));
        }
        self.inner.grant(ttl).await
    }

    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        self.inner.keep_alive(lease).await
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        self.inner.revoke(lease).await
    }

    async fn lease_info(&self, lease: &LeaseId) -> Result<LeaseInfo> {
        self.inner.lease_info(lease).await
    }

    async fn compact(&self, before: Revision) -> Result<()> {
        self.inner.compact(before).await
    }

    async fn native_txn(&self, _txn: &NativeTxn) -> Result<NativeReply> {
        Err(Error::unsupported(Capabilities::NATIVE_TXN))
    }

    async fn get_together(&self, keys: &[Key]) -> Result<Option<Vec<Fetched>>> {
        self.inner.get_together(keys).await
    }

    fn pin(&self) -> Option<Pin> {
        self.inner.pin()
    }

    fn at_once(&self) -> Option<&dyn AtOnce> {
        // Every call comes to the methods above, where the fault is.
        None
    }

    async fn admin(&self, request: &AdminRequest) -> Result<AdminReply> {
        self.inner.admin(request).await
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        self.inner.details()
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
