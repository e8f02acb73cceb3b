use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in the store's history: store-wide, rising with every write, kept over restarts.
///
/// The empty memory and redb store is at revision 1; zero never names a write (contract 2.1) and stands
/// for "before everything" where a starting point is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(u64);

impl Revision {
    /// Before every write: as a starting point it asks for everything the store still knows.
    pub const ZERO: Self = Self(0);
    /// The greatest number a revision can have.
    pub const MAX: Self = Self(u64::MAX);

    /// Wraps the store's own number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The store's own number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The revision right after this one; stays at [`Revision::MAX`].
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl From<u64> for Revision {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<Revision> for u64 {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

impl PartialEq<u64> for Revision {
    fn eq(&self, other: &u64) -> bool {
        self.0 == *other
    }
}

impl PartialOrd<u64> for Revision {
    fn partial_cmp(&self, other: &u64) -> Option<std::cmp::Ordering> {
        self.0.partial_cmp(other)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
