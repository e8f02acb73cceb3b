//! A held lock.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Shared;
use super::deadline::{Deadline, later_than};
use super::keeper::Share;
use super::lock_fresh::UNWATCHED;
use crate::{
    CallOptions, Capabilities, Error, ErrorKind, Fence, Handle, Key, KvPair, Kvdb, Operation, Result, Revision,
};

/// A lock that is held until it is released, dropped or lost. Derefs to its pair, whose key is the lock's name.
///
/// Safety is the fence, not the clock: a process that was suspended may learn of the loss late, so writes that must
/// not happen without the lock carry [`LockGuard::fence`].
#[must_use = "the lock is released when its guard is dropped"]
pub struct LockGuard {
    held: Arc<Held>,
    id: String,
    handle: OnceLock<Handle>,
}

/// The part of a guard that its task shares.
pub(super) struct Held {
    shared: Arc<Shared>,
    key: Key,
    token: Revision,
    share: Share,
    pair: KvPair,
    hold: Option<Duration>,
    since: Instant,
    /// Nobody has looked whether the key stood in the queue when its turn came.
    deduced: bool,
    /// A task watches over it.
    attended: AtomicBool,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Held,
    /// Given up by us; its key is gone or will be.
    Released,
    /// Taken from us.
    Lost,
    /// Given up with the whole handle.
    Closed,
}

impl Held {
    pub(super) fn new(
        shared: Arc<Shared>,
        (key, token): (Key, Revision),
        share: Share,
        pair: KvPair,
        hold: Option<Duration>,
        deduced: bool,
    ) -> Self {
        let (since, attended, state) = (Instant::now(), AtomicBool::new(false), watch::Sender::new(State::Held));
        Self { shared, key, token, share, pair, hold, since, deduced, attended, state }
    }

    /// Has the lock watched over from now on, unless it is already or is not held any more.
    pub(super) fn attend(self: &Arc<Self>) {
        if *self.state.borrow() == State::Held && !self.attended.swap(true, Ordering::AcqRel) {
            self.shared.runtime.spawn(Arc::clone(self).guard());
        }
    }

    /// Moves from Held to `next` and tells it; false if it was not held any more.
    fn leave(&self, next: State) -> bool {
        let left = self.leave_untold(next);
        if left {
            self.tell();
        }
        left
    }

    /// As [`Held::leave`], but whoever waits for it learns it by [`Held::tell`] only.
    fn leave_untold(&self, next: State) -> bool {
        let mut left = false;
        self.state.send_if_modified(|state| {
            left = *state == State::Held;
            if left {
                *state = next;
            }
            false
        });
        // A guard may be kept long after: its lease need not be.
        self.share.give_back();
        left
    }

    fn tell(&self) {
        self.state.send_modify(|_| {});
    }

    async fn until_left(&self) -> State {
        let mut state = self.state.subscribe();
        let left = state.wait_for(|state| *state != State::Held).await;
        left.map_or(State::Released, |state| *state)
    }

    /// Resolves when the lock's key is gone.
    async fn until_gone(&self) {
        if self.shared.require(Capabilities::WATCH_RESUME).is_ok() {
            if self.deduced {
                let now = self.shared.fetch(&self.key, &mut Deadline::new(self.shared.timeout)).await;
                if now.is_ok_and(|now| now.entry.is_none_or(|entry| entry.modified != self.token)) {
                    return;
                }
            }
            // A watch that can begin in the past misses nothing by beginning late.
            tokio::time::sleep_until(self.since + UNWATCHED).await;
        }
        self.shared.until_changed(&self.key, self.token, self.token).await;
    }

