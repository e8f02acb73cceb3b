use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;

use super::leases::LeaseNumber;
use super::pins::Pins;
use super::stage::Row;
use super::table::Table;
use crate::{Error, ErrorKind, Key, KeyRange, Result, Revision};

/// What the index keeps of a value: the value itself, or what it takes to find it.
pub trait Payload: Clone + Send + Sync + 'static {
    /// What to keep of a value that was just written.
    fn of(value: Bytes) -> Self;

    /// The size of the value in bytes.
    fn size(&self) -> usize;
}

impl Payload for Bytes {
    fn of(value: Bytes) -> Self {
        value
    }

    fn size(&self) -> usize {
        self.len()
    }
}

/// Where a version of a key stands in history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The write that made this version.
    pub modified: Revision,
    /// Its place inside that revision, from 0.
    pub sub: u32,
    /// The write that made this incarnation; of a deletion, that of the deleted one.
    pub created: Revision,
    /// 1 at creation, one more with every write; 0 for a deletion.
    pub version: u64,
    /// The lease it is attached to.
    pub lease: Option<LeaseNumber>,
    /// A deletion because a lease ran out.
    pub expired: bool,
}

/// One version of a key.
#[derive(Clone, Debug)]
pub struct Version<V> {
    /// Where it stands.
    pub meta: Meta,
    /// The value; `None` is a deletion.
    pub state: Option<V>,
}

/// All versions of one key that are still known; the last one apart, so that a key written once costs no list.
#[derive(Debug)]
pub(super) struct Chain<V> {
    pub(super) last: Version<V>,
    pub(super) older: Vec<Version<V>>,
}

impl<V> Chain<V> {
    /// Adds the newest version.
    pub(super) fn push(&mut self, version: Version<V>) {
        if self.older.is_empty() {
            // Most keys are overwritten once within a history, if at all: room for one and not for four.
            self.older.reserve_exact(1);
        }
        self.older.push(std::mem::replace(&mut self.last, version));
    }

    /// The version that stood at `revision`, deletions included.
    pub(super) fn at(&self, revision: Revision) -> Option<&Version<V>> {
        if self.last.meta.modified <= revision {
            return Some(&self.last);
        }
        let newer = self.older.partition_point(|version| version.meta.modified <= revision);
        newer.checked_sub(1).and_then(|index| self.older.get(index))
    }
}

#[derive(Debug)]
pub(super) struct Slot<V> {
    pub(super) key: Key,
    pub(super) chain: Chain<V>,
}

/// One change, in the order of history: what watches replay and pruning walks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Journaled {
    pub(super) revision: Revision,
    pub(super) slot: usize,
}

/// An index of keys and their versions.
///
/// A hash table answers `get` in one look-up, an ordered map is touched only when a key appears or disappears, and a
/// journal of everything above the floor drives watches and pruning. Slots keep their number while any version of
/// their key is known, so that the journal needs no keys.
#[derive(Debug)]
pub struct Mvcc<V> {
    pub(super) revision: Revision,
    /// Reads and watches below are refused.
    pub(super) compacted: Revision,
    /// What is pruned indeed; lags behind `compacted` while a listing is pinned.
    pub(super) floor: Revision,
    pub(super) table: Table,
    pub(super) order: BTreeMap<Key, usize>,
    pub(super) slots: Vec<Option<Slot<V>>>,
    pub(super) free: Vec<usize>,
    pub(super) journal: VecDeque<Journaled>,
    pub(super) pins: Arc<Pins>,
}

impl<V> Default for Mvcc<V> {
    /// An empty store: at revision 1, nothing compacted.
    fn default() -> Self {
        Self {
            revision: Revision::new(1),
            compacted: Revision::ZERO,
            floor: Revision::ZERO,
            table: Table::default(),
            order: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            journal: VecDeque::new(),
            pins: Arc::default(),
        }
    }
}

impl<V: Payload> Mvcc<V> {
    /// The last revision that was published.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that can be read; zero while nothing was compacted.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// The pins of unfinished listings.
    #[must_use]
    pub fn pins(&self) -> &Arc<Pins> {
        &self.pins
    }

    /// The number of keys with any known version, deleted ones in history included.
    #[must_use]
    pub fn known_keys(&self) -> usize {
        self.table.len()
    }

    /// The last version of a key, a deletion included, and its slot.
    #[must_use]
    pub fn head(&self, key: &[u8]) -> Option<(usize, &Version<V>)> {
        let id = self.find(key)?;
        self.slot(id).map(|slot| (id, &slot.chain.last))
    }

