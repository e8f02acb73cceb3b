//! Leases: a session keeps a lease's keys while its process is alive and connected, and this module ends a lease whose
//! deadline has passed, for the client keeps its sessions alive by itself.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use kvdb_core::{Error, ErrorKind, LeaseId, Result, Retry};
use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use zookeeper::{Client, Error as Cause, MultiWriteError};

use crate::backend::Shared;
use crate::client::reconnected;
use crate::error::{Call, explain, lease_gone, silent};
use crate::path;
use crate::read::{Look, look};

/// Pause between two tries to delete a lease's keys.
const PAUSE: Duration = Duration::from_millis(50);

/// The most keys that one multi deletes, so that it fits a request whatever they are called.
const KEYS_AT_ONCE: usize = 64;

/// A session that leases of one TTL share: servers allow a host 60 connections unless told otherwise.
struct Session {
    client: Client,
    id: i64,
}

/// One lease. It ends once: by its deadline, by `revoke` or with its session.
struct Lease {
    number: i64,
    ttl: Duration,
    session: Arc<Session>,
    deadline: Mutex<Instant>,
    ended: AtomicBool,
    /// Held by writers while they write under the lease, and by who ends it while its keys are deleted.
    writing: Arc<RwLock<()>>,
    /// The leaves that it has or may have.
    keys: Mutex<HashSet<String>>,
}

/// The leases of a handle. `state` is locked for moments only, and may be held while a lease's own locks are taken,
/// never the reverse; a slot is locked while its session is made, so that two leases share one.
#[derive(Default)]
pub(crate) struct Leases {
    state: Mutex<State>,
    /// A deadline came that is earlier than those before.
    changed: Notify,
    slots: Mutex<HashMap<Duration, Slot>>,
}

type Slot = Arc<tokio::sync::Mutex<Weak<Session>>>;

#[derive(Default)]
struct State {
    leases: HashMap<i64, Arc<Lease>>,
    /// The lease of each leaf that has one of ours.
    attached: HashMap<String, i64>,
}

/// A lease that something is being written under.
pub(crate) struct Hold {
    lease: Arc<Lease>,
    dial_timeout: Duration,
}

impl Hold {
    /// Waits for the session's connection and keeps the lease from being ended by our own hand.
    ///
    /// # Errors
    /// `LeaseNotFound` when it has ended; `Unavailable`, safe to repeat.
    pub(crate) async fn writing(&self) -> Result<OwnedRwLockReadGuard<()>> {
        let guard = Arc::clone(&self.lease.writing).read_owned().await;
        let client = &self.lease.session.client;
        reconnected(client, self.dial_timeout).await?;
        match self.lease.is_over() || client.state().is_terminated() {
            true => Err(lease_gone()),
            false => Ok(guard),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.lease.session.client
    }

    pub(crate) fn session(&self) -> i64 {
        self.lease.session.id
    }

    /// From now on the lease may have this key.
    pub(crate) fn expect(&self, leaf: &str) {
        lock(&self.lease.keys).insert(leaf.to_owned());
    }
}

impl Lease {
    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire) || *lock(&self.deadline) <= Instant::now()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Leases {
    fn find(&self, lease: &LeaseId) -> Result<Arc<Lease>> {
        let found = lease.number().and_then(|number| lock(&self.state).leases.get(&number).cloned());
        found.filter(|lease| !lease.is_over()).ok_or_else(lease_gone)
    }

    /// # Errors
    /// `LeaseNotFound`.
    pub(crate) fn hold(&self, lease: &LeaseId, dial_timeout: Duration) -> Result<Hold> {
        self.find(lease).map(|lease| Hold { lease, dial_timeout })
    }

    /// The lease that a leaf of this session has, if it is one of ours.
    pub(crate) fn name(&self, leaf: &str, session: i64) -> Option<i64> {
        let state = lock(&self.state);
        let number = *state.attached.get(leaf)?;
        state.leases.get(&number).is_some_and(|lease| lease.session.id == session).then_some(number)
    }

    pub(crate) fn attach(&self, leaf: &str, hold: &Hold) {
        lock(&self.state).attached.insert(leaf.to_owned(), hold.lease.number);
    }

    pub(crate) fn detach(&self, leaves: impl Iterator<Item = String>) {
        let mut state = lock(&self.state);
        for leaf in leaves {
            if let Some(lease) = state.attached.remove(&leaf).and_then(|number| state.leases.get(&number)) {
                lock(&lease.keys).remove(&leaf);
            }
        }
    }

    /// Takes a lease out, so that nobody finds it any more; `None` if somebody did before.
    fn take(&self, number: i64) -> Option<Arc<Lease>> {
        let lease = lock(&self.state).leases.remove(&number)?;
        lease.ended.store(true, Ordering::Release);
        Some(lease)
    }

    /// Ends every lease by ending its session.
    pub(crate) fn close(&self) {
        let leases: Vec<i64> = lock(&self.state).leases.keys().copied().collect();
        leases.into_iter().for_each(|number| drop(self.take(number)));
    }

    fn slot(&self, ttl: Duration) -> Slot {
        let mut slots = lock(&self.slots);
        // A slot without a session that nobody is about to fill is of a TTL that is not used any more.
        slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|session| session.strong_count() > 0)
        });
        Arc::clone(slots.entry(ttl).or_default())
    }
}