    /// Watches over a held lock: tells its loss once, and once when it is held too long.
    async fn guard(self: Arc<Self>) {
        let name = &self.pair.key;
        let mut too_long = self.hold.map(|hold| (hold, later_than(self.since, hold)));
        let changed = self.until_gone();
        tokio::pin!(changed);
        loop {
            let timer = async {
                match too_long {
                    Some((_, at)) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = self.until_left() => return,
                () = self.shared.until_closed() => {
                    self.leave(State::Closed);
                    return;
                }
                () = self.share.keeper.until_lost() => break,
                () = &mut changed => break,
                () = timer => {
                    if let Some((hold, _)) = too_long.take() {
                        let error = Error::new(ErrorKind::LockHoldTimeout, format!("held for longer than {hold:?}; it stays held"));
                        self.shared.fatal(&self.shared.explain(Operation::Lock, name, error));
                    }
                }
            }
        }
        if !self.shared.is_closed() && self.leave(State::Lost) {
            self.shared.fatal(&self.shared.explain(Operation::Lock, name, lost()));
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::LockLost, "its lease ran out or its key was removed; stop what it protects and take it again")
}

impl LockGuard {
    pub(super) fn new(held: Held, id: String) -> Self {
        let held = Arc::new(held);
        let resumable = held.shared.require(Capabilities::WATCH_RESUME).is_ok();
        if resumable && !held.deduced && held.hold.is_none_or(|hold| hold > UNWATCHED) {
            held.shared.attend_later(&held);
        } else {
            held.attend();
        }
        Self { held, id, handle: OnceLock::new() }
    }

    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.held.pair.key
    }

    /// The id that was given, or made up, when the lock was asked for.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The fencing token: rises with every holder of the lock.
    #[must_use]
    pub fn fencing_token(&self) -> Revision {
        self.held.token
    }

    /// Proof of holding: a write that carries it fails with `LockLost` once the lock is lost or passed on.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence { key: self.held.key.clone(), token: self.held.token }
    }

    /// Whether the lock is held, as far as is known here: by a clock that stands still while a machine is suspended.
    #[must_use]
    pub fn is_held(&self) -> bool {
        *self.held.state.borrow() == State::Held && self.held.share.keeper.is_alive() && !self.held.shared.is_closed()
    }

    /// Resolves with `LockLost` when the store says that the lock is lost, when its TTL has passed since the last good
    /// keep-alive was sent, or when the handle is closed. After a release it never resolves.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn lost(&self) -> Error {
        self.held.attend();
        match self.held.until_left().await {
            State::Lost => self.held.shared.explain(Operation::Lock, self.name(), lost()),
            State::Closed => {
                let closed = Error::new(ErrorKind::LockLost, "the handle was closed, which released it");
                self.held.shared.explain(Operation::Lock, self.name(), closed)
            }
            _ => std::future::pending().await,
        }
    }

    /// Releases the lock. A second release, or one after loss, is Ok and touches nobody else. Passes the wrappers of
    /// the handle the lock was taken through.
    ///
    /// # Errors
    /// When the store cannot be reached; the lock is then released in the background once it can, or by its lease.
    ///
    /// # Cancel safety
    /// Once polled, the lock is released even if the future is dropped.
    pub async fn release(&self) -> Result<()> {
        match self.handle.get() {
            Some(handle) => handle.unlock_opts(self, CallOptions::default()).await,
            None => self.held.shared.unlock(self, CallOptions::default()).await,
        }
    }

    pub(crate) fn attach(self, handle: Handle) -> Self {
        // Only the outermost handle attaches, and only once.
        let _ = self.handle.set(handle);
        self
    }
}

impl Shared {
    pub(super) async fn unlock(self: &Arc<Self>, guard: &LockGuard, options: CallOptions) -> Result<()> {
        let held = &guard.held;
        if !Arc::ptr_eq(self, &held.shared) {
            return Err(Error::new(
                ErrorKind::InvalidLock,
                "the lock was taken through another handle; release it there",
            ));
        }
        // Its task has its own watch to end, which is not to come before the release.
        let left = held.leave_untold(State::Released);
        let _told = Told(held);
        if !left || self.is_closed() {
            return Ok(());
        }
        let undo = Undo(Some(Arc::clone(held)));
        let mut deadline: Deadline = self.deadline(options.timeout);
        self.leave_queue(&held.key, held.token, &mut deadline).await?;
        undo.done();
        self.waiter_ids.give_back(&held.key);
        Ok(())
    }
}

/// Tells that a lock is left, once the call ends or is dropped.
struct Told<'a>(&'a Held);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.tell();
    }
}

/// Hands a release to the janitor unless it was done: the caller went away, or the store did.
struct Undo(Option<Arc<Held>>);

impl Undo {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            held.shared.janitor.delete(held.key.clone(), held.token);
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.held.leave(State::Released) && !self.held.shared.is_closed() {
            drop(Undo(Some(Arc::clone(&self.held))));
        }
    }
}

impl Deref for LockGuard {
    type Target = KvPair;

    fn deref(&self) -> &KvPair {
        &self.held.pair
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("name", &self.name())
            .field("id", &self.id)
            .field("token", &self.held.token)
            .field("state", &*self.held.state.borrow())
            .finish_non_exhaustive()
    }
}
