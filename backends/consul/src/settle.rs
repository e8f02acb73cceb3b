//! Commits whose answer was lost (contract 10.4).

use kvdb_core::{Batch, Key, Op, OpResult, Outcome, Revision};

use crate::backend::Shared;
use crate::commit::{Marker, entry};
use crate::plan::{Belief, State};

impl Shared {
    /// The outcome of a transaction whose answer was lost, if one of its numbers proves that it went through.
    pub(crate) async fn settle(&self, batch: &Batch, beliefs: &[Belief], marker: Option<&Marker>) -> Option<Outcome> {
        let tells_previous = |(op, belief): (&Op, &Belief)| {
            matches!(op, Op::Put { previous: true, .. } | Op::Delete { previous: true, .. })
                && belief.state != State::Absent
        };
        if batch.ops.iter().zip(beliefs).any(tells_previous) {
            return None;
        }
        let mut found = Vec::with_capacity(batch.ops.len());
        let mut revision = None;
        for (op, belief) in batch.ops.iter().zip(beliefs) {
            let item = match op {
                Op::Put { key, .. } => self.item(key, "consistent").await.ok()?.0,
                _ => None,
            };
            if let Some(ours) = item.as_ref().filter(|item| item.flags == belief.flags) {
                revision = Some(ours.modify_index);
            }
            found.push(item);
        }
        if let Some(marker) = marker {
            let item = self.item(&Key::from(&*marker.key), "consistent").await.ok()?.0;
            revision = item.filter(|item| item.flags == marker.flags).map(|item| item.modify_index);
        }
        let revision = revision?;
        self.highest.saw(revision);
        let results = batch.ops.iter().zip(beliefs).zip(found).map(|((op, belief), item)| match op {
            Op::Put { key, value, lease, .. } => {
                // Written again since, but still the same incarnation.
                let created = item.map(|item| item.create_index).filter(|created| *created <= revision)?;
                let entry = entry(key, value, lease.as_ref(), created, Revision::new(revision));
                Some(OpResult::Put { entry, previous: None })
            }
            _ => Some(OpResult::Deleted { removed: u64::from(belief.state != State::Absent), previous: None }),
        });
        let results = results.collect::<Option<_>>()?;
        Some(Outcome::Committed { revision: Revision::new(revision), results })
    }
}
