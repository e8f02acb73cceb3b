//! Changes that are written to the target together.

use std::collections::BTreeMap;

use crate::{Bytes, Key, KvPair, Limits, TxnOp};

/// The most writes of one commit, where the store takes as many: what is lost by a kill is done again.
const OPS: usize = 500;
/// The most bytes likewise.
const BYTES: usize = 1 << 20;
/// What the numbers and names of a position take.
const POSITION: usize = 256;

/// What one commit has room for beside its guards and the position.
#[derive(Clone, Debug)]
pub(super) struct Room {
    ops: usize,
    /// As long as several changes share a commit.
    bytes: usize,
    /// For a change that is too long for that.
    most: usize,
    /// What the domain adds to a key.
    domain: usize,
}

impl Room {
    /// Of a store with these limits, for commits guarded by `guards` whose position is at `note` and names `source`.
    pub(super) fn new(limits: &Limits, domain: &str, guards: [&Key; 2], note: &Key, source: &str) -> Self {
        let taken = guards.iter().map(|key| key.len()).sum::<usize>() + note.len() + 2 * source.len() + POSITION;
        let most = limits.batch_bytes.saturating_sub(taken);
        let ops = limits.batch_ops.saturating_sub(guards.len() + 1).clamp(1, OPS);
        Self { ops, bytes: most.min(BYTES), most, domain: domain.len() + 1 }
    }

    fn bytes_of(&self, key: &str, value: Option<&Bytes>) -> usize {
        self.domain + key.len() + value.map_or(0, Bytes::len)
    }
}

/// Keys with the values they get, or with `None` those that are deleted; each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    changes: BTreeMap<String, Option<Bytes>>,
    bytes: usize,
    /// The longest key: a position may have to name it, with every quotation mark escaped.
    longest: usize,
}

impl Batch {
    /// The batch of one change.
    pub(super) fn of(key: String, value: Option<Bytes>, room: &Room) -> Self {
        let mut batch = Self::default();
        batch.set(key, value, room);
        batch
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether one commit has room for it.
    pub(super) fn fits(&self, room: &Room) -> bool {
        let most = if self.changes.len() == 1 { room.most } else { room.bytes };
        self.changes.len() <= room.ops && self.bytes + 2 * self.longest <= most
    }

    /// Notes a change, in the place of an earlier one of the same key.
    pub(super) fn set(&mut self, key: String, value: Option<Bytes>, room: &Room) {
        self.bytes += room.bytes_of(&key, value.as_ref());
        self.longest = self.longest.max(key.len());
        if let Some(Some(old)) = self.changes.insert(key, value) {
            self.bytes = self.bytes.saturating_sub(old.len());
        }
    }

    /// Takes the later changes of `more` in, if one commit has room for all; else gives them back.
    pub(super) fn merge(&mut self, more: Self, room: &Room) -> Result<(), Self> {
        let together =
            Self { changes: BTreeMap::new(), bytes: self.bytes + more.bytes, longest: self.longest.max(more.longest) };
        let ops = self.changes.len() + more.changes.len();
        if !self.is_empty() && (ops > room.ops || together.bytes + 2 * together.longest > room.bytes) {
            return Err(more);
        }
        self.changes.extend(more.changes);
        (self.bytes, self.longest) = (together.bytes, together.longest);
        Ok(())
    }

    /// Cuts it into parts that each fit, in key order; a single change that fits nowhere is a part of its own.
    pub(super) fn parts(self, room: &Room) -> Vec<Self> {
        if self.fits(room) {
            return vec![self];
        }
        let mut parts = vec![Self::default()];
        for (key, value) in self.changes {
            let one = Self::of(key, value, room);
            let rest = match parts.last_mut() {
                Some(last) => last.merge(one, room).err(),
                None => Some(one),
            };
            parts.extend(rest);
        }
        parts
    }

    /// The one change, if it is one.
    pub(super) fn only(&self) -> Option<(&str, Option<&Bytes>)> {
        let mut changes = self.changes.iter();
        let (key, value) = changes.next()?;
        changes.next().is_none().then_some((key, value.as_ref()))
    }

    pub(super) fn ops(&self) -> Vec<TxnOp> {
        let op = |(key, value): (&String, &Option<Bytes>)| match value {
            Some(value) => TxnOp::Put { key: key.clone(), value: value.clone(), ttl: None, lease: None },
            None => TxnOp::Delete { key: key.clone() },
        };
        self.changes.iter().map(op).collect()
    }

    /// How many keys it writes, how many it deletes, and the bytes of what it writes.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        self.changes.iter().fold((0, 0, 0), |(written, deleted, bytes), (key, value)| match value {
            Some(value) => (written + 1, deleted, bytes + (key.len() + value.len()) as u64),
            None => (written, deleted + 1, bytes),
        })
    }
}

/// Whether the target's pair is what a mirror would write for the source's: leased keys are permanent there.
pub(super) fn is_same(source: &KvPair, target: &KvPair) -> bool {
    source.value == target.value && target.lease.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(ops: usize, bytes: usize) -> Room {
        Room { ops, bytes, most: 2 * bytes, domain: 0 }
    }

    fn batch(keys: &[&str], room: &Room) -> Batch {
        let mut batch = Batch::default();
        keys.iter().for_each(|key| batch.set((*key).to_owned(), Some(Bytes::from_static(b"12345678")), room));
        batch
    }

    #[test]
    fn a_batch_is_cut_only_where_it_does_not_fit() {
        let room = room(3, 100);
        assert_eq!(batch(&["a", "b", "c"], &room).parts(&room).len(), 1);
        let parts = batch(&["a", "b", "c", "d", "e", "f", "g"], &room).parts(&room);
        assert_eq!(parts.iter().map(|part| part.ops().len()).collect::<Vec<_>>(), [3, 3, 1]);
        assert!(parts.iter().all(|part| part.fits(&room)));
        // What is too long for any commit stands alone.
        let mut long = batch(&["a", "c"], &room);
        long.set("b".to_owned(), Some(Bytes::from(vec![0; 300])), &room);
        let parts = long.parts(&room);
        assert_eq!(parts.iter().map(|part| part.fits(&room)).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(parts[1].only().map(|(key, _)| key), Some("b"));
    }

    #[test]
    fn what_comes_later_takes_the_place_of_what_came_before() {
        let room = room(3, 100);
        let mut first = batch(&["a", "b"], &room);
        first.merge(Batch::of("a".to_owned(), None, &room), &room).unwrap();
        assert_eq!(first.counts(), (1, 1, 9));
        let refused = first.merge(batch(&["x", "y"], &room), &room).unwrap_err();
        assert_eq!((refused.ops().len(), first.ops().len()), (2, 2));
    }
}
