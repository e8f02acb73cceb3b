//! Locks: a caller's way through the queue. The holder is the waiter with the lowest created index, which is also its
//! fencing token. Each waiter watches the one before it alone, so that a release wakes one.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::deadline::{Deadline, later};
use super::keeper::Share;
use super::lock_call::{Forsaken, ToTheEnd};
use super::lock_guard::{Held, LockGuard};
use super::lock_ids::unique;
use super::lock_queue::{Changed, Place, Queue};
use super::{Shared, closed_error};
use crate::{
    CallOptions, Capabilities, Entry, Error, ErrorKind, Fetched, KvAction, LockHolder, LockOptions, Result, Retry,
};

/// What a waiter's key holds.
#[derive(Serialize, Deserialize)]
struct Ticket {
    id: String,
    /// Milliseconds since 1970 by the waiter's clock.
    since: u64,
}

/// One waiter in the queue.
struct Waiter {
    entry: Entry,
    share: Share,
}

/// How a waiter knows that it is the first of the queue.
enum First {
    /// It was listed so.
    Listed,
    /// The only one before it left.
    Deduced,
}

/// A request for a lock. It runs to its end: a caller that goes away cannot leave it half done.
struct Request {
    shared: Arc<Shared>,
    name: String,
    directory: String,
    id: String,
    ttl: Duration,
    hold: Option<Duration>,
    timeout: Duration,
    until: Instant,
    wait: Duration,
}

impl Shared {
    pub(super) async fn lock(self: &Arc<Self>, name: &str, options: LockOptions) -> Result<LockGuard> {
        self.ensure_open()?;
        self.require(Capabilities::LEASES)?;
        let directory = self.domain.lock_directory(name)?;
        let ttl = options.ttl.unwrap_or(self.lock_ttl);
        self.check_ttl(ttl)?;
        let (wait, hold) = {
            let settings = self.settings();
            (
                options.wait.unwrap_or(settings.lock_wait),
                options.hold.or(settings.lock_hold).filter(|hold| !hold.is_zero()),
            )
        };
        let request = Request {
            shared: Arc::clone(self),
            name: name.to_owned(),
            directory,
            id: options.id.unwrap_or_else(unique),
            ttl,
            hold,
            timeout: options.timeout.unwrap_or(self.timeout),
            until: later(wait),
            wait,
        };
        self.check_key_size(&Place::new(&request.directory, &unique()).void)?;
        ToTheEnd::new(&self.runtime, |forsaken| request.run(forsaken)).await
    }

    pub(super) async fn lock_holder(self: &Arc<Self>, name: &str, options: CallOptions) -> Result<Option<LockHolder>> {
        self.ensure_open()?;
        let directory = self.domain.lock_directory(name)?;
        let queue = self.queue(&directory, self.deadline(options.timeout)).await?;
        queue.waiters.first().map(holder).transpose()
    }
}

impl Request {
    async fn run(self, forsaken: Forsaken) -> Result<LockGuard> {
        let (waiter, queue) = self.enqueue().await?;
        let outcome = tokio::select! {
            biased;
            _ = forsaken => Err(Error::new(ErrorKind::Closed, "nobody waits for the lock any more")),
            () = self.shared.until_closed() => Err(closed_error()),
            () = waiter.share.keeper.until_lost() => Err(lease_lost()),
            turn = self.turn(&waiter, queue) => turn,
            () = tokio::time::sleep_until(self.until) => self.last_look(&waiter).await,
        };
        match outcome {
            // A guard that nobody takes any more releases itself by its drop.
            Ok(first) => Ok(self.guard(waiter, matches!(first, First::Deduced))),
            Err(error) => {
                self.undo(&waiter).await;
                Err(error)
            }
        }
    }

    /// Puts a waiter into the queue, to the end: the key is there, or surely never will be for long.
    async fn enqueue(&self) -> Result<(Waiter, Option<Queue>)> {
        let ticket = Ticket { id: self.id.clone(), since: milliseconds(SystemTime::now()) };
        let value: Bytes = serde_json::to_vec(&ticket)
            .map_err(|source| {
                Error::new(ErrorKind::Serialization, "the lock's id has no JSON form").with_source(source)
            })?
            .into();
        // A TTL shorter than a round trip never lasts until the write.
        let mut lives = 2_u32;
        let mut deadline = Deadline::new(self.timeout);
        loop {
            let share = self.shared.keeper(self.ttl, &mut deadline).await?;
            let place = Place::new(&self.directory, &self.shared.waiter_ids.take());
            let lease = &share.keeper.lease;
            let error = match self.shared.enqueue(&self.directory, &place, &value, lease, &mut deadline).await {
                Ok((entry, queue)) => return Ok((Waiter { entry, share }, queue)),
                Err(error) => error,
            };
            if *error.kind() == ErrorKind::LeaseNotFound {
                // The store has ended the lease: whoever else holds it need not wait to be told.
                share.keeper.lose();
                lives = lives.checked_sub(1).ok_or_else(lease_lost)?;
                deadline = deadline.renewed();
                continue;
            }
            if error.retry() != Retry::Ambiguous {
                return Err(error);
            }
            let in_time = *error.kind() != ErrorKind::Timeout;
            // The key is unique: whoever finds it has found our own write.
            if in_time
                && let Ok(Fetched { entry: Some(entry), .. }) = self.shared.fetch(&place.waiter, &mut deadline).await
            {
                return Ok((Waiter { entry, share }, None));
            }
            // It may be on its way still. It is kept from the queue, and the next try stands there under another name.
            self.shared.janitor.void(place, lease.clone());
            if !in_time {
                return Err(error);
            }
            deadline.pause(error).await?;
        }
    }