    /// The slot of a key that has any known version.
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        let is_it = |id| self.slot(id).is_some_and(|slot| slot.key.as_bytes() == key);
        self.table.find(self.table.tag(key), is_it)
    }

    /// The version of a key that stood at `revision`, if the key was present.
    #[must_use]
    pub fn at(&self, key: &[u8], revision: Revision) -> Option<(&Key, &Version<V>)> {
        let slot = self.slot(self.find(key)?)?;
        slot.chain.at(revision).filter(|version| version.state.is_some()).map(|version| (&slot.key, version))
    }

    /// Visits the keys of a range that were present at `revision`, in order, until told to stop.
    pub fn scan<B>(
        &self,
        range: &KeyRange,
        revision: Revision,
        reverse: bool,
        mut visit: impl FnMut(&Key, &Version<V>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if range.is_empty() {
            return ControlFlow::Continue(());
        }
        if let Some(key) = range.as_single() {
            return match self.at(key.as_bytes(), revision) {
                Some((key, version)) => visit(key, version),
                None => ControlFlow::Continue(()),
            };
        }
        let bounds: (Bound<&[u8]>, Bound<&[u8]>) =
            (range.start.as_ref().map(Key::as_bytes), range.end.as_ref().map(Key::as_bytes));
        let mut one = |(key, id): (&Key, &usize)| match self.slot(*id).and_then(|slot| slot.chain.at(revision)) {
            Some(version) if version.state.is_some() => visit(key, version),
            _ => ControlFlow::Continue(()),
        };
        let mut keys = self.order.range::<[u8], _>(bounds);
        if reverse { keys.rev().try_for_each(&mut one) } else { keys.try_for_each(&mut one) }
    }

    /// Whether a read at `revision` can be answered. A pinned revision can, whatever was compacted since.
    ///
    /// # Errors
    /// `Compacted` below what is known, `FutureRevision` above the present.
    pub fn check_readable(&self, revision: Revision) -> Result<()> {
        if revision < self.compacted && !(self.holds(revision) && self.pins.has(revision)) {
            return Err(self.compacted_error());
        }
        if revision > self.revision {
            return Err(Error::new(
                ErrorKind::FutureRevision { current: self.revision },
                format!("the store is at revision {}", self.revision),
            ));
        }
        Ok(())
    }

    /// Whether everything that stood at `revision` is still there, for whoever has pinned it.
    pub(super) fn holds(&self, revision: Revision) -> bool {
        revision >= self.floor
    }

    pub(super) fn compacted_error(&self) -> Error {
        Error::new(
            ErrorKind::Compacted { oldest: self.compacted },
            format!("the oldest revision that can be read is {}", self.compacted),
        )
    }

    /// The last version of a row's key, before the row is pushed.
    pub(super) fn head_meta(&self, row: &Row) -> Option<Meta> {
        let id = row.slot.or_else(|| self.find(row.key.as_bytes()))?;
        self.slot(id).map(|slot| slot.chain.last.meta)
    }

    /// Publishes one row. Rows come in the order of history.
    pub(super) fn push(&mut self, row: Row) {
        let Row { key, meta, value, slot } = row;
        let version = Version { meta, state: value.map(V::of) };
        let known = slot.or_else(|| self.find(key.as_bytes()));
        let id = match known {
            Some(id) => {
                if let Some(Some(slot)) = self.slots.get_mut(id) {
                    slot.chain.push(version);
                }
                id
            }
            None => self.insert(key, version),
        };
        self.revision = meta.modified;
        self.journal.push_back(Journaled { revision: meta.modified, slot: id });
    }

    pub(super) fn insert(&mut self, key: Key, version: Version<V>) -> usize {
        let slot = Some(Slot { key: key.clone(), chain: Chain { last: version, older: Vec::new() } });
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.slots.get_mut(id) {
                    *place = slot;
                }
                id
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.table.insert(self.table.tag(key.as_bytes()), id);
        self.order.insert(key, id);
        id
    }

    pub(super) fn remove(&mut self, id: usize) {
        if let Some(slot) = self.slots.get_mut(id).and_then(Option::take) {
            self.table.remove(self.table.tag(slot.key.as_bytes()), id);
            self.order.remove(slot.key.as_bytes());
            self.free.push(id);
        }
    }

    pub(super) fn slot(&self, id: usize) -> Option<&Slot<V>> {
        self.slots.get(id).and_then(Option::as_ref)
    }
}
