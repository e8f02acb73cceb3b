//! Where a waiter stands in a lock's queue, and whom it waits for.
//!
//! Whoever comes behind an enqueue cannot come before it any more, so that a waiter's turn comes by others leaving
//! alone. An exclusive waiter waits for all before it and watches the last of them, so that a release wakes one. A shared
//! one waits for the exclusive ones before it and watches the last of these. One of a semaphore learns of whoever leaves
//! before it, for any of them may: it watches the whole queue and counts, without asking the store again.

use super::lock_queue::Queue;
use super::lock_ticket::{mode, shown};
use super::lock_wait::Ahead;
use crate::{Entry, Error, ErrorKind, Key, LockMode, Result, Retry, Revision};

/// Where a waiter stands.
#[derive(Debug)]
pub(super) enum Stand {
    /// Its turn has come.
    Turn,
    /// It waits for others.
    Behind {
        ahead: Ahead,
        /// Its turn has come once these have left, without another look.
        then_turn: bool,
    },
}

impl Queue {
    /// Where a waiter stands that takes the lock so.
    ///
    /// # Errors
    /// `LockLost` if it does not stand in the queue; `InvalidLock` if one before it takes the lock in a way that does not
    /// go with this one.
    pub(super) fn stand(&self, directory: &str, waiter: &Key, mine: LockMode) -> Result<Stand> {
        let place = self.waiters.iter().position(|other| other.key == *waiter).ok_or_else(lease_lost)?;
        let before: Vec<(&Entry, LockMode)> =
            self.waiters.iter().take(place).map(|other| (other, mode(other))).collect();
        if let Some((other, theirs)) = before.iter().find(|(_, theirs)| !mine.goes_with(*theirs)) {
            return Err(mixed(other, *theirs, mine));
        }
        let most = match mine {
            LockMode::Permits(permits) => usize::try_from(permits.get()).unwrap_or(usize::MAX) - 1,
            _ => 0,
        };
        let waited_for = before.iter().filter(|(_, theirs)| mine != LockMode::Shared || theirs.is_exclusive());
        let all: Vec<(Key, Revision)> = waited_for.map(|(other, _)| (other.key.clone(), other.modified)).collect();
        Ok(match &all[..] {
            _ if all.len() <= most => Stand::Turn,
            [.., (key, written)] if most == 0 => {
                Stand::Behind { ahead: Ahead::one(key.clone(), *written), then_turn: all.len() == 1 }
            }
            _ => Stand::Behind { ahead: Ahead::crowd(directory, all, most), then_turn: true },
        })
    }
}

/// A lock that is taken in two ways has no meaning.
fn mixed(other: &Entry, theirs: LockMode, mine: LockMode) -> Error {
    let (_, who) = shown(Some(other));
    let message = format!("{who} takes it {}; it cannot be taken {} meanwhile", theirs.describe(), mine.describe());
    Error::new(ErrorKind::InvalidLock, message)
}

pub(super) fn lease_lost() -> Error {
    Error::new(ErrorKind::LockLost, "the lease ran out while waiting; take the lock again").with_retry(Retry::Safe)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::engine::lock_ticket::write;

    fn permits(permits: u32) -> LockMode {
        LockMode::Permits(NonZeroU32::new(permits).unwrap())
    }

    /// What the last of these waits for: `None` if it is its turn.
    fn waits(modes: &[LockMode]) -> Result<Option<(Ahead, bool)>> {
        let waiter = |(n, mode): (usize, &LockMode)| {
            let at = Revision::new(n as u64 + 1);
            let value = write(&format!("w{n}"), *mode, &crate::Bytes::new()).unwrap();
            let key = Key::from(format!("q/{n}"));
            Entry { key, value, created: at, modified: at, version: None, lease: None, ttl: None }
        };
        let queue = Queue { waiters: modes.iter().enumerate().map(waiter).collect(), revision: Revision::new(99) };
        let last = queue.waiters.last().unwrap();
        Ok(match queue.stand("q/", &last.key, *modes.last().unwrap())? {
            Stand::Turn => None,
            Stand::Behind { ahead, then_turn } => Some((ahead, then_turn)),
        })
    }

    fn one(n: u64) -> Ahead {
        Ahead::one(Key::from(format!("q/{n}")), Revision::new(n + 1))
    }

    use LockMode::{Exclusive, Shared};

    #[test]
    fn an_exclusive_one_waits_for_all_and_watches_the_last() {
        assert_eq!(waits(&[Exclusive]).unwrap(), None);
        assert_eq!(waits(&[Shared, Exclusive]).unwrap(), Some((one(0), true)));
        assert_eq!(waits(&[Exclusive, Shared, Exclusive]).unwrap(), Some((one(1), false)));
    }

    #[test]
    fn a_shared_one_waits_for_the_exclusive_ones() {
        assert_eq!(waits(&[Shared, Shared, Shared]).unwrap(), None);
        assert_eq!(waits(&[Shared, Exclusive, Shared, Shared]).unwrap(), Some((one(1), true)));
        assert_eq!(waits(&[Exclusive, Exclusive, Shared]).unwrap(), Some((one(1), false)));
    }

    #[test]
    fn one_of_a_semaphore_waits_while_as_many_stand_before_it() {
        let two = permits(2);
        assert_eq!(waits(&[two, two]).unwrap(), None);
        let all = |count: u64| (0..count).map(|n| (Key::from(format!("q/{n}")), Revision::new(n + 1))).collect();
        assert_eq!(waits(&[two, two, two]).unwrap(), Some((Ahead::crowd("q/", all(2), 1), true)));
        assert_eq!(waits(&[two; 5]).unwrap(), Some((Ahead::crowd("q/", all(4), 1), true)));
        // Of one permit it is as any lock.
        assert_eq!(waits(&[permits(1); 2]).unwrap(), Some((one(0), true)));
    }

    #[test]
    fn two_ways_that_do_not_go_together_are_refused_to_the_later() {
        for (first, second) in
            [(Exclusive, permits(2)), (permits(2), Exclusive), (permits(2), Shared), (permits(2), permits(3))]
        {
            let error = waits(&[first, first, second]).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::InvalidLock, "{first:?} {second:?}");
            assert!(error.to_string().contains("`w0`"), "{error}");
        }
    }

    #[test]
    fn one_that_is_not_in_the_queue_has_lost_its_lease() {
        let queue = Queue { waiters: Vec::new(), revision: Revision::new(1) };
        assert_eq!(*queue.stand("q/", &Key::from("q/1"), Exclusive).unwrap_err().kind(), ErrorKind::LockLost);
    }
}
