use std::sync::PoisonError;
use std::time::Duration;

use kvdb::prelude::*;
use kvdb::{ErrorKind, Operation};

use super::Kvi;
use super::kvi::Inner;

/// Where a handle stands with the lock.
#[derive(Debug, Default)]
pub(super) enum DistLock {
    #[default]
    Free,
    /// A call of this handle waits for it.
    Asked,
    Held(LockGuard),
}

impl Kvi {
    /// Takes the lock that all programs with this store, domain and lock name share, waiting for it for ever.
    ///
    /// # Errors
    /// `LockHeld` if this handle holds it or waits for it already; what the store answers while it waits.
    ///
    /// # Cancel safety
    /// A dropped future gives up its place in the queue.
    pub async fn dist_lock(&self) -> Result<()> {
        self.take(Duration::MAX).await
    }

    /// Takes the lock, waiting for it `tosec` seconds at most; 0 tries once. How long it is held is not bounded.
    ///
    /// # Errors
    /// `LockTimeout` when it was not free in time; else as [`Kvi::dist_lock`].
    ///
    /// # Cancel safety
    /// A dropped future gives up its place in the queue.
    pub async fn dist_timed_lock(&self, tosec: u64) -> Result<()> {
        self.take(Duration::from_secs(tosec)).await
    }

    /// Releases the lock; Ok also if this handle does not hold it.
    ///
    /// # Errors
    /// When the store cannot be reached; the lock is then released in the background once it can, or by its TTL.
    ///
    /// # Cancel safety
    /// Once polled, the lock is released even if the future is dropped.
    pub async fn dist_unlock(&self) -> Result<()> {
        let held = self.inner.exchange(|state| matches!(state, DistLock::Held(_)), DistLock::Free);
        match held {
            Some(DistLock::Held(guard)) => guard.release().await,
            _ => Ok(()),
        }
    }

    async fn take(&self, wait: Duration) -> Result<()> {
        let name = &self.inner.settings.lock_name;
        // One that was lost meanwhile may be taken anew.
        let free = |state: &DistLock| match state {
            DistLock::Free => true,
            DistLock::Asked => false,
            DistLock::Held(guard) => !guard.is_held(),
        };
        if self.inner.exchange(free, DistLock::Asked).is_none() {
            let message = "this handle holds the lock already, or waits for it; it is not re-entrant";
            return Err(Error::new(ErrorKind::LockHeld, message).with_operation(Operation::Lock).with_key(name));
        }
        let asked = Asked(&self.inner);
        let guard = self.inner.kv.lock(name).wait(wait).await?;
        asked.0.exchange(|_| true, DistLock::Held(guard));
        Ok(())
    }
}

impl Inner {
    /// Moves to `next` if `from` says so; answers what was before.
    fn exchange(&self, from: impl FnOnce(&DistLock) -> bool, next: DistLock) -> Option<DistLock> {
        let mut state = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        from(&state).then(|| std::mem::replace(&mut *state, next))
    }
}

/// A call that waits for the lock; its end without one leaves the handle free to ask again.
struct Asked<'a>(&'a Inner);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.exchange(|state| matches!(state, DistLock::Asked), DistLock::Free);
    }
}
