use super::mvcc::{Meta, Mvcc, Payload};
use crate::{Key, KeyRange, Revision};

/// One change of history, with what stood there before.
#[derive(Clone, Debug)]
pub struct Step<V> {
    /// The key.
    pub key: Key,
    /// The version that was written.
    pub meta: Meta,
    /// Its value; `None` is a deletion.
    pub state: Option<V>,
    /// The version before, if the key was present.
    pub before: Option<(Meta, V)>,
}

/// How many journal entries one call looks at, so that the lock is held for some ten microseconds at most.
const SCAN: usize = 4096;

impl<V: Payload> Mvcc<V> {
    /// The changes of a range above `cursor`, in order, whole revisions only; and up to which revision they are all.
    ///
    /// Stops after about `max` changes or `bytes` of values, at the end of a revision.
    #[must_use]
    pub fn changes_after(
        &self,
        cursor: Revision,
        range: &KeyRange,
        max: usize,
        bytes: usize,
    ) -> (Vec<Step<V>>, Revision) {
        let start = self.journal.partition_point(|entry| entry.revision <= cursor);
        let mut steps: Vec<Step<V>> = Vec::new();
        let mut told = cursor;
        let mut size = 0;
        for (looked, entry) in self.journal.range(start..).enumerate() {
            if entry.revision != told {
                if told != cursor && (steps.len() >= max || size >= bytes || looked >= SCAN) {
                    return (steps, told);
                }
                told = entry.revision;
            }
            if let Some(step) = self.step(entry.slot, entry.revision, range) {
                size += step.state.as_ref().map_or(0, V::size);
                steps.push(step);
            }
        }
        (steps, self.revision.max(cursor))
    }

    fn step(&self, slot: usize, revision: Revision, range: &KeyRange) -> Option<Step<V>> {
        let slot = self.slot(slot)?;
        if !range.contains(slot.key.as_bytes()) {
            return None;
        }
        let version = slot.chain.at(revision)?;
        let before = match revision.get().checked_sub(1) {
            Some(earlier) => slot.chain.at(Revision::new(earlier)),
            None => None,
        };
        Some(Step {
            key: slot.key.clone(),
            meta: version.meta,
            state: version.state.clone(),
            before: before.and_then(|before| before.state.clone().map(|value| (before.meta, value))),
        })
    }
}
