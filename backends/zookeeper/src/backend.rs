use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::future::join3;
use kvdb_core::options::duration;
use kvdb_core::registry::{BackendFactory, Registration};
use kvdb_core::toolkit::{Gate, check_batch};
use kvdb_core::{
    AdminReply, AdminRequest, Backend, Batch, Capabilities, Feed, Fetched, Key, KeyRange, LeaseId, Limits, Options,
    Outcome, Page, Read, Result, Retry, Scan, WatchSpec,
};
use tokio::task::AbortHandle;

use crate::client::{Sessions, Settings};
use crate::config::{BOUNDS, ZooKeeperConfig};
use crate::lease::{self, Leases};
use crate::{admin, pages, watch};

const CAPABILITIES: Capabilities = Capabilities::LEASES
    .union(Capabilities::ATOMIC_LIST)
    .union(Capabilities::SHARED)
    .union(Capabilities::DURABLE)
    .union(Capabilities::KEY_VERSION)
    .union(Capabilities::MEMBERS);

/// How long asking for a version waits for its answer unless the option `timeout` says otherwise.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the registry knows this store.
pub static FACTORY: BackendFactory = BackendFactory {
    name: "zookeeper",
    aliases: &["zk", "zookeeperv1", "zookeeper-kv"],
    api: "zookeeperv1",
    package: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
    capabilities: CAPABILITIES,
    limits: || ZooKeeperConfig::limits(BOUNDS),
    connect: |endpoints, options| Box::pin(connect(endpoints, options)),
    version: |endpoint, options| Box::pin(version(endpoint, options)),
};

kvdb_core::inventory::submit! { Registration(&FACTORY) }

async fn connect(endpoints: Vec<String>, options: Options) -> Result<Arc<dyn Backend>> {
    let config: ZooKeeperConfig = options.backend_config()?;
    Ok(Arc::new(ZooKeeperBackend::open(&endpoints, &config).await?))
}

async fn version(endpoint: String, options: Options) -> Result<String> {
    let config: ZooKeeperConfig = options.backend_config()?;
    // The engine, which reads this option and refuses a wrong one, does not stand above this call.
    let limit = options.get("timeout").and_then(|text| duration::parse(text).ok()).unwrap_or(PATIENCE);
    admin::version(&Settings::new(&[endpoint], &config)?, limit).await
}

/// A handle of a ZooKeeper ensemble's keys.
///
/// One session carries calls and watches and is made anew when it has ended; leases have a session for each TTL. Nodes
/// that nobody of this library made are no keys: directories may be anybody's.
#[derive(Debug)]
pub struct ZooKeeperBackend {
    shared: Arc<Shared>,
    reaper: AbortHandle,
}

/// What calls, watches and the end of leases share. `bounds` is locked for moments only.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) sessions: Sessions,
    pub(crate) gate: Gate,
    pub(crate) leases: Arc<Leases>,
    /// `None` until a server has told.
    bounds: Mutex<Option<(Duration, Duration)>>,
}

impl Shared {
    fn known_bounds(&self) -> MutexGuard<'_, Option<(Duration, Duration)>> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shortest and the longest timeout of a session, for which a server may have to be asked.
    pub(crate) async fn bounds(&self) -> Result<(Duration, Duration)> {
        let known = *self.known_bounds();
        match known {
            Some(bounds) => Ok(bounds),
            None => self.learn_bounds().await,
        }
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.sessions.settings.endpoints().iter().map(ToString::to_string).collect()
    }

    /// Asks the servers for the bounds.
    pub(crate) async fn learn_bounds(&self) -> Result<(Duration, Duration)> {
        let bounds = self.sessions.settings.ask_bounds().await?;
        *self.known_bounds() = Some(bounds);
        Ok(bounds)
    }
}

impl ZooKeeperBackend {
    /// Opens a session with one of these servers, `127.0.0.1:2181` if there are none, and asks for the bounds of a
    /// session's timeout. That none can be reached is told by the first call.
    ///
    /// # Errors
    /// `InvalidConfig` for options and endpoints that make no sense, before anything is connected; `Unauthenticated`
    /// when a server and we do not take each other's certificates.
    pub async fn open(endpoints: &[String], config: &ZooKeeperConfig) -> Result<Self> {
        let shared = Arc::new(Shared {
            sessions: Sessions::new(Settings::new(endpoints, config)?),
            gate: Gate::default(),
            leases: Arc::default(),
            bounds: Mutex::default(),
        });
        let (bounds, zxid, session) =
            join3(shared.learn_bounds(), admin::last_zxid(&shared.sessions.settings), shared.sessions.client()).await;
        for refusal in [bounds.err(), session.err()].into_iter().flatten() {
            // Without an answer the bounds are those that most servers have, until a grant asks.
            if refusal.retry() == Retry::Never {
                return Err(refusal);
            }
        }
        // What was there before this handle is below the revisions of its first answers.
        shared.sessions.note(zxid.unwrap_or_default());
        let reaper = tokio::spawn(lease::reap(Arc::downgrade(&shared))).abort_handle();
        Ok(Self { shared, reaper })
    }

    fn open_shared(&self) -> Result<&Arc<Shared>> {
        self.shared.gate.check().map(|()| &self.shared)
    }

    fn shut(&self) {
        self.shared.gate.close();
        self.reaper.abort();
        self.shared.leases.close();
        self.shared.sessions.close();
    }
}

impl Drop for ZooKeeperBackend {
    fn drop(&mut self) {
        self.shut();
    }
}

#[async_trait]
impl Backend for ZooKeeperBackend {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn limits(&self) -> Limits {
        ZooKeeperConfig::limits(self.shared.known_bounds().unwrap_or(BOUNDS))
    }

    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        self.open_shared()?.get(key, read).await
    }

    async fn get_together(&self, keys: &[Key]) -> Result<Option<Vec<Fetched>>> {
        self.open_shared()?.get_together(keys).await
    }

    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        let (shared, range, scan) = (Arc::clone(&self.shared), range.clone(), scan.clone());
        pages::list(async move {
            shared.gate.check()?;
            shared.pages(&range, &scan).await
        })
    }

    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        let shared = self.open_shared()?;
        check_batch(batch, &self.limits())?;
        shared.commit(batch).await
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

    /// Lists the members; nothing else of administration is offered.
    async fn admin(&self, request: &AdminRequest) -> Result<AdminReply> {
        admin::admin(self.open_shared()?, request).await
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        vec![("endpoints", self.shared.endpoints().join(","))]
    }

    async fn close(&self) -> Result<()> {
        self.shut();
        Ok(())
    }
}
