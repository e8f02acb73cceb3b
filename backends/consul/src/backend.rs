use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use kvdb_core::options::duration;
use kvdb_core::registry::{BackendFactory, Registration};
use kvdb_core::toolkit::{Gate, check_batch};
use kvdb_core::{
    AdminReply, AdminRequest, Backend, Batch, Capabilities, Feed, Fetched, Key, KeyRange, LeaseId, Limits, Options,
    Outcome, Page, Read, Result, Scan, WatchSpec,
};

use crate::client::Client;
use crate::config::ConsulConfig;
use crate::highest::Highest;
use crate::marker::Depth;
use crate::seen::Seen;
use crate::{admin, read, watch};

const CAPABILITIES: Capabilities = Capabilities::LEASES
    .union(Capabilities::SHARED_LEASES)
    .union(Capabilities::TTL)
    .union(Capabilities::ATOMIC_LIST)
    .union(Capabilities::LINEARIZABLE_READS)
    .union(Capabilities::SHARED)
    .union(Capabilities::DURABLE)
    .union(Capabilities::MEMBERS);

/// The bounds of a TTL where the servers do not tell theirs: Consul's own defaults.
const BOUNDS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(24 * 3600));

/// How long opening waits for the servers to tell the bounds of a TTL, and asking for a version for its answer unless
/// the option `timeout` says otherwise.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the registry knows this store.
pub static FACTORY: BackendFactory = BackendFactory {
    name: "consul",
    aliases: &["consulv1", "consul-kv"],
    api: "consulv1",
    package: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
    capabilities: CAPABILITIES,
    limits: || ConsulConfig::limits(BOUNDS),
    connect: |endpoints, options| Box::pin(connect(endpoints, options)),
    version: |endpoint, options| Box::pin(version(endpoint, options)),
};

kvdb_core::inventory::submit! { Registration(&FACTORY) }

async fn connect(endpoints: Vec<String>, options: Options) -> Result<Arc<dyn Backend>> {
    let config: ConsulConfig = options.backend_config()?;
    Ok(Arc::new(ConsulBackend::open(&endpoints, &config).await?))
}

async fn version(endpoint: String, options: Options) -> Result<String> {
    let config: ConsulConfig = options.backend_config()?;
    let client = Client::new(&config, &[endpoint])?;
    // The engine, which reads this option and refuses a wrong one, does not stand above this call.
    let limit = options.get("timeout").and_then(|text| duration::parse(text).ok()).unwrap_or(PATIENCE);
    admin::version(&client, limit).await
}

/// A handle of a Consul datacenter's keys.
///
/// Writes are transactions whose every key carries a fresh random number, reads are `consistent`, a lease is a session.
/// Requests go to one agent as long as it answers. Nothing is kept between calls but what was last seen of the keys,
/// which only saves requests.
#[derive(Debug)]
pub struct ConsulBackend(Arc<Shared>);

/// What calls and watches share. `bounds` and what is inside `seen` and `client` are locked for moments only, never
/// together.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) gate: Gate,
    pub(crate) seen: Seen,
    pub(crate) highest: Highest,
    pub(crate) depth: Depth,
    pub(crate) wait: Duration,
    bounds: Mutex<(Duration, Duration)>,
}

impl Shared {
    /// The shortest and the longest TTL.
    pub(crate) fn bounds(&self) -> MutexGuard<'_, (Duration, Duration)> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConsulBackend {
    /// Prepares the connections to these agents, `127.0.0.1:8500` if there are none, and asks for the bounds of a TTL,
    /// for 2 s at most. That the agents cannot be reached is told by the first call.
    ///
    /// # Errors
    /// `InvalidConfig` for options and endpoints that make no sense, before anything is connected.
    pub async fn open(endpoints: &[String], config: &ConsulConfig) -> Result<Self> {
        let client = Client::new(config, endpoints)?;
        let shared = Shared {
            client,
            gate: Gate::default(),
            seen: Seen::default(),
            highest: Highest::default(),
            depth: Depth::default(),
            wait: config.watch_wait,
            bounds: Mutex::new(BOUNDS),
        };
        // Without an answer the defaults hold until a grant is refused.
        let _ = tokio::time::timeout(PATIENCE, shared.ask_bounds()).await;
        Ok(Self(Arc::new(shared)))
    }

    fn open_shared(&self) -> Result<&Arc<Shared>> {
        self.0.gate.check().map(|()| &self.0)
    }
}

impl Drop for ConsulBackend {
    fn drop(&mut self) {
        self.0.gate.close();
    }
}

#[async_trait]
impl Backend for ConsulBackend {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn limits(&self) -> Limits {
        ConsulConfig::limits(*self.0.bounds())
    }

    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        self.open_shared()?.get(key, read).await
    }

    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        let (shared, range, scan) = (Arc::clone(&self.0), range.clone(), scan.clone());
        read::list(async move {
            shared.gate.check()?;
            shared.pages(&range, &scan).await
        })
    }

    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        let shared = self.open_shared()?;
        check_batch(batch, &self.limits())?;
        shared.commit(batch).await
    }

    /// At most 64 keys.
    async fn get_together(&self, keys: &[Key]) -> Result<Option<Vec<Fetched>>> {
        self.open_shared()?.get_together(keys).await
    }

    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        watch::open(self.open_shared()?, spec).await
    }

    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        self.open_shared()?.grant(ttl).await
    }

    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        self.open_shared()?.keep_alive(lease).await
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        self.open_shared()?.revoke(lease).await
    }

    /// Lists the members, which needs `operator:read` and `node:read`, and tells or sets the endpoints; nothing else of
    /// administration is Consul's.
    async fn admin(&self, request: &AdminRequest) -> Result<AdminReply> {
        admin::admin(&self.open_shared()?.client, request).await
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        vec![("endpoints", self.0.client.addresses().join(","))]
    }

    async fn close(&self) -> Result<()> {
        self.0.gate.close();
        Ok(())
    }
}
