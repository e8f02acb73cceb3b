use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use kvdb_core::{
    AdminReply, AdminRequest, AtOnce, Backend, Batch, Capabilities, Error, ErrorKind, Feed, Fetched, Key, KeyRange,
    LeaseId, LeaseInfo, Limits, NativeReply, NativeTxn, Outcome, Page, Pin, Read, Result, Revision, Scan, WatchSpec,
};
use tokio::sync::watch;

/// One client's view of a backend that several share: closing it closes this view alone.
#[derive(Debug)]
pub struct Shared {
    inner: Arc<dyn Backend>,
    closed: watch::Sender<bool>,
}

impl Shared {
    /// A view of `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, closed: watch::Sender::new(false) }
    }

    fn open(&self) -> Result<&dyn Backend> {
        if *self.closed.borrow() { Err(closed()) } else { Ok(&*self.inner) }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "this client of the store is closed")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Shared {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        self.open()?.get(key, read).await
    }

    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        match self.open() {
            Ok(inner) => inner.list(range, scan),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        self.open()?.commit(batch).await
    }

    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        let feed = self.open()?.watch(spec).await?;
        let mut signal = self.closed.subscribe();
        // A view that is dropped unclosed lets its feeds live: the sender's end is no closing.
        let end = async move {
            if signal.wait_for(|closed| *closed).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let changes = feed.changes.take_until(end);
        let farewell = self.closed.subscribe();
        let changes = changes.chain(
            stream::once(async move { (*farewell.borrow()).then(|| Err(closed())) }).filter_map(std::future::ready),
        );
        Ok(Feed { revision: feed.revision, changes: changes.boxed() })
    }

    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        self.open()?.grant(ttl).await
    }

    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        self.open()?.keep_alive(lease).await
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        self.open()?.revoke(lease).await
    }

    async fn lease_info(&self, lease: &LeaseId) -> Result<LeaseInfo> {
        self.open()?.lease_info(lease).await
    }

    async fn compact(&self, before: Revision) -> Result<()> {
        self.open()?.compact(before).await
    }

    async fn native_txn(&self, txn: &NativeTxn) -> Result<NativeReply> {
        self.open()?.native_txn(txn).await
    }

    async fn get_together(&self, keys: &[Key]) -> Result<Option<Vec<Fetched>>> {
        self.open()?.get_together(keys).await
    }

    fn pin(&self) -> Option<Pin> {
        self.open().ok()?.pin()
    }

    fn at_once(&self) -> Option<&dyn AtOnce> {
        self.open().ok()?.at_once()
    }

    async fn admin(&self, request: &AdminRequest) -> Result<AdminReply> {
        self.open()?.admin(request).await
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        self.inner.details()
    }

    async fn close(&self) -> Result<()> {
        self.closed.send_replace(true);
        Ok(())
    }
}
