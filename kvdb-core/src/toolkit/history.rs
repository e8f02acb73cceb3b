use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::mvcc::{Chain, Journaled, Meta, Mvcc, Payload, Version};
use crate::{Error, ErrorKind, Key, Result, Revision};

/// How much history a store keeps by itself.
#[derive(Debug)]
pub struct History {
    /// At least this many revisions; 0 is no bound.
    revisions: u64,
    /// What is younger than this; `None` is no bound.
    age: Option<Duration>,
    /// When which revision was the present one, sampled.
    samples: VecDeque<(Duration, Revision)>,
}

impl History {
    /// A bound by number of revisions (0: none) and by age (`None`: none). With both, whatever cuts more.
    #[must_use]
    pub fn new(revisions: u64, age: Option<Duration>) -> Self {
        Self { revisions, age, samples: VecDeque::new() }
    }

    /// Whether [`History::due`] needs the time at all: reading a clock costs more than a hash look-up.
    #[must_use]
    pub fn by_age(&self) -> bool {
        self.age.is_some()
    }

    /// The revision to compact to, when enough has gathered to be worth a walk. `now` counts with an age bound and
    /// while a listing is pinned.
    pub fn due<V: Payload>(&mut self, index: &Mvcc<V>, now: impl Fn() -> Duration) -> Option<Revision> {
        let mut target = index.compacted;
        let kept = index.revision.get().saturating_sub(index.compacted.get());
        // A tenth over the bound, so that the walk is paid once for many writes.
        if self.revisions > 0 && kept > self.revisions + self.revisions / 10 {
            target = target.max(Revision::new(index.revision.get() - self.revisions));
        }
        if let Some(age) = self.age {
            target = target.max(self.older_than(age, index.revision, now()).unwrap_or_default());
        }
        let pruned_less = index.floor < index.compacted && index.floor < index.prune_limit(index.compacted, now());
        (target > index.compacted || pruned_less).then_some(target)
    }

    fn older_than(&mut self, age: Duration, revision: Revision, now: Duration) -> Option<Revision> {
        // Sixteen samples an age: history lives at most a sixteenth longer than asked for.
        let due = self.samples.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= age / 16);
        if due {
            self.samples.push_back((now, revision));
        }
        let mut passed = None;
        while let Some((_, revision)) = self.samples.front().copied().filter(|(at, _)| now.saturating_sub(*at) > age) {
            passed = Some(revision);
            self.samples.pop_front();
        }
        passed
    }
}

impl<V: Payload> Mvcc<V> {
    /// Checks an explicit compaction.
    ///
    /// # Errors
    /// `FutureRevision` above the present.
    pub fn check_compaction(&self, before: Revision) -> Result<()> {
        if before > self.revision {
            return Err(Error::new(
                ErrorKind::FutureRevision { current: self.revision },
                format!("the store is at revision {}", self.revision),
            ));
        }
        Ok(())
    }

    /// Refuses reads below `before` from now on; answers how far [`Mvcc::prune`] may go: not above the oldest pin.
    pub fn refuse_below(&mut self, before: Revision, now: Duration) -> Revision {
        self.compacted = self.compacted.max(before.min(self.revision));
        self.prune_limit(self.compacted, now)
    }

    /// What [`Mvcc::prune`] to this floor drops, by revision and place in it, unsorted.
    #[must_use]
    pub fn prunable(&self, floor: Revision) -> Vec<(Revision, u32)> {
        let mut seen = HashSet::new();
        let mut rows = Vec::new();
        for entry in self.journal.iter().take_while(|entry| entry.revision <= floor) {
            if !seen.insert(entry.slot) {
                continue;
            }
            let Some(slot) = self.slot(entry.slot) else { continue };
            let Fate { older, last } = slot.chain.fate(floor);
            let gone = slot.chain.older.iter().take(older).chain(last.then_some(&slot.chain.last));
            rows.extend(gone.map(|version| (version.meta.modified, version.meta.sub)));
        }
        rows
    }

    /// Drops what nobody needs who reads at `floor` or above: versions overwritten at or below it, and deletions.
    pub fn prune(&mut self, floor: Revision) {
        while let Some(entry) = self.journal.front().copied().filter(|entry| entry.revision <= floor) {
            self.journal.pop_front();
            let Some(Some(slot)) = self.slots.get_mut(entry.slot) else { continue };
            let Fate { older, last } = slot.chain.fate(floor);
            if last {
                self.remove(entry.slot);
            } else if older > 0 {
                slot.chain.older.drain(..older);
                if slot.chain.older.is_empty() {
                    slot.chain.older = Vec::new();
                }
            }
        }
        self.floor = self.floor.max(floor);
    }

    /// Refuses reads below `before` and drops what may be dropped; the rest goes with a later call.
    pub fn compact(&mut self, before: Revision, now: Duration) {
        let floor = self.refuse_below(before, now);
        self.prune(floor);
    }

    pub(super) fn prune_limit(&self, target: Revision, now: Duration) -> Revision {
        self.pins.oldest(now).map_or(target, |pinned| pinned.min(target))
    }

    /// Starts an index at what a file says: its last revision and what it has compacted.
    #[must_use]
    pub fn restored(revision: Revision, compacted: Revision) -> Self {
        Self { revision, compacted, floor: compacted, ..Self::default() }
    }

    /// Takes one row of a file, in the order of history; answers the rows that are garbage now: what was overwritten
    /// at or below the compacted revision and deletions there.
    pub fn restore(&mut self, key: Key, meta: Meta, state: Option<V>) -> Vec<(Revision, u32)> {
        let mut garbage = Vec::new();
        let version = Version { meta, state };
        let kept = meta.modified > self.floor;
        self.revision = self.revision.max(meta.modified);
        let id = match self.find(key.as_bytes()) {
            Some(id) => {
                let deleted = version.state.is_none();
                if let Some(Some(slot)) = self.slots.get_mut(id) {
                    if kept {
                        slot.chain.push(version);
                    } else {
                        let before = std::mem::replace(&mut slot.chain.last, version);
                        garbage.push((before.meta.modified, before.meta.sub));
                    }
                }
                if !kept && deleted {
                    garbage.push((meta.modified, meta.sub));
                    self.remove(id);
                }
                id
            }
            None if !kept && version.state.is_none() => {
                garbage.push((meta.modified, meta.sub));
                return garbage;
            }
            None => self.insert(key, version),
        };
        if kept {
            self.journal.push_back(Journaled { revision: meta.modified, slot: id });
        }
        garbage
    }
}

/// What pruning does to a chain: how many older versions go, and whether the last one (then all) goes too.
struct Fate {
    older: usize,
    last: bool,
}

impl<V> Chain<V> {
    fn fate(&self, floor: Revision) -> Fate {
        if self.last.meta.modified <= floor {
            return Fate { older: self.older.len(), last: self.last.state.is_none() };
        }
        let below = self.older.partition_point(|version| version.meta.modified <= floor);
        // The newest one at or below the floor is the state at the floor: it stays, unless it is a deletion.
        let newest = below.checked_sub(1).and_then(|index| self.older.get(index));
        let older = if newest.is_some_and(|version| version.state.is_some()) { below - 1 } else { below };
        Fate { older, last: false }
    }
}
