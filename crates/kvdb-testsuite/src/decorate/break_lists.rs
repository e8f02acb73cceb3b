use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use kvdb_core::{
    AdminReply, AdminRequest, AtOnce, Backend, Batch, Capabilities, Error, ErrorKind, Feed, Fetched, Key, KeyRange,
    LeaseId, LeaseInfo, Limits, NativeReply, NativeTxn, Outcome, Page, Pin, Read, Result, Revision, Scan, WatchSpec,
};

/// The real store whose listings break off with an error after some pages.
#[derive(Debug)]
pub struct BreakLists {
    inner: Arc<dyn Backend>,
    pages: usize,
    kind: ErrorKind,
}

impl BreakLists {
    /// Every listing breaks off with an error of this kind after so many pages.
    #[must_use]
    pub fn after_pages(inner: Arc<dyn Backend>, pages: usize, kind: ErrorKind) -> Self {
        Self { inner, pages, kind }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for BreakLists {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        self.inner.get(key, read).await
    }

    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        let broken = Error::new(self.kind.clone(), "broken off for the trial");
        self.inner.list(range, scan).take(self.pages).chain(stream::iter([Err(broken)])).boxed()
    }

    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        self.inner.commit(batch).await
    }

    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        self.inner.watch(spec).await
    }

    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
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

    async fn native_txn(&self, txn: &NativeTxn) -> Result<NativeReply> {
        self.inner.native_txn(txn).await
    }

    fn pin(&self) -> Option<Pin> {
        self.inner.pin()
    }

    fn at_once(&self) -> Option<&dyn AtOnce> {
        self.inner.at_once()
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
