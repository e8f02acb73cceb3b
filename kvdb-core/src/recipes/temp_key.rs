//! A key that says that its owner is alive (contract 13.3).
//!
//! Key layout: the one key that was named, with the value `1`, held as a [`super::PersistentLease`] with a TTL of 10 s,
//! or the nearest that the store grants. Timing and what happens on loss are the persistent lease's.

use std::time::Duration;

use super::{PersistentLease, PersistentLeaseOptions, PersistentState};
use crate::{Handle, Kvdb, Result};

/// The seed's value and TTL.
const VALUE: &str = "1";
const TTL: Duration = Duration::from_secs(10);

/// Keeps a key with the value `1` at the store until it is closed or dropped, or its handle is closed.
#[derive(Debug)]
#[must_use = "the key is given up when this is dropped"]
pub struct TempKey(PersistentLease);

impl TempKey {
    /// Puts the key; returns once it is there.
    ///
    /// # Errors
    /// As [`PersistentLease::new`] and [`PersistentLease::ready`]. It waits as long as the store is out of reach: bound
    /// it where that matters.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing: the key is given up.
    pub async fn new(kv: &Handle, key: &str) -> Result<Self> {
        let limits = kv.limits();
        let ttl = TTL.min(limits.ttl_max.unwrap_or(TTL)).max(limits.ttl_min);
        let lease = PersistentLease::new(kv, key, VALUE, PersistentLeaseOptions::default().ttl(ttl)).await?;
        lease.ready().await?;
        Ok(Self(lease))
    }

    /// The key, as pairs show it.
    #[must_use]
    pub fn key(&self) -> &str {
        self.0.key()
    }

    /// Where it stands, as far as is known here.
    #[must_use]
    pub fn state(&self) -> PersistentState {
        self.0.state()
    }

    /// Removes the key, as [`PersistentLease::close`] does.
    ///
    /// # Errors
    /// As [`PersistentLease::close`].
    ///
    /// # Cancel safety
    /// As [`PersistentLease::close`].
    pub async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}
