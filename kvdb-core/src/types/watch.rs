//! Watches, as a backend feeds them and as a user reads them.

use std::fmt;

use futures_core::stream::BoxStream;

use super::{Entry, Key, KeyRange, KvPair, Revision};
use crate::Result;

/// What a backend is asked to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchSpec {
    /// The keys.
    pub range: KeyRange,
    /// Exclusive start in history; `None` starts at the moment of registration.
    pub after: Option<Revision>,
    /// Every change carries the entry before it.
    pub previous: bool,
}

impl WatchSpec {
    /// A watch of `range` from `after` (exclusive), or from now.
    #[must_use]
    pub const fn new(range: KeyRange, after: Option<Revision>, previous: bool) -> Self {
        Self { range, after, previous }
    }
}

/// A registered watch of a backend: no write after registration is missed.
pub struct Feed {
    /// The store's revision at registration.
    pub revision: Revision,
    /// What happens in the range. A feed with `after` sends `Progress` of at least [`Feed::revision`] once all
    /// history up to there is told. It ends with an error item, or at once when dropped.
    pub changes: BoxStream<'static, Result<Changes>>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("revision", &self.revision).finish_non_exhaustive()
    }
}

/// One step of a feed; revisions rise strictly from step to step, `Progress` aside, which may repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Everything of one revision, or of one atomic cut, together.
    Batch {
        /// The revision, or that of the cut.
        revision: Revision,
        /// The changes of the range.
        changes: Vec<Change>,
    },
    /// All changes at or below this revision were sent.
    Progress(Revision),
    /// The store cannot tell what happened: the whole range as it is now. The engine tells the differences.
    Resync {
        /// The revision of the cut.
        revision: Revision,
        /// Every entry of the range, in key order.
        present: Vec<Entry>,
    },
}

/// One change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key was written.
    Put {
        /// The entry as the write left it.
        entry: Entry,
        /// The entry before, if it was asked for and there was one.
        previous: Option<Entry>,
    },
    /// The key was deleted.
    Delete {
        /// The key.
        key: Key,
        /// The deletion's revision.
        revision: Revision,
        /// Whether its lease ran out.
        expired: bool,
        /// The deleted entry: always where knowing it costs nothing, else if it was asked for.
        previous: Option<Entry>,
    },
}

impl Change {
    /// The key that changed.
    #[must_use]
    pub const fn key(&self) -> &Key {
        match self {
            Self::Put { entry, .. } => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }
}

/// One item of a [`crate::Watch`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The key was written: Action Create or Set.
    Put(KvPair),
    /// The key was deleted: the pair has its old value and created index where known, and the deletion's revision.
    Delete(KvPair),
    /// The key was deleted because its lease ran out.
    Expire(KvPair),
    /// Every change at or below this revision was delivered.
    Progress(Revision),
    /// The present state, as of this revision, was delivered; changes follow.
    Synced(Revision),
    /// History was lost; what came just before restored the state by differences.
    Resynced {
        /// The revision of the state that was restored.
        revision: Revision,
        /// True if the whole state was sent, so that a key that was not sent is not there; false if the
        /// differences were, so that changes which left no trace are missing.
        complete: bool,
    },
}

impl Event {
    /// The pair of a put, delete or expiry.
    #[must_use]
    pub const fn pair(&self) -> Option<&KvPair> {
        match self {
            Self::Put(pair) | Self::Delete(pair) | Self::Expire(pair) => Some(pair),
            _ => None,
        }
    }
}

/// Where a watch begins.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum WatchStart {
    /// With the first write after the call has returned.
    #[default]
    Now,
    /// With the first change above this revision.
    After(Revision),
    /// With the present state, then [`Event::Synced`], then every change.
    Current,
    /// With the first change after this snapshot of the same store and domain: no gap and no repeat on every store.
    Snapshot(crate::Snapshot),
}

/// What a watch does when the history it needs is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnGap {
    /// End with `Compacted`.
    Fail,
    /// Deliver the differences by name, then [`Event::Resynced`], and go on. Keeps the watched names in memory.
    Resync,
}
