//! A semaphore: at most so many holders at a time (contract 13.15).
//!
//! Keys: those of the lock of the same name, `<domain>/_kvdb/lock/<name>/_kvdb/<unique id>`, one for each holder and
//! waiter, attached to its handle's kept-alive lease. The holders are the first ones of the queue, as many as there are
//! permits; each key says for how many it takes the semaphore.
//!
//! Timing: a free permit takes what a free lock takes. A waiter watches the queue and counts who leaves before it: it asks
//! nothing meanwhile, and the store tells every waiter of everyone that comes or leaves. A holder that dies gives its
//! permit back within the TTL and the store's slack.
//!
//! Loss: as any lock's; [`crate::LockGuard::lost`] tells it, and the fence of a lost permit is refused.

use std::num::NonZeroU32;

use crate::builders::Lock;
use crate::{Error, Handle, KvdbExt, LockMode, Operation, Result};

/// A lock that at most so many hold at a time, first come, first served.
///
/// A permit is a [`crate::LockGuard`]: it has a fencing token, which rises with every holder, and a fence, and is given
/// back by its release or drop. At no revision of the store are there more holders than permits, whatever a clock says: the
/// fence of whoever is none any more is refused.
#[derive(Clone, Debug)]
pub struct Semaphore {
    kv: Handle,
    name: String,
    permits: NonZeroU32,
}

impl Semaphore {
    /// The semaphore of this name, with so many permits; nothing is sent. All who use it give the same number.
    ///
    /// # Errors
    /// `InvalidArgument` for no permits.
    pub fn new(kv: &Handle, name: &str, permits: u32) -> Result<Self> {
        let permits = NonZeroU32::new(permits).ok_or_else(|| {
            Error::invalid("a semaphore without permits lets nobody in").with_operation(Operation::Lock).with_key(name)
        })?;
        Ok(Self { kv: kv.clone(), name: name.to_owned(), permits })
    }

    /// How many may hold it at a time.
    #[must_use]
    pub const fn permits(&self) -> u32 {
        self.permits.get()
    }

    /// Takes a permit: once awaited, a [`crate::LockGuard`]. Wait, TTL and id are set as for a lock.
    ///
    /// # Errors
    /// Those of a lock; `InvalidLock` while somebody uses the name with another number of permits or as a lock.
    ///
    /// # Cancel safety
    /// Dropped at any await it leaves nothing that blocks.
    pub fn acquire(&self) -> Lock<'_, Handle> {
        self.kv.lock(&self.name).mode(LockMode::Permits(self.permits))
    }

    /// Takes a permit, or answers `LockTimeout` at once.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`].
    pub fn try_acquire(&self) -> Lock<'_, Handle> {
        self.kv.try_lock(&self.name).mode(LockMode::Permits(self.permits))
    }
}