    /// Resolves when the waiter is the first of the queue, which may be known as it was right after the enqueue.
    ///
    /// Whoever is listed behind the enqueue cannot come before it any more. So once the only one before it was deleted
    /// it is the first without another look, unless it was deleted itself: then the guard learns that it is lost.
    async fn turn(&self, waiter: &Waiter, mut known: Option<Queue>) -> Result<First> {
        loop {
            let queue = match known.take() {
                Some(queue) => queue,
                None => self.shared.queue(&self.directory, Deadline::new(self.timeout)).await?,
            };
            if !queue.waiters.iter().any(|other| other.key == waiter.entry.key) {
                return Err(lease_lost());
            }
            let place = queue.waiters.iter().take_while(|other| other.created < waiter.entry.created).count();
            let before = place.checked_sub(1).and_then(|before| queue.waiters.get(before));
            let Some(before) = before else { return Ok(First::Listed) };
            if self.wait.is_zero() {
                return Err(taken(queue.waiters.first(), self.wait));
            }
            let changed = self.shared.until_changed(&before.key, before.modified, queue.revision).await;
            self.shared.ensure_open()?;
            if changed == Changed::Deleted && place == 1 && waiter.share.keeper.is_alive() {
                return Ok(First::Deduced);
            }
        }
    }

    /// When the wait is over: who holds the lock, unless it is ours by now. A store that cannot be reached is named as
    /// such.
    async fn last_look(&self, waiter: &Waiter) -> Result<First> {
        let limit = self.timeout.min(Duration::from_secs(2));
        let queue = self.shared.queue(&self.directory, Deadline::new(limit)).await.map_err(|error| {
            if *error.kind() == ErrorKind::Timeout {
                return Error::new(ErrorKind::Unavailable, "the store did not say who holds the lock")
                    .with_source(error);
            }
            error
        })?;
        match queue.waiters.first() {
            Some(first) if first.key == waiter.entry.key => Ok(First::Listed),
            first => Err(taken(first, self.wait)),
        }
    }

    /// Leaves the queue: soon, or by the janitor once the store can be reached.
    async fn undo(&self, waiter: &Waiter) {
        let mut deadline = Deadline::new(self.timeout.min(Duration::from_secs(2)));
        let (key, token) = (&waiter.entry.key, waiter.entry.modified);
        if !self.shared.is_closed() && self.shared.leave_queue(key, token, &mut deadline).await.is_err() {
            self.shared.janitor.delete(key.clone(), token);
        }
    }

    fn guard(self, waiter: Waiter, deduced: bool) -> LockGuard {
        let mut pair = crate::KvPair::new(self.name.clone(), waiter.entry.value.clone());
        pair.action = KvAction::Create;
        pair.created_index = waiter.entry.created;
        pair.modified_index = waiter.entry.modified;
        pair.kvdb_index = waiter.entry.modified;
        pair.lease = waiter.entry.lease.clone();
        pair.version = waiter.entry.version;
        pair.ttl = Some(self.ttl);
        let key = (waiter.entry.key, waiter.entry.modified);
        LockGuard::new(Held::new(self.shared, key, waiter.share, pair, self.hold, deduced), self.id)
    }
}

fn holder(first: &Entry) -> Result<LockHolder> {
    let ticket: Ticket = serde_json::from_slice(&first.value).map_err(|source| {
        Error::new(ErrorKind::InvalidLock, "what stands in the lock's queue was not written by this library")
            .with_source(source)
    })?;
    Ok(LockHolder { id: ticket.id, since: UNIX_EPOCH + Duration::from_millis(ticket.since), token: first.created })
}

fn taken(first: Option<&Entry>, wait: Duration) -> Error {
    let holder = first.and_then(|first| holder(first).ok()).map(|holder| holder.id);
    let who = holder.as_ref().map_or("somebody else".to_owned(), |id| format!("`{}`", id.escape_debug()));
    let waited = if wait.is_zero() { "not waited for".to_owned() } else { format!("not free within {wait:?}") };
    Error::new(ErrorKind::LockTimeout { holder }, format!("{who} holds it; {waited}"))
}

fn lease_lost() -> Error {
    Error::new(ErrorKind::LockLost, "the lease ran out while waiting; take the lock again").with_retry(Retry::Safe)
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
