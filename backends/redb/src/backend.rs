use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use kvdb_core::registry::{BackendFactory, Registration};
use kvdb_core::toolkit::{self, Clock, Gate, SystemClock, check_batch, check_txn};
use kvdb_core::{
    AtOnce, Backend, Batch, Capabilities, Error, ErrorKind, Feed, Fetched, Key, KeyRange, LeaseId, LeaseInfo, Limits,
    NativeReply, NativeTxn, Options, Outcome, Page, Pin, Read, Result, Revision, Scan, WatchSpec,
};
use redb::StorageBackend;

use crate::config::RedbConfig;
use crate::core::Core;
use crate::file;
use crate::format::FORMAT;
use crate::request::Request;
use crate::writer::{self, Thread};

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
    .union(Capabilities::LEASE_INFO)
    .union(Capabilities::DURABLE);

/// The file of a store whose path nobody gave.
const DEFAULT_PATH: &str = "./kvdb.redb";

/// How the registry knows this store.
pub static FACTORY: BackendFactory = BackendFactory {
    name: "redb",
    aliases: &["file", "boltv1", "bolt-kv"],
    api: "boltv1",
    package: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
    capabilities: CAPABILITIES,
    limits: || RedbConfig::default().limits(),
    connect: |endpoints, options| Box::pin(connect(endpoints, options)),
    version: |_, _| Box::pin(async { Ok(concat!("boltv1 ", env!("CARGO_PKG_VERSION")).to_owned()) }),
};

kvdb_core::inventory::submit! { Registration(&FACTORY) }

async fn connect(endpoints: Vec<String>, options: Options) -> Result<Arc<dyn Backend>> {
    let config: RedbConfig = options.backend_config()?;
    let path = match endpoints.as_slice() {
        [] => DEFAULT_PATH,
        [path] if path.is_empty() => DEFAULT_PATH,
        [path] => path,
        _ => return Err(Error::new(ErrorKind::InvalidConfig, "a file store has one path")),
    };
    Ok(Arc::new(RedbBackend::open(path, config).await?))
}

/// The only handle of a store in a file.
///
/// Writes go to one thread, which makes one transaction of everything that waits; each is on disk before its answer,
/// its revision is exactly the next one, and readers and watches see it only then. Keys are in memory, values are
/// read from the file. An error of the disk ends the store until it is opened again: nothing is acknowledged after it.
///
/// Dropping the handle lets the thread finish what waits and close the file; [`Backend::close`] waits for that.
#[derive(Debug)]
pub struct RedbBackend {
    core: Arc<Core>,
    gate: Arc<Gate>,
    thread: Thread,
}

impl RedbBackend {
    /// Opens the store in the file at `path`, or makes one there, readable by this user alone. Its directory must
    /// exist.
    ///
    /// # Errors
    /// `AlreadyOpen` when another handle or process has the file; `Corrupt` for a damaged or foreign file, which is
    /// left as it is; `InvalidConfig`, `PermissionDenied`, `StorageFull` and `Unavailable` as the system says. All
    /// name the file.
    pub async fn open(path: impl AsRef<Path>, config: RedbConfig) -> Result<Self> {
        Self::open_with_clock(path, config, Arc::new(SystemClock::default())).await
    }

    /// As [`RedbBackend::open`], with the time taken from `clock`.
    ///
    /// # Errors
    /// Those of [`RedbBackend::open`].
    pub async fn open_with_clock(path: impl AsRef<Path>, config: RedbConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let path: PathBuf = path.as_ref().to_owned();
        let (cache, at) = (config.cache_bytes, path.clone());
        Self::start(move || file::open(&at, cache), Some(path), config, clock).await
    }

    /// Opens the store in a storage that is not a file, such as one that fails on purpose.
    ///
    /// # Errors
    /// Those of [`RedbBackend::open`], as the storage says.
    pub async fn open_with(storage: impl StorageBackend, config: RedbConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let cache = config.cache_bytes;
        Self::start(move || file::open_with(storage, cache), None, config, clock).await
    }

    async fn start(
        open: impl FnOnce() -> Result<redb::Database, crate::error::Failure> + Send + 'static,
        path: Option<PathBuf>,
        config: RedbConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let (core, thread) = writer::start(open, path, config, clock).await?;
        Ok(Self { core, gate: Arc::default(), thread })
    }
}

impl Drop for RedbBackend {
    fn drop(&mut self) {
        self.gate.close();
        // Not joined: a drop must not wait for the disk.
        drop(self.thread.end(&self.core));
    }
}

#[async_trait]
impl Backend for RedbBackend {
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
        self.core.commit(batch).await
    }

    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        toolkit::open_feed(&self.core, &self.gate, spec)
    }

    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        self.gate.check()?;
        self.core.ask(|reply| Request::Grant { ttl, reply }).await
    }

    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        self.gate.check()?;
        self.core.ask(|reply| Request::KeepAlive { lease: lease.clone(), reply }).await
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        self.gate.check()?;
        self.core.ask(|reply| Request::Revoke { lease: lease.clone(), reply }).await
    }

    async fn lease_info(&self, lease: &LeaseId) -> Result<LeaseInfo> {
        self.gate.check()?;
        toolkit::lease_info(&*self.core, lease)
    }

    fn at_once(&self) -> Option<&dyn AtOnce> {
        Some(self)
    }

    async fn native_txn(&self, txn: &NativeTxn) -> Result<NativeReply> {
        self.gate.check()?;
        check_txn(txn, self.core.limits())?;
        self.core.txn(txn).await
    }

    fn pin(&self) -> Option<Pin> {
        toolkit::pin(&*self.core)
    }

    async fn compact(&self, before: Revision) -> Result<()> {
        self.gate.check()?;
        self.core.ask(|reply| Request::Compact { before, reply }).await
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let facts = self.core.facts();
        let mut details = vec![
            ("store", format!("{:032x}", facts.store)),
            ("epoch", facts.epoch.to_string()),
            ("format", FORMAT.to_string()),
        ];
        if let Some(path) = &facts.path {
            details.insert(0, ("path", path.clone()));
        }
        details
    }

    /// Finishes what waits, closes the file and lets go of its lock.
    async fn close(&self) -> Result<()> {
        self.gate.close();
        if let Some(handle) = self.thread.end(&self.core) {
            let joined = tokio::task::spawn_blocking(move || handle.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                return Err(Error::new(ErrorKind::Internal, "the writer thread broke off: report this"));
            }
        }
        Ok(())
    }
}

impl AtOnce for RedbBackend {
    fn get(&self, key: &Key, read: &Read) -> Option<Result<Fetched>> {
        Some(self.gate.check().and_then(|()| toolkit::get(&*self.core, key, read)))
    }

    /// A write waits for the disk.
    fn commit(&self, _batch: &Batch) -> Option<Result<Outcome>> {
        None
    }
}
