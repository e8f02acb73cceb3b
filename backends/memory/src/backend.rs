use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use kvdb_core::registry::{BackendFactory, Registration};
use kvdb_core::toolkit::{self, Clock, Found, Gate, Store, SystemClock, check_batch, check_txn};
use kvdb_core::{
    AtOnce, Backend, Batch, Capabilities, Error, ErrorKind, Feed, Fetched, Key, KeyRange, LeaseId, LeaseInfo, Limits,
    NativeReply, NativeTxn, Options, Outcome, Page, Pin, Read, Result, Revision, Scan, WatchSpec,
};

use crate::config::MemoryConfig;
use crate::core::Core;
use crate::names;

const CAPABILITIES: Capabilities = Capabilities::BINARY_KEYS
    .union(Capabilities::LEASES)
    .union(Capabilities::SHARED_LEASES)
    .union(Capabilities::TTL)
    .union(Capabilities::ORDERED_UPDATES)
    .union(Capabilities::WATCH_RESUME)
    .union(Capabilities::REVISION_READS)
    .union(Capabilities::ATOMIC_LIST)
    .union(Capabilities::LINEARIZABLE_READS)
    .union(Capabilities::DELETE_RANGE)
    .union(Capabilities::NATIVE_TXN)
    .union(Capabilities::COMPACT)
    .union(Capabilities::KEY_VERSION)
    .union(Capabilities::LEASE_INFO);

/// How the registry knows this store.
pub static FACTORY: BackendFactory = BackendFactory {
    name: "mem",
    aliases: &["memory", "memv1", "kv-mem"],
    api: "memv1",
    package: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
    capabilities: CAPABILITIES,
    limits: || MemoryConfig::default().limits(),
    connect: |endpoints, options| Box::pin(async move { connect(&endpoints, &options) }),
    version: |_, _| Box::pin(async { Ok(concat!("memv1 ", env!("CARGO_PKG_VERSION")).to_owned()) }),
};

kvdb_core::inventory::submit! { Registration(&FACTORY) }

fn connect(endpoints: &[String], options: &Options) -> Result<Arc<dyn Backend>> {
    let config: MemoryConfig = options.backend_config()?;
    match endpoints {
        [] => Ok(Arc::new(MemoryBackend::new(&config))),
        [name] if name.is_empty() => Ok(Arc::new(MemoryBackend::new(&config))),
        [name] => Ok(Arc::new(MemoryBackend::named(name, &config))),
        _ => Err(Error::new(ErrorKind::InvalidConfig, "a memory store has one name or none")),
    }
}

/// One handle of a memory store.
///
/// What is written is lost with the last handle; a store opened by name is shared by all handles of that name in the
/// process. Every write is one step under one lock; its revision is exactly the next one.
#[derive(Debug)]
pub struct MemoryBackend {
    core: Arc<Core>,
    gate: Arc<Gate>,
}

impl MemoryBackend {
    /// A store of its own.
    #[must_use]
    pub fn new(config: &MemoryConfig) -> Self {
        Self::with_clock(config, Arc::new(SystemClock::default()))
    }

    /// A store of its own that takes its time from `clock`.
    #[must_use]
    pub fn with_clock(config: &MemoryConfig, clock: Arc<dyn Clock>) -> Self {
        Self { core: Arc::new(Core::new(config, clock)), gate: Arc::default() }
    }

    /// A handle of the store that the process shares by this name; the first handle makes it, with its options.
    #[must_use]
    pub fn named(name: &str, config: &MemoryConfig) -> Self {
        let make = || Core::new(config, Arc::new(SystemClock::default()));
        Self { core: names::shared(name, config.keep, make), gate: Arc::default() }
    }
}

impl Drop for MemoryBackend {
    fn drop(&mut self) {
        self.gate.close();
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn limits(&self) -> Limits {
        self.core.limits().clone()
    }

    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        self.gate.check()?;
        toolkit::get(&*self.core, key, read)
    }

    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        toolkit::list(Arc::clone(&self.core), Arc::clone(&self.gate), range, scan)
    }

    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        self.gate.check()?;
        check_batch(batch, self.core.limits())?;
        if cfg!(kvdb_mutant = "guard_outside_commit") {
            return self.commit_with_guards_outside(batch).await;
        }
        self.core.commit(batch)
    }

    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        toolkit::open_feed(&self.core, &self.gate, spec)
    }

    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        self.gate.check()?;
        let granted = self.core.staged(self.core.clock().now(), |stage| stage.grant(ttl))?;
        self.core.watch_deadlines()?;
        Ok(granted)
    }

    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        self.gate.check()?;
        self.core.staged(self.core.clock().now(), |stage| stage.keep_alive(lease))
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        self.gate.check()?;
        self.core.staged(self.core.clock().now(), |stage| stage.revoke(lease))
    }

    async fn lease_info(&self, lease: &LeaseId) -> Result<LeaseInfo> {
        self.gate.check()?;
        toolkit::lease_info(&*self.core, lease)
    }

    fn at_once(&self) -> Option<&dyn AtOnce> {
        // The seeded bug lies in the path that waits.
        (!cfg!(kvdb_mutant = "guard_outside_commit")).then_some(self)
    }

    async fn native_txn(&self, txn: &NativeTxn) -> Result<NativeReply> {
        self.gate.check()?;
        check_txn(txn, self.core.limits())?;
        self.core.staged(self.core.clock().now(), |stage| {
            stage.txn(txn, |found: &Found<kvdb_core::Bytes>| Ok(found.value.clone()))
        })
    }

    fn pin(&self) -> Option<Pin> {
        toolkit::pin(&*self.core)
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        vec![("store", format!("{:016x}", self.core.id()))]
    }

    async fn compact(&self, before: Revision) -> Result<()> {
        self.gate.check()?;
        self.core.compact(before)
    }

    /// Ends this handle and its watches; a store shared by name goes on for the others.
    async fn close(&self) -> Result<()> {
        self.gate.close();
        Ok(())
    }
}

impl AtOnce for MemoryBackend {
    fn get(&self, key: &Key, read: &Read) -> Option<Result<Fetched>> {
        Some(self.gate.check().and_then(|()| toolkit::get(&*self.core, key, read)))
    }

    fn commit(&self, batch: &Batch) -> Option<Result<Outcome>> {
        let checked = self.gate.check().and_then(|()| check_batch(batch, self.core.limits()));
        Some(checked.and_then(|()| self.core.commit(batch)))
    }
}

impl MemoryBackend {
    /// A seeded bug: between the check of the guards and the write others may write.
    async fn commit_with_guards_outside(&self, batch: &Batch) -> Result<Outcome> {
        let check = Batch { guards: batch.guards.clone(), ops: Vec::new() };
        if self.core.commit(&check)? == Outcome::Conflict {
            return Ok(Outcome::Conflict);
        }
        let mut yielded = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        self.core.commit(&Batch { guards: Vec::new(), ops: batch.ops.clone() })
    }
}
