use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroI64;
use std::time::Duration;

use crate::{Error, ErrorKind, Key, LeaseId, Result};

/// The number of a lease: positive.
pub type LeaseNumber = NonZeroI64;

/// The shortest TTL, and its granularity.
pub const TTL_MIN: Duration = Duration::from_millis(1);

/// The longest TTL: about 136 years.
pub const TTL_MAX: Duration = Duration::from_secs(u32::MAX as u64);

/// How long after its TTL a key may still be seen: a sleeping thread wakes up late on a busy machine.
pub const TTL_SLACK: Duration = Duration::from_millis(500);

/// The number behind a lease id.
///
/// # Errors
/// `LeaseNotFound` for an id that cannot be one of ours.
pub fn lease_number(id: &LeaseId) -> Result<LeaseNumber> {
    id.number().and_then(NonZeroI64::new).ok_or_else(|| not_found(id))
}

pub(super) fn not_found(id: &LeaseId) -> Error {
    Error::new(ErrorKind::LeaseNotFound, format!("lease {id} was revoked, ran out or never was"))
}

/// The TTL that is granted for a wish: rounded up to whole milliseconds.
///
/// # Errors
/// `TtlNotSupported` out of [`TTL_MIN`] to [`TTL_MAX`].
pub fn checked_ttl(ttl: Duration) -> Result<Duration> {
    let fits = ttl >= TTL_MIN && ttl <= TTL_MAX;
    let part = ttl.subsec_nanos() % 1_000_000;
    let rounded = if part == 0 { ttl } else { ttl.saturating_add(Duration::from_nanos(u64::from(1_000_000 - part))) };
    if fits {
        Ok(rounded)
    } else {
        Err(Error::new(
            ErrorKind::TtlNotSupported { min: TTL_MIN, max: Some(TTL_MAX) },
            format!("a TTL is from 1 ms to {} s", TTL_MAX.as_secs()),
        ))
    }
}

#[derive(Debug)]
struct Held {
    ttl: Duration,
    deadline: Duration,
    keys: BTreeSet<Key>,
}

/// The leases of a store: their time to live, deadline on the monotonic clock and attached keys.
#[derive(Debug, Default)]
pub struct Leases {
    table: HashMap<LeaseNumber, Held>,
    due: BTreeSet<(Duration, LeaseNumber)>,
}

impl Leases {
    /// The granted TTL and the deadline.
    #[must_use]
    pub fn get(&self, id: LeaseNumber) -> Option<(Duration, Duration)> {
        self.table.get(&id).map(|held| (held.ttl, held.deadline))
    }

    /// The granted TTL.
    #[must_use]
    pub fn ttl(&self, id: LeaseNumber) -> Option<Duration> {
        self.table.get(&id).map(|held| held.ttl)
    }

    /// The attached keys, sorted.
    pub fn keys(&self, id: LeaseNumber) -> impl Iterator<Item = &Key> {
        self.table.get(&id).into_iter().flat_map(|held| held.keys.iter())
    }

    /// All leases: id, granted TTL, deadline.
    pub fn iter(&self) -> impl Iterator<Item = (LeaseNumber, Duration, Duration)> {
        self.table.iter().map(|(id, held)| (*id, held.ttl, held.deadline))
    }

    /// The next deadline.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(deadline, _)| *deadline)
    }

    /// The leases whose deadline has come, the oldest first.
    pub fn expired(&self, now: Duration) -> impl Iterator<Item = LeaseNumber> {
        self.due.iter().take_while(move |(deadline, _)| *deadline <= now).map(|(_, id)| *id)
    }

    /// Adds a lease or starts its time anew.
    pub fn set(&mut self, id: LeaseNumber, ttl: Duration, deadline: Duration) {
        let held = self.table.entry(id).or_insert_with(|| Held { ttl, deadline, keys: BTreeSet::new() });
        self.due.remove(&(held.deadline, id));
        held.ttl = ttl;
        held.deadline = deadline;
        self.due.insert((deadline, id));
    }

    /// Forgets a lease.
    pub fn remove(&mut self, id: LeaseNumber) {
        if let Some(held) = self.table.remove(&id) {
            self.due.remove(&(held.deadline, id));
        }
    }

    /// Attaches a key.
    pub fn attach(&mut self, id: LeaseNumber, key: Key) {
        if let Some(held) = self.table.get_mut(&id) {
            held.keys.insert(key);
        }
    }

    /// Detaches a key.
    pub fn detach(&mut self, id: LeaseNumber, key: &Key) {
        if cfg!(kvdb_mutant = "old_ttl_fires") {
            return;
        }
        if let Some(held) = self.table.get_mut(&id) {
            held.keys.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_rounded_up_and_refused_out_of_bounds() {
        assert_eq!(checked_ttl(Duration::from_micros(1500)).unwrap(), Duration::from_millis(2));
        assert_eq!(checked_ttl(TTL_MAX).unwrap(), TTL_MAX);
        for wrong in [Duration::ZERO, Duration::from_micros(999), TTL_MAX + Duration::from_nanos(1), Duration::MAX] {
            let error = checked_ttl(wrong).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::TtlNotSupported { min: TTL_MIN, max: Some(TTL_MAX) });
        }
    }

    #[test]
    fn a_renewed_lease_is_due_at_its_new_deadline_only() {
        let mut leases = Leases::default();
        let id = LeaseNumber::new(7).unwrap();
        let second = Duration::from_secs(1);
        leases.set(id, second, second);
        leases.set(id, second, 3 * second);
        assert_eq!(leases.next_due(), Some(3 * second));
        assert_eq!(leases.expired(2 * second).count(), 0);
        assert_eq!(leases.expired(3 * second).collect::<Vec<_>>(), [id]);
        leases.remove(id);
        assert_eq!(leases.next_due(), None);
    }
}
