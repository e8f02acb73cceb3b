//! Locks below one root that show one value (contract 13.10).
//!
//! Keys: the lock `<root>/<name>`, `<domain>/_kvdb/lock/<root>/<name>/_kvdb/<unique id>`, one key for each holder and
//! waiter, which holds the manager's value. All of a handle's locks of one TTL share one kept-alive lease, which is
//! granted anew after a loss when a lock is taken next.
//!
//! Timing: that of a lock. A holder that dies frees it within the TTL and the store's slack.
//!
//! Loss: told by [`LockLoss`] before anything is cleaned up: when the store says so, when a TTL has passed since the last
//! good keep-alive was sent, and on `unlock` or with the lock's drop before the key goes. A close of the handle tells it,
//! too, while it ends the lease.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::{Error, ErrorKind, Fence, Handle, IntoValue, Kvdb, LockGuard, LockOptions, Operation, Result, Retry};

/// Makes locks below a root. They show its value to others, see [`crate::LockHolder::value`].
#[derive(Clone, Debug)]
pub struct LockManager {
    kv: Handle,
    root: String,
    options: LockOptions,
}

impl LockManager {
    /// A manager of the locks below `root`, each free `ttl` after its holder's death; nothing is sent.
    ///
    /// # Errors
    /// `InvalidArgument` or `TooLarge` for a root or value that the store does not take, `TtlNotSupported` for a TTL
    /// outside its bounds, `Unsupported` without LEASES, `Closed`.
    pub fn new(kv: &Handle, root: &str, value: impl IntoValue, ttl: Duration) -> Result<Self> {
        let options = LockOptions {
            ttl: Some(ttl),
            wait: Some(Duration::MAX),
            value: value.into_value(),
            ..LockOptions::default()
        };
        kv.engine().check_lock(&format!("{root}/name"), options.clone())?;
        Ok(Self { kv: kv.clone(), root: root.to_owned(), options })
    }

    /// The lock of this name; nothing is sent.
    #[must_use]
    pub fn create(&self, name: &str) -> ManagedLock {
        ManagedLock {
            kv: self.kv.clone(),
            name: format!("{}/{name}", self.root),
            options: self.options.clone(),
            held: Mutex::default(),
        }
    }
}

/// A lock of a [`LockManager`]. Dropping it releases it in the background.
pub struct ManagedLock {
    kv: Handle,
    name: String,
    options: LockOptions,
    held: Mutex<Option<Held>>,
}

/// A hold; dropping it tells its loss, then releases the lock in the background.
struct Held {
    lock: Arc<LockGuard>,
    lost: watch::Sender<bool>,
    task: AbortHandle,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.lost.send_replace(true);
        self.task.abort();
    }
}

impl ManagedLock {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock, however long that takes; give up by dropping the future. Answers what tells its loss.
    ///
    /// # Errors
    /// `LockHeld` while it is held here; those of a lock.
    ///
    /// # Cancel safety
    /// Dropped at any await it leaves nothing that blocks.
    pub async fn acquire(&self) -> Result<LockLoss> {
        loop {
            if self.is_locked() {
                return Err(Error::new(ErrorKind::LockHeld, "it is held here already; unlock it first")
                    .with_operation(Operation::Lock)
                    .with_key(&self.name));
            }
            match self.kv.lock_opts(&self.name, self.options.clone()).await {
                Ok(lock) => return Ok(self.hold(lock)),
                // Its lease ran out while it waited: with the next one it waits behind all others.
                Err(error) if *error.kind() == ErrorKind::LockLost && error.retry() == Retry::Safe => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn hold(&self, lock: LockGuard) -> LockLoss {
        let (lock, (lost, told)) = (Arc::new(lock), watch::channel(false));
        let (watched, tell) = (Arc::clone(&lock), lost.clone());
        let task = self.kv.engine().runtime().spawn(async move {
            watched.lost().await;
            tell.send_replace(true);
        });
        let loss = LockLoss { told, lock: Arc::downgrade(&lock) };
        // One that was held here before is lost by now.
        drop(self.held().replace(Held { lock, lost, task: task.abort_handle() }));
        loss
    }

    /// Releases the lock, after its loss is told. One that is not held is Ok.
    ///
    /// # Errors
    /// When the store cannot be reached; the lock is then released in the background once it can, or by its lease.
    ///
    /// # Cancel safety
    /// Once polled, the lock is released even if the future is dropped.
    pub async fn unlock(&self) -> Result<()> {
        let Some(held) = self.held().take() else { return Ok(()) };
        held.lost.send_replace(true);
        held.lock.release().await
    }

    /// Whether the lock is held here, as far as is known: by a clock that stands still while a machine is suspended.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.held().as_ref().is_some_and(|held| held.lock.is_held())
    }

    /// Proof of holding, while it is held: a write that carries it fails with `LockLost` once it is not any more.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        self.held().as_ref().filter(|held| held.lock.is_held()).map(|held| held.lock.fence())
    }
}

impl fmt::Debug for ManagedLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedLock")
            .field("name", &self.name)
            .field("locked", &self.is_locked())
            .finish_non_exhaustive()
    }
}

/// Tells that a [`ManagedLock`] is not held any more, whether it was lost or unlocked. A clone tells the same.
#[derive(Clone, Debug)]
pub struct LockLoss {
    told: watch::Receiver<bool>,
    lock: Weak<LockGuard>,
}

impl LockLoss {
    /// Resolves once the lock is not held any more.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn told(&self) {
        // A sender that is gone was dropped with the lock.
        let _ = self.told.clone().wait_for(|lost| *lost).await;
    }

    /// Whether the lock is not held any more.
    #[must_use]
    pub fn is_told(&self) -> bool {
        *self.told.borrow() || self.lock.upgrade().is_none_or(|lock| !lock.is_held())
    }
}
