//! What a backend is asked to read and to commit.

use std::time::Duration;

use bytes::Bytes;

use super::{Consistency, Key, KeyRange, LeaseId, Revision};

/// How to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Read {
    /// At this past revision (REVISION_READS) instead of now.
    pub at: Option<Revision>,
    /// How fresh.
    pub consistency: Consistency,
}

/// How to list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scan {
    /// When and how fresh.
    pub read: Read,
    /// Answer names only, no entries.
    pub keys_only: bool,
    /// Answer the count only: one page with `count` and nothing else.
    pub count_only: bool,
    /// Fill `count` in every page with the size of the whole range, whatever `limit` cuts off.
    pub total: bool,
    /// From the last key to the first.
    pub reverse: bool,
    /// At most this many entries in all.
    pub limit: Option<usize>,
    /// About how many bytes of keys and values a page may hold; a page holds one entry at least.
    pub page_bytes: usize,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            read: Read::default(),
            keys_only: false,
            count_only: false,
            total: false,
            reverse: false,
            limit: None,
            page_bytes: 1 << 20,
        }
    }
}

/// A stored key as a backend answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The absolute key.
    pub key: Key,
    /// The value.
    pub value: Bytes,
    /// The write that made this incarnation.
    pub created: Revision,
    /// The last write.
    pub modified: Revision,
    /// 1 at creation, one more with every write; `None` where the store does not count.
    pub version: Option<u64>,
    /// The lease it is attached to.
    pub lease: Option<LeaseId>,
    /// The granted time to live of that lease, where knowing it costs nothing.
    pub ttl: Option<Duration>,
}

/// The answer to a read of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The entry, if the key is present.
    pub entry: Option<Entry>,
    /// The answer holds every write to this key at or below this revision.
    pub revision: Revision,
}

/// One page of a listing, in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries; empty for a keys-only or count-only scan.
    pub entries: Vec<Entry>,
    /// The keys of a keys-only scan.
    pub names: Vec<Key>,
    /// The number of keys in the whole range, when it was asked for.
    pub count: Option<u64>,
    /// The one revision that all pages of the listing show.
    pub revision: Revision,
}

/// A condition of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The key is absent.
    Absent(Key),
    /// The key is present.
    Present(Key),
    /// The key is present and its last write is exactly this one.
    Unchanged(Key, Revision),
}

impl Guard {
    /// The key the guard is about.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Absent(key) | Self::Present(key) | Self::Unchanged(key, _) => key,
        }
    }
}

/// A write of a batch. A batch writes a key at most once, ranges included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets a key and attaches it to `lease`, or to none.
    Put {
        /// The key.
        key: Key,
        /// The value.
        value: Bytes,
        /// The lease to attach to; `None` detaches.
        lease: Option<LeaseId>,
        /// Answer the entry before the write.
        previous: bool,
    },
    /// Deletes a key; an absent key is no error.
    Delete {
        /// The key.
        key: Key,
        /// Answer the entry before the deletion.
        previous: bool,
    },
    /// Deletes every key of a range (DELETE_RANGE).
    DeleteRange {
        /// The range.
        range: KeyRange,
    },
}

/// Guards, then writes, all or nothing. `ops` may be empty: a pure check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// What must hold.
    pub guards: Vec<Guard>,
    /// What is then written, in one revision.
    pub ops: Vec<Op>,
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All guards held; `results` is aligned with the batch's `ops`.
    Committed {
        /// The revision of the batch; of a batch that changed nothing the store's present one.
        revision: Revision,
        /// One result for each op.
        results: Vec<OpResult>,
    },
    /// A guard did not hold; nothing was written.
    Conflict,
}

/// The result of one op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// Of a put.
    Put {
        /// The entry as this write left it.
        entry: Entry,
        /// The entry before, when it was asked for.
        previous: Option<Entry>,
    },
    /// Of a delete or a range delete.
    Deleted {
        /// How many keys were removed.
        removed: u64,
        /// The removed entry of a single delete, when it was asked for.
        previous: Option<Entry>,
    },
}
