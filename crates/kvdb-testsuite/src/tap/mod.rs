//! A backend decorator over a real store: it records what the engine asks for and, on demand, fails calls, breaks
//! feeds or hides history, so that what the engine promises can be seen from below.

mod faults;
mod feed;
mod record;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use kvdb_core::{
    AdminReply, AdminRequest, Backend, Batch, Capabilities, Feed, Fetched, Handle, Key, KeyRange, LeaseId, LeaseInfo,
    Limits, NativeReply, NativeTxn, Options, Outcome, Page, Pin, Read, Result, Revision, Scan, WatchSpec,
};

use crate::Ctx;

pub(crate) use faults::{Call, Faults};
pub(crate) use record::Record;

/// A real store with a tap: every call goes through [`Faults`] and is written down in [`Record`].
///
/// Closing it leaves the real store open, so that several handles can share one.
#[derive(Debug)]
pub(crate) struct Tap {
    store: Arc<dyn Backend>,
    without: Capabilities,
    clamp: Mutex<Option<Duration>>,
    pub(crate) faults: Faults,
    pub(crate) record: Record,
}

impl Tap {
    /// The store as it is, until a fault is switched on.
    pub(crate) fn new(store: Arc<dyn Backend>) -> Arc<Self> {
        Self::without(store, Capabilities::empty())
    }

    /// The store as if it lacked some capabilities. Without WATCH_RESUME it really forgets history: no watch starts
    /// before the present. Without ORDERED_UPDATES its feeds are atomic cuts.
    pub(crate) fn without(store: Arc<dyn Backend>, without: Capabilities) -> Arc<Self> {
        Arc::new(Self { store, without, clamp: Mutex::default(), faults: Faults::default(), record: Record::default() })
    }

    /// Grants this time to live from now on, whatever is asked for, as a server with bounds of its own does.
    pub(crate) fn clamp(&self, ttl: Duration) {
        *self.clamp.lock().unwrap_or_else(PoisonError::into_inner) = Some(ttl);
    }

    /// A handle on the trial's domain over the store with a tap.
    pub(crate) async fn open(ctx: &Ctx, options: Options) -> Result<(Handle, Arc<Self>)> {
        Self::new(ctx.backend().await?).serve(ctx, options)
    }

    /// A handle on the trial's domain over this tap.
    pub(crate) fn serve(self: Arc<Self>, ctx: &Ctx, options: Options) -> Result<(Handle, Arc<Self>)> {
        Ok((ctx.handle(Arc::clone(&self) as Arc<dyn Backend>, ctx.domain(), options)?, self))
    }
}

#[async_trait]
impl Backend for Tap {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities() - self.without
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        self.record.read();
        self.faults.pass(Call::Get).await?;
        self.store.get(key, read).await
    }

    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        self.record.read();
        match self.faults.refuse(Call::List) {
            Some(error) => Box::pin(futures_util::stream::once(std::future::ready(Err(error)))),
            None => self.store.list(range, scan),
        }
    }

    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        self.faults.pass(Call::Commit).await?;
        let outcome = self.store.commit(batch).await?;
        self.record.committed(batch);
        self.faults.pass(Call::CommitReply).await?;
        Ok(outcome)
    }

    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        self.faults.pass(Call::Watch).await?;
        let feed = if self.without.contains(Capabilities::WATCH_RESUME) {
            feed::forgetful(&self.store, spec).await?
        } else {
            self.store.watch(spec).await?
        };
        self.record.watched(spec);
        let feed = if self.without.contains(Capabilities::ORDERED_UPDATES) { feed::cutting(feed) } else { feed };
        Ok(feed::breakable(feed::counted(feed, &self.record.held), &self.faults, &self.record))
    }

    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        self.faults.pass(Call::Grant).await?;
        let clamp = *self.clamp.lock().unwrap_or_else(PoisonError::into_inner);
        let granted = self.store.grant(clamp.unwrap_or(ttl)).await?;
        self.record.granted(&granted.0, granted.1);
        self.faults.pass(Call::GrantReply).await?;
        Ok(granted)
    }

    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        self.faults.pass(Call::KeepAlive).await?;
        let ttl = self.store.keep_alive(lease).await?;
        self.record.kept(lease);
        Ok(ttl)
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        self.faults.pass(Call::Revoke).await?;
        let revoked = self.store.revoke(lease).await;
        self.record.revoked(lease);
        revoked
    }

    async fn lease_info(&self, lease: &LeaseId) -> Result<LeaseInfo> {
        self.store.lease_info(lease).await
    }

    async fn compact(&self, before: Revision) -> Result<()> {
        self.faults.pass(Call::Compact).await?;
        self.store.compact(before).await
    }

    async fn native_txn(&self, txn: &NativeTxn) -> Result<NativeReply> {
        self.faults.pass(Call::Commit).await?;
        let reply = self.store.native_txn(txn).await?;
        self.faults.pass(Call::CommitReply).await?;
        Ok(reply)
    }

    /// A store that forgets history keeps none for a snapshot either.
    fn pin(&self) -> Option<Pin> {
        if self.without.contains(Capabilities::WATCH_RESUME) { None } else { self.store.pin() }
    }

    async fn admin(&self, request: &AdminRequest) -> Result<AdminReply> {
        self.store.admin(request).await
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        self.store.details()
    }
}
