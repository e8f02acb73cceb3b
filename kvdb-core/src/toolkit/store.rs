use std::time::Duration;

use bytes::Bytes;

use super::clock::Clock;
use super::gate::Hub;
use super::index::{Found, Index};
use super::leases::{lease_number, not_found};
use super::mvcc::{Meta, Payload};
use crate::{Fetched, Key, LeaseId, LeaseInfo, Read, Result};

/// What a backend over an [`Index`] has to show for reads, listings and watches to be done by the toolkit.
pub trait Store: Send + Sync + 'static {
    /// What the index keeps of a value.
    type Value: Payload;

    /// What values are loaded from, as of the index that is shown with it. Held for one page at most.
    type View: Send + 'static;

    /// Shows the index under its lock, with the view that belongs to it.
    ///
    /// # Errors
    /// Why the store cannot be read any more.
    fn read<R>(&self, look: impl FnOnce(&Index<Self::Value>, &Self::View) -> R) -> Result<R>;

    /// Keeps a view beyond the lock.
    fn keep(view: &Self::View) -> Self::View;

    /// Loads the value of a version that the index shown with this view had. Called without the lock.
    ///
    /// # Errors
    /// What reading the storage says.
    fn load(&self, view: &Self::View, meta: &Meta, value: Self::Value) -> Result<Bytes>;

    /// The wake-up of the store's feeds.
    fn hub(&self) -> &Hub;

    /// The store's clock.
    fn clock(&self) -> &dyn Clock;

    /// How long an unfinished listing holds the history it reads: 60 s unless the store says otherwise.
    fn list_life(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// Reads one key.
///
/// # Errors
/// `Compacted` and `FutureRevision` for a past revision that cannot be read, and those of the store.
pub fn get<S: Store>(store: &S, key: &Key, read: &Read) -> Result<Fetched> {
    let (found, view, revision) = store.read(|index, view| {
        let (found, revision) = match read.at {
            None => (index.get(key), index.mvcc.revision()),
            Some(at) => {
                index.mvcc.check_readable(at)?;
                (index.mvcc.at(key.as_bytes(), at).and_then(|(key, version)| index.found(key, version)), at)
            }
        };
        Ok::<_, crate::Error>((found, S::keep(view), revision))
    })??;
    let entry = match found {
        Some(found) => Some(load(store, &view, found)?),
        None => None,
    };
    Ok(Fetched { entry, revision })
}

/// What is left of a lease, and its keys.
///
/// # Errors
/// `LeaseNotFound`, and those of the store.
pub fn lease_info<S: Store>(store: &S, lease: &LeaseId) -> Result<LeaseInfo> {
    let number = lease_number(lease)?;
    let now = store.clock().now();
    store.read(|index, _| match index.leases.get(number) {
        Some((ttl, deadline)) if deadline > now => {
            let keys = index.leases.keys(number).map(Key::to_string).collect();
            Ok(LeaseInfo::new(ttl, deadline.saturating_sub(now), keys))
        }
        _ => Err(not_found(lease)),
    })?
}

pub(super) fn load<S: Store>(store: &S, view: &S::View, found: Found<S::Value>) -> Result<crate::Entry> {
    let value = store.load(view, &found.meta, found.value.clone())?;
    Ok(found.into_entry(value))
}

/// Pins the present revision without a bound in time; see [`crate::Backend::pin`].
pub fn pin<S: Store>(store: &S) -> Option<crate::Pin> {
    let pinned = store.read(|index, _| {
        let revision = index.mvcc.revision();
        (revision, index.mvcc.pins().hold(revision, Duration::MAX))
    });
    let (revision, hold) = pinned.ok()?;
    Some(crate::Pin { revision, hold: Box::new(hold) })
}
