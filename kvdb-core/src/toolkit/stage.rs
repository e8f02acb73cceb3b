use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;

use super::index::{Found, Index};
use super::leases::{LeaseNumber, lease_number};
use super::mvcc::{Meta, Payload};
use super::stage_leases::LeaseChange;
use crate::{Batch, Entry, Guard, Key, KeyRange, LeaseId, Op, OpResult, Outcome, Result, Revision};

/// One write that was staged: a version of a key.
#[derive(Clone, Debug)]
pub struct Row {
    /// The key.
    pub key: Key,
    /// Where the version stands.
    pub meta: Meta,
    /// The value; `None` is a deletion.
    pub value: Option<Bytes>,
    /// Where the index keeps the key, if it did when the row was staged.
    pub(super) slot: Option<usize>,
}

impl Row {
    /// A row as a stage would make it, for a backend's own tests of its format.
    #[must_use]
    pub fn new(key: Key, meta: Meta, value: Option<Bytes>) -> Self {
        Self { key, meta, value, slot: None }
    }
}

/// What a group of requests writes: publish it with [`Index::apply`], after it is durable.
#[derive(Debug)]
pub struct Staged {
    /// The rows, in the order of history.
    pub rows: Vec<Row>,
    /// The changes of leases, in order.
    pub leases: Vec<LeaseChange>,
}

impl Staged {
    /// Whether nothing is to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.leases.is_empty()
    }
}

/// Evaluates requests against an index and everything staged before, without changing the index.
///
/// Each changing batch takes the next revision; a failing one leaves no trace. A stage with one batch, the usual case
/// in memory, builds no side index.
#[derive(Debug)]
pub struct Stage<'a, V> {
    pub(super) index: &'a Index<V>,
    pub(super) now: Duration,
    revision: Revision,
    pub(super) rows: Vec<Row>,
    /// The last staged row of each key, of the requests before the present one.
    pub(super) overlay: BTreeMap<Key, usize>,
    overlaid: usize,
    pub(super) leases: Vec<LeaseChange>,
}

/// How a key stands before the present request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prior {
    slot: Option<usize>,
    staged: Option<usize>,
    meta: Option<Meta>,
}

impl<'a, V: Payload> Stage<'a, V> {
    /// A stage over the index as it is; `now` is the monotonic time and only looked at for leases.
    #[must_use]
    pub fn new(index: &'a Index<V>, now: Duration) -> Self {
        Self {
            index,
            now,
            revision: index.mvcc.revision(),
            rows: Vec::new(),
            overlay: BTreeMap::new(),
            overlaid: 0,
            leases: Vec::new(),
        }
    }

    /// The revision of the last staged batch, or the index's.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What is to be written.
    #[must_use]
    pub fn finish(self) -> Staged {
        Staged { rows: self.rows, leases: self.leases }
    }

    /// Checks the guards of a batch and stages its ops. `load` fetches the value of a stored version, for entries
    /// before a write that were asked for.
    ///
    /// # Errors
    /// `LeaseNotFound` for a put to a lease that is not alive, and what `load` answers; nothing is staged then.
    pub fn commit(&mut self, batch: &Batch, mut load: impl FnMut(&Found<V>) -> Result<Bytes>) -> Result<Outcome> {
        self.overlay_rows();
        if !batch.guards.iter().all(|guard| self.holds(guard)) {
            return Ok(Outcome::Conflict);
        }
        let start = self.rows.len();
        let mut results = Vec::with_capacity(batch.ops.len());
        for op in &batch.ops {
            match self.op(op, start, &mut load) {
                Ok(result) => results.push(result),
                Err(error) => {
                    self.withdraw(start);
                    return Err(error);
                }
            }
        }
        self.close_batch(start);
        Ok(Outcome::Committed { revision: self.revision, results })
    }

    /// Whether a guard holds after what was staged before the present request.
    fn holds(&self, guard: &Guard) -> bool {
        let present = if cfg!(kvdb_mutant = "guard_outside_commit") {
            self.stored(guard.key()).meta
        } else {
            self.prior(guard.key()).meta
        };
        match guard {
            Guard::Absent(_) => present.is_none(),
            Guard::Present(_) => present.is_some(),
            Guard::Unchanged(_, revision) => present.is_some_and(|meta| meta.modified == *revision),
        }
    }

    pub(super) fn op(
        &mut self,
        op: &Op,
        start: usize,
        load: impl FnMut(&Found<V>) -> Result<Bytes>,
    ) -> Result<OpResult> {
        match op {
            Op::Put { key, value, lease, previous } => {
                if let Some(lease) = lease {
                    self.alive(lease)?;
                }
                let prior = self.prior(key);
                let previous = if *previous { self.entry_before(key, prior, load)? } else { None };
                let lease = lease.as_ref().map(lease_number).transpose()?;
                let revision = self.revision.next();
                let meta = Meta {
                    modified: revision,
                    sub: self.next_sub(start),
                    created: prior.meta.map_or(revision, |meta| meta.created),
                    version: prior.meta.map_or(0, |meta| meta.version) + 1,
                    lease,
                    expired: false,
                };
                let ttl = lease.and_then(|lease| self.lease(lease)).map(|(ttl, _)| ttl);
                let entry = entry(key.clone(), meta, value.clone(), ttl);
                self.rows.push(Row { key: key.clone(), meta, value: Some(value.clone()), slot: prior.slot });
                Ok(OpResult::Put { entry, previous })
            }
            Op::Delete { key, previous } => {
                let prior = self.prior(key);
                let previous = if *previous { self.entry_before(key, prior, load)? } else { None };
                let removed = u64::from(self.delete(key.clone(), prior, start, false));
                Ok(OpResult::Deleted { removed, previous })
            }
            Op::DeleteRange { range } => {
                let mut removed = 0;
                for key in self.keys_of(range) {
                    let prior = self.prior(&key);
                    removed += u64::from(self.delete(key, prior, start, false));
                }
                Ok(OpResult::Deleted { removed, previous: None })
            }
        }
    }

