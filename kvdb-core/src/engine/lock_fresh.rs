//! Locks that were taken a moment ago. Most are released within it, and cost no task of their own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::lock_guard::Held;

/// How long a lock is held before its key is watched: many are held for a few round trips only, and a watch would cost
/// them two more. A loss in that time is told that much later unless somebody waits to hear it; the fence refuses from
/// the first moment.
pub(super) const UNWATCHED: Duration = Duration::from_millis(50);

/// The locks that are held for less than [`UNWATCHED`], the oldest first.
#[derive(Debug, Default)]
pub(super) struct Fresh(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    locks: VecDeque<(Instant, Weak<Held>)>,
    /// A task looks after them.
    attended: bool,
}

impl Fresh {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the oldest one is due. Without one the task that asks is to end.
    fn next_due(&self) -> Option<Instant> {
        let mut waiting = self.waiting();
        let next = waiting.locks.front().map(|(due, _)| *due);
        waiting.attended = next.is_some();
        next
    }

    fn take_due(&self, now: Instant) -> Vec<Weak<Held>> {
        let mut waiting = self.waiting();
        let due = waiting.locks.iter().take_while(|(due, _)| *due <= now).count();
        waiting.locks.drain(..due).map(|(_, held)| held).collect()
    }
}

impl Shared {
    /// Has a lock watched over, once it is held for [`UNWATCHED`].
    pub(super) fn attend_later(self: &Arc<Self>, held: &Arc<Held>) {
        let mut waiting = self.fresh.waiting();
        waiting.locks.push_back((Instant::now() + UNWATCHED, Arc::downgrade(held)));
        if !std::mem::replace(&mut waiting.attended, true) {
            self.runtime.spawn(attend(Arc::downgrade(self)));
        }
    }
}

async fn attend(shared: Weak<Shared>) {
    loop {
        let Some(next) = shared.upgrade().and_then(|shared| shared.fresh.next_due()) else { return };
        tokio::time::sleep_until(next).await;
        let Some(shared) = shared.upgrade() else { return };
        for held in shared.fresh.take_due(Instant::now()) {
            if let Some(held) = held.upgrade() {
                held.attend();
            }
        }
    }
}
