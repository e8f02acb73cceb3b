//! Locks: a caller's way through the queue. The holder is the waiter with the lowest created index, which is also its
//! fencing token; of a lock that several may hold at once, see [`super::lock_stand`].

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::deadline::{Deadline, later};
use super::keeper::Share;
use super::lock_call::{Forsaken, ToTheEnd, Withdrawn};
use super::lock_guard::{Held, LockGuard};
use super::lock_ids::unique;
use super::lock_queue::{Place, Queue};
use super::lock_stand::{Stand, lease_lost};
use super::lock_ticket as ticket;
use super::lock_wait::Changed;
use super::{Shared, closed_error};
use crate::{
    Bytes, CallOptions, Capabilities, Entry, Error, ErrorKind, Fetched, KvAction, LockHolder, LockMode, LockOptions,
    Result, Retry,
};

/// One waiter in the queue.
struct Waiter {
    entry: Entry,
    share: Share,
}

/// How a waiter knows that its turn has come.
enum Turn {
    /// It was listed so.
    Listed,
    /// Those it waited for left.
    Deduced,
}

/// A request for a lock. It runs to its end: a caller that goes away cannot leave it half done.
pub(super) struct Request {
    shared: Arc<Shared>,
    name: String,
    directory: String,
    id: String,
    ttl: Duration,
    hold: Option<Duration>,
    timeout: Duration,
    until: Instant,
    wait: Duration,
    mode: LockMode,
    ticket: Bytes,
    withdrawn: Withdrawn,
}

impl Shared {
    pub(super) async fn lock(self: &Arc<Self>, name: &str, options: LockOptions) -> Result<LockGuard> {
        let request = self.lock_request(name, options)?;
        ToTheEnd::new(&self.runtime, |forsaken| request.run(forsaken)).await
    }

    /// A request that the store may take; it is not asked.
    pub(super) fn lock_request(self: &Arc<Self>, name: &str, options: LockOptions) -> Result<Request> {
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
        let id = options.id.unwrap_or_else(unique);
        let request = Request {
            shared: Arc::clone(self),
            name: name.to_owned(),
            directory,
            ticket: ticket::write(&id, options.mode, &options.value)?,
            id,
            ttl,
            hold,
            timeout: options.timeout.unwrap_or(self.timeout),
            until: later(wait),
            wait,
            mode: options.mode,
            withdrawn: options.withdrawn,
        };
        self.check_put_size(&Place::new(&request.directory, &unique()).void, &request.ticket)?;
        Ok(request)
    }

    pub(super) async fn lock_holder(self: &Arc<Self>, name: &str, options: CallOptions) -> Result<Option<LockHolder>> {
        self.ensure_open()?;
        let directory = self.domain.lock_directory(name)?;
        let queue = self.queue(&directory, self.deadline(options.timeout)).await?;
        queue.waiters.first().map(ticket::read).transpose()
    }
}

impl Request {
    async fn run(self, forsaken: Forsaken) -> Result<LockGuard> {
        let (waiter, queue) = self.enqueue().await?;
        let outcome = tokio::select! {
            biased;
            _ = forsaken => Err(Error::new(ErrorKind::Closed, "nobody waits for the lock any more")),
            () = self.withdrawn.until() => Err(Error::new(ErrorKind::LockTimeout { holder: None }, "it was given up")),
            () = self.shared.until_closed() => Err(closed_error()),
            () = waiter.share.keeper.until_lost() => Err(lease_lost()),
            turn = self.turn(&waiter, queue) => turn,
            () = tokio::time::sleep_until(self.until) => self.last_look(&waiter).await,
        };
        match outcome {
            // A guard that nobody takes any more releases itself by its drop.
            Ok(turn) => Ok(self.guard(waiter, matches!(turn, Turn::Deduced))),
            Err(error) => match self.undo(&waiter).await {
                // Who has withdrawn wants to know whether the key is gone.
                Err(left) if self.withdrawn.is_given() => Err(left),
                _ => Err(error),
            },
        }
    }

    /// Puts a waiter into the queue, to the end: the key is there, or surely never will be for long.
    async fn enqueue(&self) -> Result<(Waiter, Option<Queue>)> {
        // A TTL shorter than a round trip never lasts until the write.
        let mut lives = 2_u32;
        let mut deadline = Deadline::new(self.timeout);
        loop {
            let share = self.shared.keeper(self.ttl, &mut deadline).await?;
            let place = Place::new(&self.directory, &self.shared.waiter_ids.take());
            let lease = &share.keeper.lease;
            let error = match self.shared.enqueue(&self.directory, &place, &self.ticket, lease, &mut deadline).await {
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

    /// Resolves when the waiter's turn has come, by the queue that may be known as it was right after the enqueue.
    ///
    /// A turn that has come because others were deleted needs no other look, unless the waiter was deleted itself: then
    /// the guard learns that it is lost.
    async fn turn(&self, waiter: &Waiter, mut known: Option<Queue>) -> Result<Turn> {
        loop {
            let queue = match known.take() {
                Some(queue) => queue,
                None => self.shared.queue(&self.directory, Deadline::new(self.timeout)).await?,
            };
            let Stand::Behind { ahead, then_turn } = queue.stand(&self.directory, &waiter.entry.key, self.mode)? else {
                return Ok(Turn::Listed);
            };
            if self.wait.is_zero() {
                return Err(taken(queue.waiters.first(), self.wait));
            }
            let changed = self.shared.until_left(ahead, queue.revision).await;
            self.shared.ensure_open()?;
            if changed == Changed::Deleted && then_turn && waiter.share.keeper.is_alive() {
                return Ok(Turn::Deduced);
            }
        }
    }

    /// When the wait is over: who holds the lock, unless it is ours by now. A store that cannot be reached is named as
    /// such.
    async fn last_look(&self, waiter: &Waiter) -> Result<Turn> {
        let limit = self.timeout.min(Duration::from_secs(2));
        let queue = self.shared.queue(&self.directory, Deadline::new(limit)).await.map_err(|error| {
            if *error.kind() == ErrorKind::Timeout {
                return Error::new(ErrorKind::Unavailable, "the store did not say who holds the lock")
                    .with_source(error);
            }
            error
        })?;
        match queue.stand(&self.directory, &waiter.entry.key, self.mode)? {
            Stand::Turn => Ok(Turn::Listed),
            Stand::Behind { .. } => Err(taken(queue.waiters.first(), self.wait)),
        }
    }

    /// Leaves the queue: soon, or by the janitor once the store can be reached.
    async fn undo(&self, waiter: &Waiter) -> Result<()> {
        if self.shared.is_closed() {
            return Ok(());
        }
        let mut deadline = Deadline::new(self.timeout.min(Duration::from_secs(2)));
        let (key, token) = (&waiter.entry.key, waiter.entry.modified);
        let left = self.shared.leave_queue(key, token, &mut deadline).await;
        if left.is_err() {
            self.shared.janitor.delete(key.clone(), token);
        }
        left
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

fn taken(first: Option<&Entry>, wait: Duration) -> Error {
    let (holder, who) = ticket::shown(first);
    let waited = if wait.is_zero() { "not waited for".to_owned() } else { format!("not free within {wait:?}") };
    Error::new(ErrorKind::LockTimeout { holder }, format!("{who} holds it; {waited}"))
}
