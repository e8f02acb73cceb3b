//! The ids of a handle's waiters.
//!
//! An id whose waiter has surely left is used again. A store that keeps its history keeps every key that ever was in its
//! index, and walks over them when it lists a queue: on etcd a lock that had been taken 1,500 times, each time under an
//! id of its own, took 160 us longer to take than one that used the same id.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Key;

/// How many ids are kept: more waiters at a time than this are many hundred locks, whose queues are apart.
const KEPT: usize = 256;

/// Ids that no waiter of this handle uses now, and under which nothing is on its way to the store.
#[derive(Debug, Default)]
pub(super) struct Ids(Mutex<Vec<String>>);

impl Ids {
    fn free(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An id that no other waiter uses: the one that was given back last, else one that never was.
    pub(super) fn take(&self) -> String {
        self.free().pop().unwrap_or_else(unique)
    }

    /// The waiter of this key is gone, by the store's own word to its enqueue and to its leave.
    pub(super) fn give_back(&self, waiter: &Key) {
        let id = waiter.as_bytes().rsplit(|byte| *byte == b'/').next().and_then(|id| std::str::from_utf8(id).ok());
        let mut free = self.free();
        if let Some(id) = id.filter(|_| free.len() < KEPT) {
            free.push(id.to_owned());
        }
    }
}

/// 128 random bits as text: no two are ever equal.
pub(super) fn unique() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_used_by_one_waiter_at_a_time_and_again_by_a_later_one() {
        let ids = Ids::default();
        let (first, second) = (ids.take(), ids.take());
        assert_ne!(first, second);
        ids.give_back(&Key::from(format!("app/_kvdb/lock/a/_kvdb/{first}")));
        assert_eq!(ids.take(), first);
        assert_ne!(ids.take(), first);
    }

    #[test]
    fn ids_are_kept_up_to_a_bound() {
        let ids = Ids::default();
        for n in 0..KEPT + 10 {
            ids.give_back(&Key::from(format!("lock/{n}")));
        }
        assert_eq!(ids.free().len(), KEPT);
    }
}
