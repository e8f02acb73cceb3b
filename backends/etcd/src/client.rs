//! The connection to a cluster.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{AuthClient, ClusterClient, ConnectOptions, KvClient, LeaseClient, MaintenanceClient, WatchClient};
use http::uri::Scheme;
use kvdb_core::options::Secret;
use kvdb_core::{Error, ErrorKind, Result, Retry};
use tokio::time::{Instant, sleep, timeout_at};

use crate::client_idle::Idle;
use crate::config::EtcdConfig;
use crate::endpoints::{self, Endpoint};
use crate::error::{Call, error};
use crate::router::{Dialling, Router};
use crate::tls::Tls;

/// The pause before authenticating is tried again, as long as no member can be reached.
const PAUSE: Duration = Duration::from_millis(200);

/// One connected client of a cluster, shared by all calls of a handle. Sub-clients are cheap clones.
pub(crate) struct Client {
    inner: etcd_client::Client,
    idle: Idle,
    router: Router,
    access: Access,
}

/// All that a connection to any member of the cluster takes.
#[derive(Clone, Debug)]
struct Access {
    scheme: Scheme,
    dialling: Arc<Dialling>,
    user: Option<(String, Secret)>,
    timeout: Duration,
}

impl Client {
    /// Connects to nothing yet; only with a user it authenticates, and waits for a member to do so.
    ///
    /// # Errors
    /// `InvalidConfig` for endpoints, options and files that make no sense, before anything is connected. With a user
    /// `Unauthenticated` when the cluster does not accept it, `Unavailable` when no member answers within `timeout`.
    pub(crate) async fn connect(endpoints: &[String], config: &EtcdConfig) -> Result<Self> {
        let (access, endpoints) = Access::new(endpoints, config)?;
        let router = Router::new(endpoints, Arc::clone(&access.dialling));
        let inner = access.client(&router).await?;
        Ok(Self { inner, idle: Idle::default(), router, access })
    }

    pub(crate) fn kv(&self) -> KvClient {
        self.inner.kv_client()
    }

    /// For one call whose answer may have any size; [`Client::give_back`] takes it back for the next one.
    pub(crate) fn lend(&self) -> KvClient {
        self.idle.take().unwrap_or_else(|| self.kv().max_decoding_message_size(usize::MAX))
    }

    pub(crate) fn give_back(&self, kv: KvClient) {
        self.idle.give_back(kv);
    }

    /// Watches end when their member loses the leader.
    pub(crate) fn watch(&self) -> WatchClient {
        self.inner.watch_client()
    }

    pub(crate) fn lease(&self) -> LeaseClient {
        self.inner.lease_client()
    }

    pub(crate) fn auth(&self) -> AuthClient {
        self.inner.auth_client()
    }

    pub(crate) fn cluster(&self) -> ClusterClient {
        self.inner.cluster_client()
    }

    /// For a client of one endpoint alone: which member it is about is otherwise the router's choice.
    pub(crate) fn maintenance(&self) -> MaintenanceClient {
        self.inner.maintenance_client()
    }

    /// A client that talks to one endpoint alone, as the same user: for status, defragmentation and whatever is about
    /// one member.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub(crate) async fn alone(&self, endpoint: &str) -> Result<etcd_client::Client> {
        let endpoints = self.access.endpoints(&[endpoint.to_owned()])?;
        self.access.client(&Router::new(endpoints, Arc::clone(&self.access.dialling))).await
    }

    /// Authenticates anew, for streams: calls do so by themselves. Without a user it does nothing.
    ///
    /// # Errors
    /// `Unauthenticated`, or that no member could be reached.
    pub(crate) async fn authenticate(&self) -> Result<()> {
        self.inner.refresh_token().await.map_err(|source| error(Call::Read, source))
    }

    /// Where calls go, with scheme and port.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.router.endpoints()
    }

    /// Sends calls to these endpoints from now on; none means the local one.
    ///
    /// # Errors
    /// `InvalidConfig` for what is no endpoint or has another scheme; then all stays as it was.
    pub(crate) fn set_endpoints(&self, endpoints: Vec<String>) -> Result<()> {
        self.router.set_endpoints(self.access.endpoints(&endpoints)?);
        Ok(())
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoints", &self.endpoints()).finish_non_exhaustive()
    }
}

impl Access {
    fn new(endpoints: &[String], config: &EtcdConfig) -> Result<(Self, Vec<Endpoint>)> {
        config.check_durations()?;
        let scheme = endpoints::scheme(endpoints, config)?;
        let parsed = endpoints::parse(endpoints, &scheme)?;
        let dialling = Arc::new(Dialling {
            tls: Tls::new(&scheme, config)?,
            timeout: config.dial_timeout,
            keep_alive_time: config.keep_alive_time,
            keep_alive_timeout: config.keep_alive_timeout,
        });
        let user = config.user()?.map(|(name, password)| (name.to_owned(), password.clone()));
        Ok((Self { scheme, dialling, user, timeout: config.timeout }, parsed))
    }

    fn endpoints(&self, endpoints: &[String]) -> Result<Vec<Endpoint>> {
        endpoints::parse(endpoints, &self.scheme)
    }

    /// Over a router; with a user it authenticates until the deadline.
    async fn client(&self, router: &Router) -> Result<etcd_client::Client> {
        let deadline = Instant::now() + self.timeout;
        let mut last = None;
        loop {
            let client = etcd_client::Client::from_channel(router.channel(), Some(self.options()));
            let failed = match timeout_at(deadline, client).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(source)) => error(Call::Read, source),
                Err(_) => return Err(last.unwrap_or_else(|| unanswered(self.timeout))),
            };
            if failed.retry() != Retry::Safe || Instant::now() + PAUSE >= deadline {
                return Err(failed);
            }
            last = Some(failed);
            sleep(PAUSE).await;
        }
    }

    fn options(&self) -> ConnectOptions {
        match &self.user {
            None => ConnectOptions::new(),
            Some((name, password)) => {
                ConnectOptions::new().with_user(name, password.reveal()).with_auto_token_refresh(true)
            }
        }
    }
}

/// The error of a cluster that says nothing.
pub(crate) fn unanswered(limit: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("no member answered within {limit:?}"))
}
