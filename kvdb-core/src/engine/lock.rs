//! Locks: a queue of waiter keys, each attached to the handle's kept-alive lease.
//!
//! A waiter's key is `<domain>/_kvdb/lock/<name>/_kvdb/<unique id>`; the holder is the waiter with the lowest created
//! index, which is also its fencing token. Each waiter watches the one before it alone, so that a release wakes one.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::deadline::{Deadline, later};
use super::keeper::Share;
use super::lock_guard::{Held, LockGuard};
use super::write::KeyWrite;
use super::{Shared, closed_error};
use crate::{
    Batch, CallOptions, Capabilities, Change, Changes, Entry, Error, ErrorKind, Guard, Key, KeyRange, KvAction,
    LockHolder, LockOptions, Op, OpResult, Precondition, Result, Retry, Revision, Scan, WatchSpec,
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

/// A request for a lock. It runs in a task of the engine: a caller that goes away cannot leave it half done.
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
        self.check_key_size(&Key::from(format!("{}{:032x}", request.directory, 0)))?;
        let (reply, answer) = oneshot::channel();
        self.runtime.spawn(request.run(reply));
        answer.await.map_err(|source| Error::new(ErrorKind::Closed, "the runtime is going down").with_source(source))?
    }

    pub(super) async fn lock_holder(self: &Arc<Self>, name: &str, options: CallOptions) -> Result<Option<LockHolder>> {
        self.ensure_open()?;
        let directory = self.domain.lock_directory(name)?;
        let (waiters, _) = self.waiters(&directory, self.deadline(options.timeout)).await?;
        waiters.first().map(holder).transpose()
    }

    /// The waiters of a lock, the holder first, and the revision they were listed at.
    async fn waiters(self: &Arc<Self>, directory: &str, deadline: Deadline) -> Result<(Vec<Entry>, Revision)> {
        let mut pages = self.raw_pages(&KeyRange::prefix(directory.as_bytes()), &Scan::default(), deadline);
        let (mut waiters, mut revision) = (Vec::new(), Revision::ZERO);
        while let Some(page) = pages.next().await.transpose()? {
            waiters.extend(page.entries);
            revision = page.revision;
        }
        waiters.sort_by_key(|waiter: &Entry| waiter.created);
        Ok((waiters, revision))
    }

    /// Deletes a waiter's key if it is still the one that was written; one that is gone is as good.
    pub(super) async fn leave_queue(&self, key: &Key, token: Revision, deadline: &mut Deadline) -> Result<()> {
        let batch = Batch {
            guards: vec![Guard::Unchanged(key.clone(), token)],
            ops: vec![Op::Delete { key: key.clone(), previous: false }],
        };
        #[cfg(kvdb_mutant = "unlock_without_owner_check")]
        let batch = {
            let directory = String::from_utf8_lossy(key.as_bytes()).rsplit_once('/').map(|(dir, _)| format!("{dir}/"));
            let range = KeyRange::prefix(directory.unwrap_or_default().as_bytes());
            let page = self.backend.list(&range, &Scan::default()).next().await.transpose()?.unwrap_or_default();
            let first = page.entries.into_iter().min_by_key(|entry| entry.created);
            let ops = first.into_iter().map(|entry| Op::Delete { key: entry.key, previous: false }).collect();
            Batch { guards: Vec::new(), ops }
        };
        loop {
            match deadline.write(|| self.backend.commit(&batch)).await {
                Ok(_) => return Ok(()),
                // The guard makes a second try harmless.
                Err(error) if error.retry() == Retry::Ambiguous && *error.kind() != ErrorKind::Timeout => {
                    deadline.pause(error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Resolves when the key is gone or rewritten. `after` is a revision at which it was there.
    pub(super) async fn until_changed(&self, key: &Key, token: Revision, mut after: Revision) {
        let resumable = self.require(Capabilities::WATCH_RESUME).is_ok();
        let mut pause = Deadline::new(Duration::MAX);
        loop {
            let spec = WatchSpec::new(KeyRange::single(key.clone()), resumable.then_some(after), false);
            let mut feed = match Deadline::new(self.timeout).one(self.backend.watch(&spec)).await {
                Ok(feed) => feed,
                Err(error) if *error.kind() == ErrorKind::Closed => return,
                Err(error) => {
                    // History may be gone: look at the key itself, then watch from there.
                    if let Ok(now) = self.fetch(key, &mut Deadline::new(self.timeout)).await {
                        if now.entry.is_none_or(|entry| entry.modified != token) {
                            return;
                        }
                        after = now.revision;
                    }
                    if pause.pause(error).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            if !resumable {
                // What happened before the registration only the key itself can tell.
                match self.fetch(key, &mut Deadline::new(self.timeout)).await {
                    Ok(now) if now.entry.as_ref().is_none_or(|entry| entry.modified != token) => return,
                    Ok(_) => {}
                    Err(error) => {
                        if pause.pause(error).await.is_err() {
                            return;
                        }
                        continue;
                    }
                }
            }
            while let Some(Ok(changes)) = feed.changes.next().await {
                match changes {
                    Changes::Batch { revision, changes } => {
                        after = revision;
                        let ours = |change: &Change| match change {
                            Change::Put { entry, .. } => entry.key == *key && entry.modified != token,
                            Change::Delete { key: deleted, .. } => deleted == key,
                        };
                        if changes.iter().any(ours) {
                            return;
                        }
                    }
                    Changes::Progress(revision) => after = after.max(revision),
                    Changes::Resync { revision, present } => {
                        after = revision;
                        if !present.iter().any(|entry| entry.key == *key && entry.modified == token) {
                            return;
                        }
                    }
                }
            }
            let broken = Error::new(ErrorKind::Unavailable, "the watch broke");
            if pause.pause(broken).await.is_err() {
                return;
            }
        }
    }
}

impl Request {
    async fn run(self, mut reply: oneshot::Sender<Result<LockGuard>>) {
        let waiter = match self.enqueue().await {
            Ok(waiter) => waiter,
            Err(error) => {
                // Nobody may be there any more to hear it.
                let _ = reply.send(Err(error));
                return;
            }
        };
        let outcome = tokio::select! {
            biased;
            () = reply.closed() => Err(Error::new(ErrorKind::Closed, "nobody waits for the lock any more")),
            () = self.shared.until_closed() => Err(closed_error()),
            () = waiter.share.keeper.until_lost() => Err(lease_lost()),
            turn = self.turn(&waiter) => turn,
            () = tokio::time::sleep_until(self.until) => self.last_look(&waiter).await,
        };
        match outcome {
            // A guard that nobody takes any more releases itself by its drop.
            Ok(()) => drop(reply.send(Ok(self.guard(waiter)))),
            Err(error) => {
                self.undo(&waiter).await;
                let _ = reply.send(Err(error));
            }
        }
    }

    /// Puts a waiter into the queue, to the end: the key is there, or surely never will be for long.
    async fn enqueue(&self) -> Result<Waiter> {
        let ticket = Ticket { id: self.id.clone(), since: milliseconds(SystemTime::now()) };
        let value = serde_json::to_vec(&ticket).map_err(|source| {
            Error::new(ErrorKind::Serialization, "the lock's id has no JSON form").with_source(source)
        })?;
        let key = Key::from(format!("{}{}", self.directory, unique()));
        // A TTL shorter than a round trip never lasts until the write.
        let mut lives = 2_u32;
        loop {
            let mut deadline = Deadline::new(self.timeout);
            let share = self.shared.keeper(self.ttl, &mut deadline).await?;
            let lease = share.keeper.lease.clone();
            let op =
                Op::Put { key: key.clone(), value: value.clone().into(), lease: Some(lease.clone()), previous: false };
            // The key is unique: whoever finds it with our lease has found our own write.
            let write = KeyWrite { key: &key, op, when: Precondition::absent(), fence: None, ours: Some(&lease) };
            match self.shared.write_key(write, &mut deadline).await {
                Ok((_, OpResult::Put { entry, .. })) => return Ok(Waiter { entry, share }),
                Ok(_) => return Err(super::write::mismatched_answer()),
                Err(error) if *error.kind() == ErrorKind::LeaseNotFound => {
                    // The store has ended the lease: whoever else holds it need not wait to be told.
                    share.keeper.lose();
                    lives = lives.checked_sub(1).ok_or_else(lease_lost)?;
                }
                Err(error) => {
                    if error.retry() == Retry::Ambiguous {
                        self.shared.janitor.delete(key, None);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Resolves when the waiter is the first of the queue.
    async fn turn(&self, waiter: &Waiter) -> Result<()> {
        loop {
            let (waiters, revision) = self.shared.waiters(&self.directory, Deadline::new(self.timeout)).await?;
            if !waiters.iter().any(|other| other.key == waiter.entry.key) {
                return Err(lease_lost());
            }
            let before = waiters.iter().take_while(|other| other.created < waiter.entry.created).last();
            let Some(before) = before else { return Ok(()) };
            if self.wait.is_zero() {
                return Err(taken(waiters.first(), self.wait));
            }
            self.shared.until_changed(&before.key, before.modified, revision).await;
            self.shared.ensure_open()?;
        }
    }

    /// When the wait is over: who holds the lock, unless it is ours by now. A store that cannot be reached is named as
    /// such.
    async fn last_look(&self, waiter: &Waiter) -> Result<()> {
        let limit = self.timeout.min(Duration::from_secs(2));
        let (waiters, _) = self.shared.waiters(&self.directory, Deadline::new(limit)).await.map_err(|error| {
            if *error.kind() == ErrorKind::Timeout {
                return Error::new(ErrorKind::Unavailable, "the store did not say who holds the lock")
                    .with_source(error);
            }
            error
        })?;
        match waiters.first() {
            Some(first) if first.key == waiter.entry.key => Ok(()),
            first => Err(taken(first, self.wait)),
        }
    }

    /// Leaves the queue: soon, or by the janitor once the store can be reached.
    async fn undo(&self, waiter: &Waiter) {
        let mut deadline = Deadline::new(self.timeout.min(Duration::from_secs(2)));
        let (key, token) = (&waiter.entry.key, waiter.entry.modified);
        if !self.shared.is_closed() && self.shared.leave_queue(key, token, &mut deadline).await.is_err() {
            self.shared.janitor.delete(key.clone(), Some(token));
        }
    }

    fn guard(self, waiter: Waiter) -> LockGuard {
        let mut pair = crate::KvPair::new(self.name.clone(), waiter.entry.value.clone());
        pair.action = KvAction::Create;
        pair.created_index = waiter.entry.created;
        pair.modified_index = waiter.entry.modified;
        pair.kvdb_index = waiter.entry.modified;
        pair.lease = waiter.entry.lease.clone();
        pair.version = waiter.entry.version;
        pair.ttl = Some(self.ttl);
        LockGuard::new(
            Held::new(self.shared, waiter.entry.key, waiter.entry.modified, waiter.share),
            pair,
            self.id,
            self.hold,
        )
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

/// 128 random bits as text: no two are ever equal.
fn unique() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
