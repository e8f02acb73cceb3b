//! HTTP to a set of agents: one that answers is kept, one that does not is left for the next.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvdb_core::{Error, ErrorKind, Result, Retry};
use reqwest::{Method, Url};

use crate::config::{ConsulConfig, Settings};
use crate::error::{Call, garbled, refused, silent, unanswered};
use crate::http::{http, named};

/// How long an agent may take to begin its answer to a read when others could be asked: a new leader is elected in
/// less on a healthy network (3.7 s at worst measured from a leader's death, most of it its discovery).
const HESITATION: Duration = Duration::from_secs(3);

/// How long an answer that has begun may pause.
const STALL: Duration = Duration::from_secs(10);

/// An agent whose answer nobody waits for any more after this long is left for the next.
const SUSPICIOUS: Duration = Duration::from_secs(1);

/// A request, as every agent gets it.
#[derive(Debug)]
pub(crate) struct Request {
    method: Method,
    /// Path and query.
    path: String,
    body: Bytes,
    call: Call,
    /// How long the agent was asked to hold its answer.
    hold: Option<Duration>,
}

impl Request {
    /// Reads.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: Bytes::new(), call: Call::Read, hold: None }
    }

    /// Writes.
    pub(crate) fn put(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method: Method::PUT, path: path.into(), body: body.into(), call: Call::Write, hold: None }
    }

    /// May be sent again without harm.
    pub(crate) fn repeatable(self) -> Self {
        Self { call: Call::Read, ..self }
    }

    /// The agent answers at the latest after this long and a sixteenth of it, which it adds at random.
    pub(crate) fn held(self, hold: Duration) -> Self {
        Self { hold: Some(hold), ..self }
    }
}

/// An answer: 200, 404 or 409.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `X-Consul-Index`, 0 where there is none.
    pub(crate) index: u64,
    pub(crate) body: Bytes,
    call: Call,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|source| garbled(self.call, source))
    }
}

struct Endpoint {
    /// As it was given, without the slash at its end.
    address: String,
    /// The same by the name that its certificate must have.
    base: String,
    http: reqwest::Client,
}

/// The agents of a store and which of them is asked.
struct Pool {
    endpoints: Vec<Endpoint>,
    current: AtomicUsize,
}

/// A store's agents, which may be changed. The lock is held for moments only.
pub(crate) struct Client {
    config: ConsulConfig,
    pool: RwLock<Arc<Pool>>,
    /// `dc=name`.
    datacenter: Option<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.addresses()).finish()
    }
}

impl Pool {
    fn new(config: &ConsulConfig, settings: &Settings) -> Result<Arc<Self>> {
        let shared = match settings.server_name {
            Some(_) => None,
            None => Some(http(config, settings, None)?),
        };
        let endpoints = settings.endpoints.iter().map(|url| {
            let (asked, http) = match (&shared, &settings.server_name) {
                (Some(http), _) => (url.clone(), http.clone()),
                (None, name) => named(config, settings, url, name.as_deref().unwrap_or_default())?,
            };
            let text = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
            Ok(Endpoint { address: text(url), base: text(&asked), http })
        });
        Ok(Arc::new(Self { endpoints: endpoints.collect::<Result<_>>()?, current: AtomicUsize::new(0) }))
    }

    /// Lets the next agent be asked, unless somebody else did so meanwhile.
    fn leave(&self, at: usize) {
        let next = (at + 1) % self.endpoints.len().max(1);
        let _ = self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Client {
    /// Prepares the connections to all endpoints; none is made yet.
    pub(crate) fn new(config: &ConsulConfig, endpoints: &[String]) -> Result<Self> {
        let pool = Pool::new(config, &config.settings(endpoints)?)?;
        let datacenter = config.datacenter.as_ref().map(|name| format!("dc={}", crate::url::encoded(name)));
        Ok(Self { config: config.clone(), pool: RwLock::new(pool), datacenter })
    }

    fn pool(&self) -> Arc<Pool> {
        Arc::clone(&self.pool.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.pool().endpoints.iter().map(|endpoint| endpoint.address.clone()).collect()
    }

    /// Sends later requests to these agents.
    pub(crate) fn set_endpoints(&self, endpoints: &[String]) -> Result<()> {
        if endpoints.is_empty() {
            return Err(Error::invalid("no endpoint is left to talk to; name at least one"));
        }
        let pool = Pool::new(&self.config, &self.config.settings(endpoints)?)?;
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = pool;
        Ok(())
    }

    /// Asks the current agent, and the others in turn where that surely wrote nothing.
    pub(crate) async fn send(&self, request: &Request) -> Result<Reply> {
        let pool = self.pool();
        let mut failure = None;
        for _ in &pool.endpoints {
            let at = pool.current.load(Ordering::Relaxed);
            let Some(endpoint) = pool.endpoints.get(at) else { break };
            let watched = Watched { pool: &pool, at, since: request.hold.is_none().then(Instant::now) };
            let result = self.ask(endpoint, request, pool.endpoints.len() > 1).await;
            watched.answered();
            match result {
                Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NoQuorum) => {
                    pool.leave(at);
                    // One that knows no leader has waited for one as long as the others would.
                    if error.retry() != Retry::Safe || *error.kind() == ErrorKind::NoQuorum {
                        return Err(error);
                    }
                    failure = Some(error);
                }
                result => return result,
            }
        }
        Err(failure.unwrap_or_else(|| Error::new(ErrorKind::InvalidConfig, "there are no endpoints")))
    }

    async fn ask(&self, endpoint: &Endpoint, request: &Request, others: bool) -> Result<Reply> {
        let mut url = format!("{}{}", endpoint.base, request.path);
        if let Some(datacenter) = &self.datacenter {
            url.push(if request.path.contains('?') { '&' } else { '?' });
            url.push_str(datacenter);
        }
        let call = request.call;
        let sent = endpoint.http.request(request.method.clone(), url).body(request.body.clone()).send();
        let limit = match request.hold {
            Some(hold) => Some(hold + hold / 2),
            None if call == Call::Read && others => Some(HESITATION),
            None => None,
        };
        let mut response = within(call, limit, sent).await?;
        let status = response.status().as_u16();
        let index = response.headers().get("X-Consul-Index").and_then(|index| index.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = within(call, Some(STALL), response.chunk()).await? {
            body.extend_from_slice(&chunk);
        }
        match status {
            200 | 404 | 409 => Ok(Reply { status, index: index.unwrap_or(0), body: body.into(), call }),
            _ => Err(refused(call, status, &body)),
        }
    }
}

async fn within<T>(call: Call, limit: Option<Duration>, answer: impl Future<Output = reqwest::Result<T>>) -> Result<T> {
    let answer = match limit {
        Some(limit) => tokio::time::timeout(limit, answer).await.map_err(|_| silent(call, limit))?,
        None => answer.await,
    };
    answer.map_err(|source| unanswered(call, source))
}

/// Notes that a caller gave up waiting for an agent: the deadline of a call is not seen here but by its drop.
struct Watched<'a> {
    pool: &'a Pool,
    at: usize,
    since: Option<Instant>,
}

impl Watched<'_> {
    fn answered(mut self) {
        self.since = None;
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= SUSPICIOUS) {
            self.pool.leave(self.at);
        }
    }
}
