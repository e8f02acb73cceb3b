//! Leases. A grant, a keep-alive and a look may be repeated without harm: a lease without keys runs out by itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::LeaseTimeToLiveOptions;
use kvdb_core::{Error, ErrorKind, Key, LeaseId, LeaseInfo, Result};

use crate::client::Client;
use crate::convert::{lease_number, no_lease};
use crate::error::{Call, error};

/// How many leases' times to live are remembered; with more they are learnt anew.
const REMEMBERED: usize = 1024;

/// What was learnt about leases.
#[derive(Debug)]
pub(crate) struct Leases {
    /// The shortest time to live that the server grants, in seconds.
    shortest: AtomicU64,
    /// The times to live of leases that were kept alive. A lease's time never changes.
    known: Mutex<HashMap<i64, Duration>>,
}

impl Default for Leases {
    fn default() -> Self {
        Self { shortest: AtomicU64::new(1), known: Mutex::default() }
    }
}

impl Leases {
    pub(crate) fn shortest(&self) -> u64 {
        self.shortest.load(Ordering::Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<i64, Duration>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants whole seconds, at least one. What the server made longer tells its minimum: 1.5 election timeouts,
    /// rounded up.
    pub(crate) async fn grant(&self, client: &Client, ttl: Duration) -> Result<(LeaseId, Duration)> {
        let whole = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0)).max(1);
        let seconds = i64::try_from(whole).unwrap_or(i64::MAX);
        let answer = client.lease().grant(seconds, None).await.map_err(|source| error(Call::Read, source))?.0;
        let granted = u64::try_from(answer.ttl).unwrap_or_default();
        if granted > whole {
            self.shortest.fetch_max(granted, Ordering::Relaxed);
        }
        Ok((LeaseId::Number(answer.id), Duration::from_secs(granted)))
    }

    pub(crate) async fn keep_alive(&self, client: &Client, lease: &LeaseId) -> Result<Duration> {
        let number = lease_number(lease).ok_or_else(|| no_lease(lease))?;
        let kept = self.kept_alive(client, number).await;
        match kept {
            Ok(Some(ttl)) => Ok(ttl),
            Ok(None) => {
                self.known().remove(&number);
                Err(no_lease(lease))
            }
            Err(error) => Err(error),
        }
    }

    /// The client swallows the first answer of a stream, which has the time to live: where that is not known yet a
    /// second one tells it.
    async fn kept_alive(&self, client: &Client, lease: i64) -> Result<Option<Duration>> {
        let broken = |source| error(Call::Read, source);
        let (mut keeper, mut answers) = match client.lease().keep_alive(lease).await {
            Ok(stream) => stream,
            Err(etcd_client::Error::LeaseKeepAliveError(_)) => return Ok(None),
            Err(etcd_client::Error::WatchError(_)) => return Err(ended()),
            Err(source) => return Err(broken(source)),
        };
        if let Some(ttl) = self.known().get(&lease) {
            return Ok(Some(*ttl));
        }
        if keeper.keep_alive().await.is_err() {
            return Err(ended());
        }
        let answer = answers.message().await.map_err(broken)?.ok_or_else(ended)?;
        let ttl = u64::try_from(answer.ttl()).ok().filter(|ttl| *ttl > 0).map(Duration::from_secs);
        if let Some(ttl) = ttl {
            let mut known = self.known();
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(lease, ttl);
        }
        Ok(ttl)
    }

    pub(crate) async fn revoke(&self, client: &Client, lease: &LeaseId) -> Result<()> {
        let number = lease_number(lease).ok_or_else(|| no_lease(lease))?;
        client.lease().revoke(number).await.map_err(|source| error(Call::Write, source))?;
        self.known().remove(&number);
        Ok(())
    }
}

/// What is left of a lease, and its keys.
pub(crate) async fn info(client: &Client, lease: &LeaseId) -> Result<LeaseInfo> {
    let number = lease_number(lease).ok_or_else(|| no_lease(lease))?;
    let options = LeaseTimeToLiveOptions::new().with_keys();
    let answer = client.lease().time_to_live(number, Some(options)).await;
    let answer = answer.map_err(|source| error(Call::Read, source))?.0;
    // A lease that is gone has the time to live -1, and was granted none.
    if answer.granted_ttl <= 0 {
        return Err(no_lease(lease));
    }
    let seconds = |ttl: i64| Duration::from_secs(u64::try_from(ttl).unwrap_or_default());
    let mut keys: Vec<Key> = answer.keys.into_iter().map(Key::new).collect();
    keys.sort();
    let keys = keys.iter().map(Key::to_string).collect();
    Ok(LeaseInfo::new(seconds(answer.granted_ttl), seconds(answer.ttl), keys))
}

fn ended() -> Error {
    Error::new(ErrorKind::Unavailable, "etcd ended the keep-alive")
}