impl Shared {
    /// Grants a lease on the session of its TTL. It counts from the moment at which that session was surely alive.
    pub(crate) async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        let ttl = whole_milliseconds(ttl)?;
        let (min, max) = self.bounds().await?;
        if !(min..=max).contains(&ttl) {
            return Err(clamped((min, max)));
        }
        let slot = self.leases.slot(ttl);
        let (session, alive) = loop {
            let mut place = slot.lock().await;
            if let Some(session) = place.upgrade().filter(|session| !session.client.state().is_terminated()) {
                drop(place);
                let sent = Instant::now();
                match prove_alive(&session.client, sent + ttl, self.sessions.settings.dial_timeout).await {
                    Ok(()) => break (session, sent),
                    Err(error) if *error.kind() == ErrorKind::LeaseNotFound => continue,
                    Err(error) => return Err(error),
                }
            }
            let sent = Instant::now();
            let client = self.sessions.settings.connect(ttl).await?;
            if client.session_timeout() != ttl {
                drop(client);
                // The bounds are others by now.
                return Err(clamped(self.learn_bounds().await?));
            }
            let id = client.session_id().0;
            let session = Arc::new(Session { client, id });
            *place = Arc::downgrade(&session);
            break (session, sent);
        };
        // Positive, so that it reads as its own text.
        let number = (rand::random::<u64>() >> 1).cast_signed();
        let lease = Lease {
            number,
            ttl,
            session,
            deadline: Mutex::new(alive + ttl),
            ended: AtomicBool::new(false),
            writing: Arc::default(),
            keys: Mutex::default(),
        };
        lock(&self.leases.state).leases.insert(number, Arc::new(lease));
        self.leases.changed.notify_one();
        Ok((LeaseId::Number(number), ttl))
    }

    pub(crate) async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        let lease = self.leases.find(lease)?;
        let sent = Instant::now();
        let until = *lock(&lease.deadline);
        let alive = prove_alive(&lease.session.client, until, self.sessions.settings.dial_timeout).await;
        if alive.as_ref().is_err_and(|error| *error.kind() == ErrorKind::LeaseNotFound) {
            // The servers have deleted its keys with its session.
            drop(self.leases.take(lease.number));
        }
        alive?;
        let mut deadline = lock(&lease.deadline);
        // Who ends it has looked at the deadline, too.
        if lease.ended.load(Ordering::Acquire) || *deadline <= Instant::now() {
            return Err(lease_gone());
        }
        *deadline = (*deadline).max(sent + lease.ttl);
        Ok(lease.ttl)
    }

    pub(crate) async fn revoke(self: &Arc<Self>, lease: &LeaseId) -> Result<()> {
        let number = self.leases.find(lease)?.number;
        let lease = self.leases.take(number).ok_or_else(lease_gone)?;
        // To its end, whether the caller waits or not.
        let shared = Arc::clone(self);
        let task = tokio::spawn(async move { shared.delete_keys(&lease).await });
        task.await.map_err(|source| {
            Error::new(ErrorKind::Internal, "the task that deletes a lease's keys ended early")
                .with_retry(Retry::Ambiguous)
                .with_source(source)
        })
    }

    /// Deletes the keys of a lease that was taken out: those that are still its own, in one step where they are not
    /// many. What it cannot reach the servers delete when the session times out.
    async fn delete_keys(&self, lease: &Lease) {
        let _alone = lease.writing.write().await;
        while !lease.session.client.state().is_terminated() {
            let keys: Vec<String> = {
                let state = lock(&self.leases.state);
                let ours = |leaf: &&String| state.attached.get(*leaf).is_none_or(|number| *number == lease.number);
                lock(&lease.keys).iter().filter(ours).take(KEYS_AT_ONCE).cloned().collect()
            };
            if keys.is_empty() {
                return;
            }
            match self.delete_owned(&lease.session, &keys).await {
                Ok(true) => {
                    self.leases.detach(keys.iter().cloned());
                    lock(&lease.keys).retain(|leaf| !keys.contains(leaf));
                }
                Ok(false) => {}
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Deletes those of the leaves that are the session's; false if others changed them meanwhile.
    async fn delete_owned(&self, session: &Session, leaves: &[String]) -> Result<bool> {
        let client = &session.client;
        let keys: Vec<_> = leaves.iter().filter_map(|leaf| path::key(leaf)).collect();
        let mut generations: Vec<String> = keys.iter().map(|key| path::generation(key.as_bytes())).collect();
        generations.sort_unstable();
        generations.dedup();
        let looks: Vec<Look> = generations.iter().chain(leaves).cloned().map(Look::Data).collect();
        let mut found = look(client, &looks, true).await?.found.into_iter().map(|sight| sight.data());
        let versions: Vec<Option<i32>> =
            found.by_ref().take(generations.len()).map(|node| node.map(|(_, stat)| stat.version)).collect();
        let owned: Vec<&String> = leaves
            .iter()
            .zip(found)
            .filter(|(_, node)| node.as_ref().is_some_and(|(_, stat)| stat.ephemeral_owner == session.id))
            .map(|(leaf, _)| leaf)
            .collect();
        if owned.is_empty() {
            return Ok(true);
        }
        let mut writer = client.new_multi_writer();
        for (generation, version) in generations.iter().zip(versions) {
            if version.is_some() {
                writer.add_set_data(generation, b"", version).map_err(|cause| explain(Call::Read, cause))?;
            }
        }
        for leaf in owned {
            writer.add_delete(leaf, None).map_err(|cause| explain(Call::Read, cause))?;
        }
        match writer.commit().await {
            Ok(_) => Ok(true),
            Err(MultiWriteError::OperationFailed { source: Cause::BadVersion | Cause::NoNode, .. }) => Ok(false),
            // Deleting what is ours is harmless a second time.
            Err(error) => Err(explain(Call::Read, error.into())),
        }
    }
}

/// Ends leases at their deadlines, for as long as the handle lives.
pub(crate) async fn reap(shared: Weak<Shared>) {
    loop {
        let Some(alive) = shared.upgrade() else { return };
        let now = Instant::now();
        let (mut due, mut next) = (Vec::new(), None);
        for lease in lock(&alive.leases.state).leases.values() {
            let deadline = *lock(&lease.deadline);
            if deadline <= now {
                due.push(lease.number);
            } else if next.is_none_or(|next| deadline < next) {
                next = Some(deadline);
            }
        }
        for lease in due.into_iter().filter_map(|number| alive.leases.take(number)) {
            let shared = Arc::clone(&alive);
            tokio::spawn(async move { shared.delete_keys(&lease).await });
        }
        let leases = Arc::clone(&alive.leases);
        drop(alive);
        let changed = leases.changed.notified();
        match next {
            Some(next) => tokio::select! {
                () = changed => {}
                () = sleep_until(next) => {}
            },
            None => changed.await,
        }
    }
}

fn clamped((min, max): (Duration, Duration)) -> Error {
    Error::new(ErrorKind::TtlNotSupported { min, max: Some(max) }, "the servers clamp a session's timeout")
}

/// A round trip of the session after this call began.
async fn prove_alive(client: &Client, until: Instant, dial_timeout: Duration) -> Result<()> {
    let asking = async {
        reconnected(client, dial_timeout).await?;
        match client.check_stat("/").await {
            Ok(_) => Ok(()),
            Err(Cause::SessionExpired | Cause::ClientClosed | Cause::AuthFailed) => Err(lease_gone()),
            Err(cause) => Err(explain(Call::Read, cause)),
        }
    };
    timeout_at(until, asking).await.map_err(|_| silent(dial_timeout))?
}

/// Rounded up.
fn whole_milliseconds(ttl: Duration) -> Result<Duration> {
    let milliseconds = ttl.as_nanos().div_ceil(1_000_000);
    let milliseconds = i32::try_from(milliseconds).map_err(|_| Error::invalid("the TTL is too long for a session"))?;
    Ok(Duration::from_millis(milliseconds.unsigned_abs().into()))
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("leases", &lock(&self.state).leases.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_rounded_up_to_milliseconds() {
        for (nanos, milliseconds) in [(1, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(whole_milliseconds(Duration::from_nanos(nanos)).unwrap(), Duration::from_millis(milliseconds));
        }
        assert!(whole_milliseconds(Duration::MAX).is_err());
    }
}
