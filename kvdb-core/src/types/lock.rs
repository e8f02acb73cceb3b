use std::time::SystemTime;

use super::{Key, Revision};

/// Proof of holding a lock: a write that carries it fails with `LockLost` once the lock is lost or passed on
/// (contract 8.6). Taken from [`crate::LockGuard::fence`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    pub(crate) key: Key,
    pub(crate) token: Revision,
}

impl Fence {
    /// The fencing token: rises with every holder of the lock.
    #[must_use]
    pub const fn token(&self) -> Revision {
        self.token
    }
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockHolder {
    /// The id that the holder gave when it asked for the lock.
    pub id: String,
    /// When it asked for the lock, by the holder's clock.
    pub since: SystemTime,
    /// Its fencing token.
    pub token: Revision,
}
