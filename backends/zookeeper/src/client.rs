//! The session that carries calls and watches: made when it is first needed, and anew when it has ended.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select_ok;
use kvdb_core::{Error, Result, Retry};
use rustls::ClientConfig;
use tokio::time::timeout;
use zookeeper::{Acl, Client, SessionState};

use crate::acl;
use crate::config::{ZooKeeperConfig, invalid};
use crate::endpoints::{self, Endpoint};
use crate::error::{Call, explain, silent};
use crate::raw;
use crate::tls::Tls;

/// How servers are reached and who we are.
pub(crate) struct Settings {
    config: ZooKeeperConfig,
    /// Locked for moments only.
    endpoints: RwLock<Vec<Endpoint>>,
    pub(crate) tls: Option<Tls>,
    pub(crate) dial_timeout: Duration,
    pub(crate) session_timeout: Duration,
    /// What every node that is made allows.
    pub(crate) acl: Vec<Acl>,
    credentials: Option<Vec<u8>>,
}

impl Settings {
    /// Reads and checks the options.
    ///
    /// # Errors
    /// `InvalidConfig`.
    pub(crate) fn new(endpoints: &[String], config: &ZooKeeperConfig) -> Result<Self> {
        config.check_durations()?;
        let user = config.user()?;
        let endpoints = endpoints::parse(endpoints, config)?;
        let secure = endpoints.iter().any(|endpoint| endpoint.tls);
        Ok(Self {
            tls: secure.then(|| Tls::new(config)).transpose()?,
            config: config.clone(),
            endpoints: RwLock::new(endpoints),
            dial_timeout: config.dial_timeout,
            session_timeout: config.session_timeout,
            acl: acl::of(user),
            credentials: user.map(|(name, password)| acl::credentials(name, password)),
        })
    }

    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// # Errors
    /// `InvalidConfig`; the endpoints are then as before.
    pub(crate) fn set_endpoints(&self, endpoints: &[String]) -> Result<()> {
        if endpoints.is_empty() {
            return Err(Error::invalid("name one endpoint at least"));
        }
        let endpoints = endpoints::parse(endpoints, &self.config)?;
        if endpoints.iter().any(|endpoint| endpoint.tls != self.tls.is_some()) {
            return Err(invalid("the endpoints are not http or https as those before"));
        }
        *self.endpoints.write().unwrap_or_else(PoisonError::into_inner) = endpoints;
        Ok(())
    }

    pub(crate) fn tls_config(&self) -> Option<&Arc<ClientConfig>> {
        self.tls.as_ref().map(|tls| &tls.config)
    }

    /// Opens a session with this timeout, by the first server that lets us in.
    ///
    /// # Errors
    /// `Unavailable` when none does, after twice `dial_timeout` for each at the latest; `Unauthenticated` when
    /// certificates are the reason.
    pub(crate) async fn connect(&self, session_timeout: Duration) -> Result<Client> {
        let mut connector = Client::connector()
            .with_fail_eagerly()
            .with_session_timeout(session_timeout)
            .with_connection_timeout(self.dial_timeout);
        if let Some(credentials) = &self.credentials {
            connector = connector.with_auth(acl::SCHEME, credentials);
        }
        if let Some(tls) = &self.tls {
            connector = connector.with_tls(tls.options.clone());
        }
        let endpoints = self.endpoints();
        let tries = u32::try_from(endpoints.len()).unwrap_or(u32::MAX).saturating_mul(2);
        let limit = self.dial_timeout.saturating_mul(tries);
        let cluster = endpoints::cluster(&endpoints);
        let cause = match timeout(limit, connector.connect(&cluster)).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(cause)) => cause,
            Err(_) => return Err(silent(limit)),
        };
        // The client does not tell why.
        match self.ask_timeout(session_timeout).await {
            Err(error) if error.retry() == Retry::Never => Err(error),
            _ => Err(explain(Call::Read, cause)),
        }
    }

    /// What the first server that answers grants of a session's timeout; all are asked at once.
    async fn ask_timeout(&self, wanted: Duration) -> Result<Duration> {
        let endpoints = self.endpoints();
        let ask = |endpoint| raw::granted_timeout(endpoint, self.tls_config(), wanted, self.dial_timeout).boxed();
        select_ok(endpoints.iter().map(ask)).await.map(|(granted, _)| granted)
    }

    /// The shortest and the longest timeout that the servers grant.
    pub(crate) async fn ask_bounds(&self) -> Result<(Duration, Duration)> {
        let (least, most) = (Duration::from_millis(1), Duration::from_millis(i32::MAX as u64));
        futures_util::future::try_join(self.ask_timeout(least), self.ask_timeout(most)).await
    }
}

/// Shows no secret.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.endpoints().iter().map(ToString::to_string)).finish()
    }
}

/// The session of a handle. `current` is locked for moments only, also while `making` is held.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) settings: Settings,
    current: Mutex<Option<Arc<Client>>>,
    making: tokio::sync::Mutex<()>,
    seen: AtomicI64,
}

impl Sessions {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, current: Mutex::default(), making: tokio::sync::Mutex::default(), seen: AtomicI64::new(1) }
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Client>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client that is connected. One that has ended is made anew, once for all callers.
    ///
    /// # Errors
    /// `Unavailable`, always safe to repeat: nothing was sent.
    pub(crate) async fn client(&self) -> Result<Arc<Client>> {
        loop {
            let current = self.current().clone();
            match current {
                Some(client) if client.state() == SessionState::SyncConnected => return Ok(client),
                Some(client) if !client.state().is_terminated() => {
                    reconnected(&client, self.settings.dial_timeout).await?
                }
                _ => self.make().await?,
            }
        }
    }

    async fn make(&self) -> Result<()> {
        let _one = self.making.lock().await;
        if self.current().as_ref().is_some_and(|client| !client.state().is_terminated()) {
            return Ok(());
        }
        let client = self.settings.connect(self.settings.session_timeout).await?;
        *self.current() = Some(Arc::new(client));
        Ok(())
    }

    /// Ends the session once no call and no watch uses it.
    pub(crate) fn close(&self) {
        self.current().take();
    }

    /// Notes a transaction that an answer showed.
    pub(crate) fn note(&self, zxid: i64) {
        self.seen.fetch_max(zxid, Ordering::Relaxed);
    }

    /// The last transaction that any answer showed. What is read after a sync that begins now has it.
    pub(crate) fn seen(&self) -> i64 {
        self.seen.load(Ordering::Relaxed)
    }
}

/// Waits until a client is connected or has ended. What is sent meanwhile would wait too, and arrive when nobody expects
/// it any more.
pub(crate) async fn reconnected(client: &Client, limit: Duration) -> Result<()> {
    let mut states = client.state_watcher();
    let connected = async {
        while client.state() == SessionState::Disconnected {
            states.changed().await;
        }
    };
    timeout(limit, connected).await.map_err(|_| silent(limit))
}

/// The answer to a request of the client.
pub(crate) async fn answer<T>(call: Call, request: impl Future<Output = Result<T, zookeeper::Error>>) -> Result<T> {
    request.await.map_err(|cause| explain(call, cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb_core::Secret;

    #[test]
    fn no_secret_is_shown() {
        let config = ZooKeeperConfig {
            username: Some("me".into()),
            password: Some(Secret::new("hunter2")),
            ..ZooKeeperConfig::default()
        };
        let sessions = Sessions::new(Settings::new(&["h:1".to_owned()], &config).unwrap());
        let shown = format!("{sessions:?}");
        assert!(shown.contains("h:1") && !shown.contains("hunter2"), "{shown}");
    }
}
