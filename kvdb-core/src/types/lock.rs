use std::num::NonZeroU32;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Key, Revision};

/// How a lock is taken. Whoever stands in its queue sees how those before took it: all but `Permits` go together, and
/// `Permits` with the same number alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LockMode {
    /// By one at a time: it waits for all before it. A writer.
    #[default]
    Exclusive,
    /// Beside others that take it so: it waits for the exclusive ones before it alone. A reader.
    Shared,
    /// By at most so many at a time: it waits while that many stand before it. A semaphore.
    Permits(NonZeroU32),
}

impl LockMode {
    pub(crate) fn is_exclusive(&self) -> bool {
        *self == Self::Exclusive
    }

    /// Whether both may stand in one queue.
    pub(crate) fn goes_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Permits(mine), Self::Permits(theirs)) => mine == theirs,
            (Self::Permits(_), _) | (_, Self::Permits(_)) => false,
            _ => true,
        }
    }

    /// For messages.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Exclusive => "as an exclusive lock".to_owned(),
            Self::Shared => "as a shared lock".to_owned(),
            Self::Permits(permits) => format!("as a semaphore of {permits}"),
        }
    }
}

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

/// Who holds a lock: of several the one who came first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockHolder {
    /// The id that the holder gave when it asked for the lock.
    pub id: String,
    /// When it asked for the lock, by the holder's clock.
    pub since: SystemTime,
    /// Its fencing token.
    pub token: Revision,
    /// How it took the lock.
    pub mode: LockMode,
    /// What it shows to others beside its id; empty unless it gave something.
    pub value: Bytes,
}
