use std::time::Duration;

use super::leases::{LeaseNumber, checked_ttl, lease_number, not_found};
use super::mvcc::Payload;
use super::stage::Stage;
use crate::{Key, LeaseId, Result};

/// A staged change of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// A new lease, or one whose time starts anew.
    Set {
        /// Its number.
        id: LeaseNumber,
        /// The granted TTL.
        ttl: Duration,
        /// On the monotonic clock.
        deadline: Duration,
    },
    /// The lease is gone.
    Drop(LeaseNumber),
}

impl<V: Payload> Stage<'_, V> {
    /// Stages a new lease; answers its id and the granted TTL.
    ///
    /// # Errors
    /// `TtlNotSupported`.
    pub fn grant(&mut self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        let ttl = checked_ttl(ttl)?;
        let id = loop {
            // Positive, so that every tool and language reads it the same.
            let number = (rand::random::<u64>() >> 1).cast_signed();
            if let Some(id) = LeaseNumber::new(number).filter(|id| self.lease(*id).is_none()) {
                break id;
            }
        };
        self.leases.push(LeaseChange::Set { id, ttl, deadline: self.now.saturating_add(ttl) });
        Ok((LeaseId::Number(id.get()), ttl))
    }

    /// Stages that a lease's time starts anew; answers its TTL. A lease past its deadline is gone, whether its keys
    /// are or not.
    ///
    /// # Errors
    /// `LeaseNotFound`.
    pub fn keep_alive(&mut self, lease: &LeaseId) -> Result<Duration> {
        let id = lease_number(lease)?;
        match self.lease(id) {
            Some((ttl, deadline)) if deadline > self.now => {
                self.leases.push(LeaseChange::Set { id, ttl, deadline: self.now.saturating_add(ttl) });
                Ok(ttl)
            }
            _ => Err(not_found(lease)),
        }
    }

    /// Stages the end of a lease and the deletion of its keys, in one revision if it has any.
    ///
    /// # Errors
    /// `LeaseNotFound`.
    pub fn revoke(&mut self, lease: &LeaseId) -> Result<()> {
        let id = lease_number(lease)?;
        if self.lease(id).is_none() {
            return Err(not_found(lease));
        }
        self.end(id, false);
        Ok(())
    }

    /// Stages the end of every lease whose deadline has come, one revision for each that has keys.
    pub fn expire(&mut self) {
        let due: Vec<LeaseNumber> = self.index.leases.expired(self.now).collect();
        for id in due {
            // A request staged before may have kept it alive or revoked it.
            if self.lease(id).is_some_and(|(_, deadline)| deadline <= self.now) {
                self.end(id, true);
            }
        }
    }

    fn end(&mut self, id: LeaseNumber, expired: bool) {
        self.overlay_rows();
        let stored = self.index.leases.keys(id);
        // By the rows and not by a look-up of each key: many leases may end together.
        let staged = self.rows.iter().filter(|row| row.value.is_some() && row.meta.lease == Some(id));
        let mut keys: Vec<Key> = stored.cloned().collect();
        keys.extend(staged.map(|row| row.key.clone()));
        keys.sort_unstable();
        keys.dedup();
        let start = self.rows.len();
        for key in keys {
            if self.attached(&key, id) {
                let prior = self.prior(&key);
                self.delete(key, prior, start, expired);
            }
        }
        self.close_batch(start);
        self.leases.push(LeaseChange::Drop(id));
    }

    /// The TTL and deadline of a lease after everything staged so far.
    pub(super) fn lease(&self, id: LeaseNumber) -> Option<(Duration, Duration)> {
        for change in self.leases.iter().rev() {
            match change {
                LeaseChange::Set { id: set, ttl, deadline } if *set == id => return Some((*ttl, *deadline)),
                LeaseChange::Drop(dropped) if *dropped == id => return None,
                _ => {}
            }
        }
        self.index.leases.get(id)
    }
}
