//! A lock that many readers or one writer hold (contract 13.14).
//!
//! Keys: those of the lock of the same name, `<domain>/_kvdb/lock/<name>/_kvdb/<unique id>`, one for each reader and
//! writer, holding or waiting, all attached to their handle's kept-alive lease. A writer is that lock itself: a plain
//! [`crate::KvdbExt::lock`] of the name stands in the same queue.
//!
//! Timing: a free one takes what a free lock takes. A waiter watches one key and asks nothing meanwhile: a reader the last
//! writer before it, a writer whoever came last before it. When that one leaves, it looks again unless it was the only
//! one. A holder that dies frees it within the TTL and the store's slack.
//!
//! Loss: as any lock's; [`crate::LockGuard::lost`] tells it, and the fence of a lost reader or writer is refused.

use crate::builders::Lock;
use crate::{Handle, KvdbExt, LockMode};

/// A lock that many readers hold at once, or one writer alone: first come, first served, so that a reader behind a
/// waiting writer waits and neither side starves the other.
///
/// What both ways answer is a [`crate::LockGuard`]: it has a fencing token, which rises with every holder, and a fence,
/// and is released by a call or its drop. A handle may hold it several times, as several readers.
#[derive(Clone, Debug)]
pub struct RwLock {
    kv: Handle,
    name: String,
}

impl RwLock {
    /// The lock of this name; nothing is sent.
    #[must_use]
    pub fn new(kv: &Handle, name: &str) -> Self {
        Self { kv: kv.clone(), name: name.to_owned() }
    }

    /// Takes it beside other readers: once awaited, a [`crate::LockGuard`]. Wait, TTL and id are set as for a lock.
    ///
    /// # Errors
    /// Those of a lock; `InvalidLock` while somebody uses the name as a semaphore.
    ///
    /// # Cancel safety
    /// Dropped at any await it leaves nothing that blocks.
    pub fn read(&self) -> Lock<'_, Handle> {
        self.kv.lock(&self.name).mode(LockMode::Shared)
    }

    /// Takes it alone: once awaited, a [`crate::LockGuard`]. Wait, TTL and id are set as for a lock.
    ///
    /// # Errors
    /// Those of a lock; `InvalidLock` while somebody uses the name as a semaphore.
    ///
    /// # Cancel safety
    /// Dropped at any await it leaves nothing that blocks.
    pub fn write(&self) -> Lock<'_, Handle> {
        self.kv.lock(&self.name)
    }

    /// Takes it beside other readers, or answers `LockTimeout` at once.
    ///
    /// # Errors
    /// As [`RwLock::read`].
    pub fn try_read(&self) -> Lock<'_, Handle> {
        self.kv.try_lock(&self.name).mode(LockMode::Shared)
    }

    /// Takes it alone, or answers `LockTimeout` at once.
    ///
    /// # Errors
    /// As [`RwLock::write`].
    pub fn try_write(&self) -> Lock<'_, Handle> {
        self.kv.try_lock(&self.name)
    }
}
