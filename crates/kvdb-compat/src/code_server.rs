//! The etcd helpers of code-server (`etcd` of its module), over every store: [`kvdb::recipes`] by the Go package's
//! names.
//!
//! | Go package | here | and in [`kvdb::recipes`] |
//! |---|---|---|
//! | `NewPersistentLease(client, key, val, ttl)` | [`new_persistent_lease`] | `PersistentLease::new`, with options |
//! | `PersistentLease`: `Key`, `SetValue`, `Close` | [`PersistentLease`]: `key`, `set_value`, `close` | also `ready`, `state`, `states` |
//! | `WatchPrefix(ctx, client, prefix, transform)` | [`watch_prefix`] | `watch_prefix`, which decodes whole pairs |
//! | `KVTransform` | [`KVTransform`], or any closure of this shape | |
//! | `Snapshot.Tree` | [`Snapshot`]`.tree` | `PrefixState`, also `invalid`, `revision`, `resynced` |
//! | `WaitFor(ctx, client, key, exists)` | [`wait_for`] | `wait_for` with a `Condition`, `wait_for_within` |
//! | `LockManager` and `Lock` of its sibling package | [`LockManager`], [`ManagedLock`], [`LockLoss`] | the same |
//! | `Membership` of its sibling package | [`Membership`], [`Member`], [`MemberRecord`] | the same |
//!
//! A client is a [`Handle`]; a context is the future or the watch itself: dropping it ends it.
//!
//! Where it differs from the Go package:
//!
//! - A TTL is any that the store grants (`limits()` tells the bounds), not 1 to 60 s, and is not cut to whole seconds.
//! - [`PersistentLease::set_value`] never blocks, and after a close it is an error; a value that others write is
//!   overwritten; `close` returns once the key is gone.
//! - A prefix is a directory: `my/tree` does not cover `my/treehouse`.
//! - A record that does not transform is not in the tree, not even as it was before, and is listed in `invalid`.
//! - A slow reader of snapshots is given the newest, and hinders nobody. The watch ends by drop, or with one error.
//! - [`wait_for`] goes on over lost connections and never answers before it is so.

use std::fmt;
use std::time::Duration;

use kvdb::recipes::{self, Condition, PersistentLeaseOptions, PrefixState, PrefixWatch};
use kvdb::{Handle, KvPair, Result};

pub use kvdb::recipes::{LockLoss, LockManager, ManagedLock, Member, MemberRecord, Membership, PersistentLease};

/// The records below a directory at one moment.
pub type Snapshot<K, V> = PrefixState<K, V>;

/// What makes a record of a key and a value.
pub type KVTransform<K, V, E> = Box<dyn Fn(&[u8], &[u8]) -> Result<(K, V), E> + Send>;

/// Starts to keep `key` at the store with the value `val`, for as long as it is not closed; it is gone within `ttl` and
/// the store's slack when this process is. Waits for nothing: [`PersistentLease::ready`] or [`wait_for`] do.
///
/// # Errors
/// As [`PersistentLease::new`].
///
/// # Cancel safety
/// A dropped future leaves nothing.
pub async fn new_persistent_lease(client: &Handle, key: &str, val: &str, ttl: Duration) -> Result<PersistentLease> {
    PersistentLease::new(client, key, val, PersistentLeaseOptions::default().ttl(ttl)).await
}

/// Follows the records below `prefix`, a directory. The first snapshot always comes, even of an empty one.
///
/// # Errors
/// As [`recipes::watch_prefix`].
pub fn watch_prefix<K, V, E>(
    client: &Handle,
    prefix: &str,
    transform: impl Fn(&[u8], &[u8]) -> Result<(K, V), E> + Send + 'static,
) -> Result<PrefixWatch<K, V>>
where
    K: Ord + Clone + Send + 'static,
    V: Clone + Send + 'static,
    E: fmt::Display + 'static,
{
    recipes::watch_prefix(client, prefix, move |pair: &KvPair| transform(pair.key.as_bytes(), &pair.value))
}

/// Waits until `key` is there (`exists`), or is not.
///
/// # Errors
/// As [`recipes::wait_for`].
///
/// # Cancel safety
/// Dropping the future leaves nothing.
pub async fn wait_for(client: &Handle, key: &str, exists: bool) -> Result<()> {
    let condition = if exists { Condition::Exists } else { Condition::Absent };
    recipes::wait_for(client, key, condition).await.map(drop)
}
