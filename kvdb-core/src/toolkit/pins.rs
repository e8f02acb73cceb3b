use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Revision;

/// The revisions that unfinished listings still read. Pruning stops below the oldest of them.
///
/// Locked for moments, after the index lock and never before it.
#[derive(Debug, Default)]
pub struct Pins(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    live: BTreeMap<u64, (Revision, Duration)>,
}

/// Holds the history from one revision on, until dropped or until its time is over.
#[derive(Debug)]
pub struct Pin {
    pins: Arc<Pins>,
    id: u64,
}

impl Pins {
    /// Pins `revision` until `until`; call it under the index lock under which the revision was read.
    #[must_use]
    pub fn hold(self: &Arc<Self>, revision: Revision, until: Duration) -> Pin {
        let mut table = self.table();
        let id = table.next;
        table.next += 1;
        table.live.insert(id, (revision, until));
        Pin { pins: Arc::clone(self), id }
    }

    /// Whether exactly this revision is pinned.
    #[must_use]
    pub fn has(&self, revision: Revision) -> bool {
        self.table().live.values().any(|(pinned, _)| *pinned == revision)
    }

    /// The oldest revision that is pinned at `now`.
    #[must_use]
    pub fn oldest(&self, now: Duration) -> Option<Revision> {
        self.table().live.values().filter(|(_, until)| *until > now).map(|(revision, _)| *revision).min()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.pins.table().live.remove(&self.id);
    }
}
