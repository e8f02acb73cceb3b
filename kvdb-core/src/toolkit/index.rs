use bytes::Bytes;

use super::leases::Leases;
use super::mvcc::{Meta, Mvcc, Payload, Version};
use super::stage::Staged;
use super::stage_leases::LeaseChange;
use crate::{Entry, Key, LeaseId};

/// A present version of a key as the index answers it, its value not loaded yet.
#[derive(Clone, Debug)]
pub struct Found<V> {
    /// The key.
    pub key: Key,
    /// Where the version stands.
    pub meta: Meta,
    /// What the index keeps of the value.
    pub value: V,
    /// The granted TTL of its lease, while that lives.
    pub ttl: Option<std::time::Duration>,
}

impl<V> Found<V> {
    /// The entry, with its value loaded.
    #[must_use]
    pub fn into_entry(self, value: Bytes) -> Entry {
        Entry {
            key: self.key,
            value,
            created: self.meta.created,
            modified: self.meta.modified,
            version: Some(self.meta.version),
            lease: self.meta.lease.map(|lease| LeaseId::Number(lease.get())),
            ttl: self.ttl,
        }
    }
}

/// Everything a store publishes under one lock: keys with their history, and leases.
#[derive(Debug)]
pub struct Index<V> {
    /// The keys.
    pub mvcc: Mvcc<V>,
    /// The leases.
    pub leases: Leases,
}

impl<V> Default for Index<V> {
    fn default() -> Self {
        Self { mvcc: Mvcc::default(), leases: Leases::default() }
    }
}

impl<V: Payload> Index<V> {
    /// The present version of a key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Found<V>> {
        // The asker's key, which is in the cache, and not the equal one in the index.
        self.mvcc.head(key.as_bytes()).and_then(|(_, version)| self.found(key, version))
    }

    /// A version as an answer; none for a deletion.
    #[must_use]
    pub fn found(&self, key: &Key, version: &Version<V>) -> Option<Found<V>> {
        let value = version.state.clone()?;
        let ttl = version.meta.lease.and_then(|lease| self.leases.ttl(lease));
        Some(Found { key: key.clone(), meta: version.meta, value, ttl })
    }

    /// Publishes what was staged against this very state of the index.
    pub fn apply(&mut self, staged: Staged) {
        // New leases first: rows attach keys to them.
        for change in &staged.leases {
            if let LeaseChange::Set { id, ttl, deadline } = change {
                self.leases.set(*id, *ttl, *deadline);
            }
        }
        for row in staged.rows {
            let before = self.mvcc.head_meta(&row).and_then(|meta| meta.lease);
            if before != row.meta.lease {
                if let Some(lease) = before {
                    self.leases.detach(lease, &row.key);
                }
                if let Some(lease) = row.meta.lease {
                    self.leases.attach(lease, row.key.clone());
                }
            }
            self.mvcc.push(row);
        }
        for change in &staged.leases {
            if let LeaseChange::Drop(id) = change {
                self.leases.remove(*id);
            }
        }
    }

    /// Attaches every present key to its lease: once, after a file was read.
    pub fn attach_all(&mut self) {
        for slot in self.mvcc.slots.iter().flatten() {
            let last = &slot.chain.last;
            if let (Some(lease), Some(_)) = (last.meta.lease, &last.state) {
                self.leases.attach(lease, slot.key.clone());
            }
        }
    }
}
