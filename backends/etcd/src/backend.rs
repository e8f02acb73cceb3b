use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use kvdb_core::registry::{BackendFactory, Registration};
use kvdb_core::toolkit::{Gate, check_batch, check_txn};
use kvdb_core::{
    AdminReply, AdminRequest, Backend, Batch, Capabilities, ErrorKind, Feed, Fetched, Key, KeyRange, LeaseId,
    LeaseInfo, Limits, NativeReply, NativeTxn, Options, Outcome, Page, Read, Result, Revision, Scan, WatchSpec,
};
use tokio::sync::watch as signal;

use crate::client::Client;
use crate::config::EtcdConfig;
use crate::convert::number;
use crate::error::{Call, error};
use crate::lease::{self, Leases};
use crate::{admin, commit, limits, list, native, read, version, watch};

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
    .union(Capabilities::USERS)
    .union(Capabilities::MEMBERS)
    .union(Capabilities::KEY_VERSION)
    .union(Capabilities::SHARED)
    .union(Capabilities::DURABLE)
    .union(Capabilities::LEASE_INFO);

/// How the registry knows this store.
pub static FACTORY: BackendFactory = BackendFactory {
    name: "etcdv3",
    aliases: &["etcd", "etcdv3-kv"],
    api: "etcdv3",
    package: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
    capabilities: CAPABILITIES,
    limits: || limits::limits(1),
    connect: |endpoints, options| Box::pin(connect(endpoints, options)),
    version: |endpoint, options| Box::pin(version::version(endpoint, options)),
};

kvdb_core::inventory::submit! { Registration(&FACTORY) }

async fn connect(endpoints: Vec<String>, options: Options) -> Result<Arc<dyn Backend>> {
    let config = EtcdConfig::read(&options)?;
    Ok(Arc::new(EtcdBackend::connect(&endpoints, &config).await?))
}

/// The longest time between two requests for a watch's progress, whatever is configured.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);

/// A handle of an etcd cluster.
///
/// Every verb is one round trip. Nothing is kept in memory but the connection and what was learnt about leases.
#[derive(Debug)]
pub struct EtcdBackend {
    shared: Arc<Shared>,
}

/// What a handle shares with its streams.
pub(crate) struct Shared {
    /// `None` once the handle is closed.
    client: RwLock<Option<Arc<Client>>>,
    closed: signal::Sender<bool>,
    leases: Leases,
    interval: Duration,
}

impl Shared {
    /// The connection.
    ///
    /// # Errors
    /// `Closed`.
    pub(crate) fn client(&self) -> Result<Arc<Client>> {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(Gate::closed_error)
    }

    /// Resolves when the handle is closed.
    pub(crate) async fn closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// How often a quiet watch is asked for its progress.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("client", &self.client().ok()).finish_non_exhaustive()
    }
}

impl EtcdBackend {
    /// Connects to a cluster; no endpoint means the local one.
    ///
    /// # Errors
    /// `InvalidConfig` for endpoints and options that make no sense; with a user `Unauthenticated` and `Unavailable`.
    pub async fn connect(endpoints: &[String], config: &EtcdConfig) -> Result<Self> {
        let client = Client::connect(endpoints, config).await?;
        let shared = Shared {
            client: RwLock::new(Some(Arc::new(client))),
            closed: signal::Sender::new(false),
            leases: Leases::default(),
            interval: config.watch_progress_interval.min(INTERVAL_MAX),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

#[async_trait]
impl Backend for EtcdBackend {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn limits(&self) -> Limits {
        limits::limits(self.shared.leases.shortest())
    }

    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        read::get(&*self.shared.client()?, key, read).await
    }

    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        list::list(&self.shared, range, scan)
    }

    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        let client = self.shared.client()?;
        check_batch(batch, &self.limits())?;
        commit::commit(&client, batch).await
    }

    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        watch::open(&self.shared, spec).await
    }

    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        self.shared.leases.grant(&*self.shared.client()?, ttl).await
    }

    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        self.shared.leases.keep_alive(&*self.shared.client()?, lease).await
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        self.shared.leases.revoke(&*self.shared.client()?, lease).await
    }

    async fn lease_info(&self, lease: &LeaseId) -> Result<LeaseInfo> {
        lease::info(&*self.shared.client()?, lease).await
    }

    async fn compact(&self, before: Revision) -> Result<()> {
        let client = self.shared.client()?;
        if before == Revision::ZERO {
            return Ok(());
        }
        // Compacting twice does what once does.
        let Err(source) = client.kv().compact(number(before), None).await else { return Ok(()) };
        let failed = error(Call::Read, source);
        match failed.kind() {
            ErrorKind::Compacted { .. } => Ok(()),
            ErrorKind::FutureRevision { .. } => Err(read::future(read::at_member(&client).await?)),
            _ => Err(failed),
        }
    }

    async fn native_txn(&self, txn: &NativeTxn) -> Result<NativeReply> {
        let client = self.shared.client()?;
        let limits = self.limits();
        native::check_depth(txn)?;
        check_txn(txn, &limits)?;
        native::check_once(txn)?;
        native::check_size(txn, limits.batch_bytes)?;
        native::run(&client, txn).await
    }

    async fn admin(&self, request: &AdminRequest) -> Result<AdminReply> {
        admin::admin(&*self.shared.client()?, request).await
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let endpoints = self.shared.client().map(|client| client.endpoints().join(","));
        endpoints.map(|endpoints| vec![("endpoints", endpoints)]).unwrap_or_default()
    }

    /// Ends this handle and its watches. The connections end with the last call on them.
    async fn close(&self) -> Result<()> {
        self.shared.client.write().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.closed.send_replace(true);
        Ok(())
    }
}
