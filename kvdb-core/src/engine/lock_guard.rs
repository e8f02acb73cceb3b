//! A held lock.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use super::Shared;
use super::deadline::{Deadline, later};
use super::keeper::Share;
use crate::{CallOptions, Error, ErrorKind, Fence, Handle, Key, KvPair, Kvdb, Operation, Result, Revision};

/// A lock that is held until it is released, dropped or lost. Derefs to its pair, whose key is the lock's name.
///
/// Safety is the fence, not the clock: a process that was suspended may learn of the loss late, so writes that must
/// not happen without the lock carry [`LockGuard::fence`].
#[must_use = "the lock is released when its guard is dropped"]
pub struct LockGuard {
    held: Arc<Held>,
    pair: KvPair,
    id: String,
    handle: OnceLock<Handle>,
}

/// The part of a guard that its tasks share.
pub(super) struct Held {
    shared: Arc<Shared>,
    key: Key,
    token: Revision,
    share: Share,
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
    pub(super) fn new(shared: Arc<Shared>, key: Key, token: Revision, share: Share) -> Self {
        Self { shared, key, token, share, state: watch::Sender::new(State::Held) }
    }

    /// Moves from Held to `next`; false if it was not held any more.
    fn leave(&self, next: State) -> bool {
        let left = self.state.send_if_modified(|state| {
            let held = *state == State::Held;
            if held {
                *state = next;
            }
            held
        });
        // A guard may be kept long after: its lease need not be.
        self.share.give_back();
        left
    }

    async fn until_left(&self) -> State {
        let mut state = self.state.subscribe();
        let left = state.wait_for(|state| *state != State::Held).await;
        left.map_or(State::Released, |state| *state)
    }

    /// Watches over a held lock: tells its loss once, and once when it is held too long.
    async fn guard(self: Arc<Self>, name: String, hold: Option<Duration>) {
        let mut too_long = hold.map(|hold| (hold, later(hold)));
        let changed = self.shared.until_changed(&self.key, self.token, self.token);
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
                        self.shared.fatal(&self.shared.explain(Operation::Lock, &name, error));
                    }
                }
            }
        }
        if !self.shared.is_closed() && self.leave(State::Lost) {
            self.shared.fatal(&self.shared.explain(Operation::Lock, &name, lost()));
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::LockLost, "its lease ran out or its key was removed; stop what it protects and take it again")
}

impl LockGuard {
    pub(super) fn new(held: Held, pair: KvPair, id: String, hold: Option<Duration>) -> Self {
        let held = Arc::new(held);
        held.shared.runtime.spawn(Arc::clone(&held).guard(pair.key.clone(), hold));
        Self { held, pair, id, handle: OnceLock::new() }
    }

    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.pair.key
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
        if !held.leave(State::Released) || self.is_closed() {
            return Ok(());
        }
        let undo = Undo(Some(Arc::clone(held)));
        let mut deadline: Deadline = self.deadline(options.timeout);
        self.leave_queue(&held.key, held.token, &mut deadline).await?;
        undo.done();
        Ok(())
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
            held.shared.janitor.delete(held.key.clone(), Some(held.token));
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
        &self.pair
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