    /// Stages a deletion; answers whether there was anything to delete.
    pub(super) fn delete(&mut self, key: Key, prior: Prior, start: usize, expired: bool) -> bool {
        let Some(before) = prior.meta else { return false };
        let meta = Meta {
            modified: self.revision.next(),
            sub: self.next_sub(start),
            created: before.created,
            version: 0,
            lease: None,
            expired,
        };
        self.rows.push(Row { key, meta, value: None, slot: prior.slot });
        true
    }

    /// Ends a request that may have written: it takes a revision if it did.
    pub(super) fn close_batch(&mut self, start: usize) {
        if self.rows.len() > start {
            self.revision = self.revision.next();
        }
    }

    /// Takes back what a failed request has staged.
    pub(super) fn withdraw(&mut self, start: usize) {
        self.rows.truncate(start);
        if self.overlaid > start {
            self.overlay.clear();
            self.overlaid = 0;
            self.overlay_rows();
        }
    }

    /// Makes the rows of earlier requests visible to the present one.
    pub(super) fn overlay_rows(&mut self) {
        for (place, row) in self.rows.iter().enumerate().skip(self.overlaid) {
            self.overlay.insert(row.key.clone(), place);
        }
        self.overlaid = self.rows.len();
    }

    pub(super) fn prior(&self, key: &Key) -> Prior {
        let Some(place) = (!self.overlay.is_empty()).then(|| self.overlay.get(key)).flatten() else {
            return self.stored(key);
        };
        let row = self.rows.get(*place);
        let live = row.filter(|row| row.value.is_some());
        Prior { slot: row.and_then(|row| row.slot), staged: Some(*place), meta: live.map(|row| row.meta) }
    }

    fn stored(&self, key: &Key) -> Prior {
        match self.index.mvcc.head(key.as_bytes()) {
            Some((slot, version)) => {
                Prior { slot: Some(slot), staged: None, meta: version.state.is_some().then_some(version.meta) }
            }
            None => Prior { slot: None, staged: None, meta: None },
        }
    }

    /// A key's entry after everything that was staged and overlaid.
    pub(super) fn entry_now(
        &self,
        key: &Key,
        load: &mut impl FnMut(&Found<V>) -> Result<Bytes>,
    ) -> Result<Option<Entry>> {
        self.entry_before(key, self.prior(key), load)
    }

    fn entry_before(
        &self,
        key: &Key,
        prior: Prior,
        mut load: impl FnMut(&Found<V>) -> Result<Bytes>,
    ) -> Result<Option<Entry>> {
        let Some(meta) = prior.meta else { return Ok(None) };
        if let Some(row) = prior.staged.and_then(|place| self.rows.get(place)) {
            let ttl = meta.lease.and_then(|lease| self.lease(lease)).map(|(ttl, _)| ttl);
            return Ok(row.value.clone().map(|value| entry(key.clone(), meta, value, ttl)));
        }
        let Some(found) = self.index.get(key) else { return Ok(None) };
        let value = load(&found)?;
        Ok(Some(found.into_entry(value)))
    }

    /// The keys of a range that are present after everything staged before the present request, in order.
    pub(super) fn keys_of(&self, range: &KeyRange) -> Vec<Key> {
        let mut keys = Vec::new();
        let mvcc = &self.index.mvcc;
        let _: ControlFlow<()> = mvcc.scan(range, mvcc.revision(), false, |key, _| {
            keys.push(key.clone());
            ControlFlow::Continue(())
        });
        if !self.overlay.is_empty() {
            keys.extend(self.overlay.keys().filter(|key| range.contains(key.as_bytes())).cloned());
            keys.sort_unstable();
            keys.dedup();
            keys.retain(|key| self.prior(key).meta.is_some());
        }
        keys
    }

    fn next_sub(&self, start: usize) -> u32 {
        u32::try_from(self.rows.len() - start).unwrap_or(u32::MAX)
    }

    fn alive(&self, lease: &LeaseId) -> Result<()> {
        let number = lease_number(lease)?;
        match self.lease(number) {
            Some((_, deadline)) if deadline > self.now => Ok(()),
            _ => Err(super::leases::not_found(lease)),
        }
    }

    /// Whether a key is attached to a lease after everything staged before the present request.
    pub(super) fn attached(&self, key: &Key, lease: LeaseNumber) -> bool {
        cfg!(kvdb_mutant = "old_ttl_fires") || self.prior(key).meta.is_some_and(|meta| meta.lease == Some(lease))
    }
}

fn entry(key: Key, meta: Meta, value: Bytes, ttl: Option<Duration>) -> Entry {
    Found { key, meta, value: (), ttl }.into_entry(value)
}
