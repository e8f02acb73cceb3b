use bitflags::bitflags;
use bytes::Bytes;

use super::{KvPair, Revision};
use crate::{Error, ErrorKind, Result};

bitflags! {
    /// The reference library's flags of `compare_and_set` and `compare_and_delete`, with its numbers.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct KvFlags: u64 {
        /// The key must be present.
        const PREV_EXISTS = 1;
        /// The key's created index must equal the pair's.
        const CREATED_INDEX = 2;
        /// The key's modified index must equal the pair's; 0 asks for an absent key.
        const MODIFIED_INDEX = 4;
        /// Not a condition: write with the pair's TTL.
        const TTL = 8;
    }
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Consistency {
    /// Holds every write that was answered before the read began (ZooKeeper: see LINEARIZABLE_READS).
    #[default]
    Linearizable,
    /// May lag behind; the cheapest.
    Stale,
    /// Linearizable everywhere: where the store needs a write for that, one is made.
    Strict,
}

/// Conditions on one key that must all hold in one atomic step with the write (contract 3.10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Precondition {
    /// The key must be present (`true`) or absent (`false`).
    pub exists: Option<bool>,
    /// The key must be present with this created index.
    pub created: Option<Revision>,
    /// The key must be present with this modified index.
    pub modified: Option<Revision>,
    /// The key must be present with exactly this value.
    pub value: Option<Bytes>,
}

impl Precondition {
    /// No condition.
    #[must_use]
    pub const fn none() -> Self {
        Self { exists: None, created: None, modified: None, value: None }
    }

    /// The key must be absent.
    #[must_use]
    pub const fn absent() -> Self {
        Self { exists: Some(false), created: None, modified: None, value: None }
    }

    /// The key must be present.
    #[must_use]
    pub const fn present() -> Self {
        Self { exists: Some(true), created: None, modified: None, value: None }
    }

    /// Whether there is no condition at all.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.exists.is_none() && self.created.is_none() && self.modified.is_none() && self.value.is_none()
    }

    /// Whether only presence or absence is asked for.
    #[must_use]
    pub const fn is_existence_only(&self) -> bool {
        self.exists.is_some() && self.created.is_none() && self.modified.is_none() && self.value.is_none()
    }

    /// The conditions that `compare_and_set(pair, flags, previous)` names; an index of 0 asks for an absent key.
    ///
    /// # Errors
    /// `InvalidArgument` when neither a flag (TTL aside) nor a previous value names a condition.
    pub fn from_flags(pair: &KvPair, flags: KvFlags, previous: Option<Bytes>) -> Result<Self> {
        let mut when = Self { value: previous, ..Self::default() };
        if flags.contains(KvFlags::PREV_EXISTS) {
            when.exists = Some(true);
        }
        if flags.contains(KvFlags::CREATED_INDEX) {
            when.created = Some(pair.created_index);
        }
        if flags.contains(KvFlags::MODIFIED_INDEX) {
            if pair.modified_index == Revision::ZERO {
                if when.exists == Some(true) || when.created.is_some() || when.value.is_some() {
                    return Err(Error::new(
                        ErrorKind::InvalidArgument,
                        "MODIFIED_INDEX 0 asks for an absent key, another condition for a present one",
                    )
                    .with_key(&pair.key));
                }
                when.exists = Some(false);
            } else {
                when.modified = Some(pair.modified_index);
            }
        }
        if when.is_none() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "compare needs a condition: name MODIFIED_INDEX, CREATED_INDEX or PREV_EXISTS, or give the previous value",
            )
            .with_key(&pair.key));
        }
        Ok(when)
    }
}
