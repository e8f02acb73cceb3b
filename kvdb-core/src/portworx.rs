//! The verbs in the exact spellings of the Go library `github.com/portworx/kvdb`, for code that comes from there.
//!
//! Used instead of the prelude, never beside it, for several names have other signatures here: `use
//! kvdb_core::portworx::*;` brings the verbs and the names that go with them. What the Go library has as an `error`
//! is [`crate::Error`] with an [`crate::ErrorKind`]; the meaning of each verb is the contract's, on every store.
//!
//! With both in scope the compiler cannot tell which is meant:
//!
//! ```compile_fail,E0034
//! use kvdb_core::portworx::*;
//! use kvdb_core::{Kvdb, KvdbExt};
//!
//! async fn both(kv: &dyn Kvdb) {
//!     let _ = kv.get("a").await;
//! }
//! ```
//!
//! One alone works:
//!
//! ```
//! use kvdb_core::portworx::*;
//!
//! async fn rename(kv: &dyn kvdb_core::Kvdb) -> kvdb_core::Result<()> {
//!     let mut pair = kv.get("volume/1").await?;
//!     pair.value = "new name".into();
//!     match kv.compare_and_set(&pair, KVModifiedIndex, None).await {
//!         Err(error) if *error.kind() == ErrModified => println!("somebody else was faster"),
//!         written => println!("at {}", written?.modified_index),
//!     }
//!     kv.put("volume/1/size", 10, 0).await?;
//!     Ok(())
//! }
//! ```

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{
    CallOptions, Error, ErrorKind, GetOptions, ListOptions, LockOptions, Operation, PutOptions, SnapshotOptions,
    Target, WatchOptions, WatchStart, ext::KvdbExt, recipes::call_back,
};

mod admin;
mod collector;
mod handle;
mod names;
mod tx;
mod value;

pub use crate::recipes::CallbackWatch;
pub use crate::registry::register;
pub use crate::{
    Handle, KvPair, Kvdb, LockGuard, MemberInfo, Options, PermissionType, Result, Revision, Snapshot, register_wrapper,
};
pub use admin::{Controller, Users};
pub use collector::{ReplayCb, UpdatesCollector, WatchCB, new_updates_collector};
pub use handle::{Settings, add_wrapper, remove_wrapper};
pub use names::*;
pub use tx::Tx;
pub use value::Value;

/// The Go library's verbs over any [`Kvdb`]. TTLs are whole seconds, 0 is none; every call has the handle's deadline.
///
/// # Cancel safety
/// As [`Kvdb`]: a dropped future leaves nothing or the whole write.
pub trait Portworx: Kvdb {
    /// The backend's name.
    fn string(&self) -> &'static str {
        self.info().backend
    }

    /// The Go library's capability bits: [`KVCapabilityOrderedUpdates`] or nothing. [`Kvdb::capabilities`], which
    /// has the Go name, tells all of them.
    fn capabilities_number(&self) -> u32 {
        self.capabilities().bits() & KVCapabilityOrderedUpdates
    }

    /// Reads a key.
    ///
    /// # Errors
    /// `NotFound`.
    fn get(&self, key: &str) -> impl Future<Output = Result<KvPair>> + Send {
        async move {
            self.get_opts(key, GetOptions::default()).await?.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "")
                    .with_operation(Operation::Get)
                    .with_key(key)
                    .with_backend(self.info().backend)
            })
        }
    }

    /// Reads a key and decodes its value as JSON into `value`, which stays as it was when anything fails.
    ///
    /// # Errors
    /// `NotFound`; `Serialization` naming the key when the value is not that JSON.
    fn get_val<T: DeserializeOwned + Send>(
        &self,
        key: &str,
        value: &mut T,
    ) -> impl Future<Output = Result<KvPair>> + Send {
        async move {
            let pair = Portworx::get(self, key).await?;
            *value = pair.json()?;
            Ok(pair)
        }
    }

    /// Reads a key and answers what `copy` makes of its value.
    ///
    /// # Errors
    /// `NotFound`; `copy` is then not called.
    fn get_with_copy<T>(
        &self,
        key: &str,
        copy: impl FnOnce(&Bytes) -> T + Send,
    ) -> impl Future<Output = Result<T>> + Send {
        async move { Ok(copy(&Portworx::get(self, key).await?.value)) }
    }

    /// Writes a key.
    ///
    /// # Errors
    /// `TtlNotSupported` with the store's bounds; `Serialization` when the value has no JSON form.
    fn put(&self, key: &str, value: impl Into<Value>, ttl: u64) -> impl Future<Output = Result<KvPair>> + Send {
        write(self, key, value.into(), ttl, PutOptions::default())
    }

    /// Writes an absent key.
    ///
    /// # Errors
    /// `AlreadyExists`; else as [`Portworx::put`].
    fn create(&self, key: &str, value: impl Into<Value>, ttl: u64) -> impl Future<Output = Result<KvPair>> + Send {
        let when = crate::Precondition::absent();
        write(self, key, value.into(), ttl, PutOptions { when, ..PutOptions::default() })
    }

    /// Writes a present key.
    ///
    /// # Errors
    /// `NotFound`; else as [`Portworx::put`].
    fn update(&self, key: &str, value: impl Into<Value>, ttl: u64) -> impl Future<Output = Result<KvPair>> + Send {
        let when = crate::Precondition::present();
        write(self, key, value.into(), ttl, PutOptions { when, ..PutOptions::default() })
    }

    /// Every pair below a prefix, sorted by key; `""` is the whole domain.
    fn enumerate(&self, prefix: &str) -> impl Future<Output = Result<KVPairs>> + Send {
        async move { KvdbExt::list(self, prefix).await }
    }

    /// Of every value below a prefix that `select` accepts what `copy` makes of it, in the order of the keys.
    fn enumerate_with_select<T: Send>(
        &self,
        prefix: &str,
        mut select: impl FnMut(&Bytes) -> bool + Send,
        mut copy: impl FnMut(&Bytes) -> T + Send,
    ) -> impl Future<Output = Result<Vec<T>>> + Send {
        select_pairs(self, prefix, move |pair| select(&pair.value).then(|| copy(&pair.value)))
    }

    /// Of every pair below a prefix that `select` accepts what `copy` makes of it, in the order of the keys. Both
    /// get the pair and its value.
    fn enumerate_kvp_with_select(
        &self,
        prefix: &str,
        mut select: impl FnMut(&KvPair, &Bytes) -> bool + Send,
        mut copy: impl FnMut(&KvPair, &Bytes) -> KvPair + Send,
    ) -> impl Future<Output = Result<KVPairs>> + Send {
        select_pairs(self, prefix, move |pair| select(pair, &pair.value).then(|| copy(pair, &pair.value)))
    }

    /// Deletes a key; answers the old pair.
    ///
    /// # Errors
    /// `NotFound`.
    fn delete(&self, key: &str) -> impl Future<Output = Result<KvPair>> + Send {
        async move { KvdbExt::delete(self, key).await }
    }

    /// Deletes every key below a prefix; nothing there is Ok. `""` is the whole domain.
    fn delete_tree(&self, prefix: &str) -> impl Future<Output = Result<()>> + Send {
        async move { KvdbExt::delete_tree(self, prefix).await.map(drop) }
    }

    /// The first-level names below a prefix, sorted, no doubles; an empty `sep` is [`DefaultSeparator`].
    fn keys(&self, prefix: &str, sep: &str) -> impl Future<Output = Result<Vec<String>>> + Send {
        async move { KvdbExt::keys(self, prefix).separator(sep).await }
    }

    /// Sets a key to `pair.value` under the conditions that `flags` and `prev_value` name, in one atomic step. With
    /// [`KVTTL`] it lives for `pair.ttl`, without it it is permanent.
    ///
    /// # Errors
    /// `Modified`, `ValueMismatch`, `NotFound` or `AlreadyExists` by the condition that fails; `InvalidArgument`
    /// when none is named.
    fn compare_and_set(
        &self,
        pair: &KvPair,
        flags: KVFlags,
        prev_value: Option<&[u8]>,
    ) -> impl Future<Output = Result<KvPair>> + Send {
        async move { KvdbExt::compare_and_set(self, pair, flags, prev_value.map(Bytes::copy_from_slice)).await }
    }

    /// Deletes a key under the conditions that `flags` name; with none the stored value must equal `pair.value`.
    /// Answers the old pair.
    ///
    /// # Errors
    /// `Modified`, `ValueMismatch` or `NotFound` by the condition that fails.
    fn compare_and_delete(&self, pair: &KvPair, flags: KVFlags) -> impl Future<Output = Result<KvPair>> + Send {
        async move { KvdbExt::compare_and_delete(self, pair, flags).await }
    }

    /// Calls `callback(key, &opaque, change)` for every change of a key above `wait_index`; 0 begins now. No later
    /// write is missed. When and how it ends: [`crate::recipes::call_back`].
    ///
    /// # Errors
    /// Those of the registration, such as `FutureRevision`; later ones reach the callback.
    fn watch_key<O, C>(
        &self,
        key: &str,
        wait_index: impl Into<Revision> + Send,
        opaque: O,
        callback: C,
    ) -> impl Future<Output = Result<CallbackWatch>> + Send
    where
        O: Send + 'static,
        C: FnMut(&str, &O, Result<KvPair>) -> Result<()> + Send + 'static,
    {
        watch(self, Target::Key(key), wait_index.into(), opaque, callback)
    }

    /// The same as [`Portworx::watch_key`] for every key below a prefix; `callback` gets the prefix.
    ///
    /// # Errors
    /// As [`Portworx::watch_key`].
    fn watch_tree<O, C>(
        &self,
        prefix: &str,
        wait_index: impl Into<Revision> + Send,
        opaque: O,
        callback: C,
    ) -> impl Future<Output = Result<CallbackWatch>> + Send
    where
        O: Send + 'static,
        C: FnMut(&str, &O, Result<KvPair>) -> Result<()> + Send + 'static,
    {
        watch(self, Target::Tree(prefix), wait_index.into(), opaque, callback)
    }

    /// Takes a lock, waiting for it as long as the handle is set to.
    ///
    /// # Errors
    /// `LockTimeout` naming the holder.
    fn lock(&self, key: &str) -> impl Future<Output = Result<LockGuard>> + Send {
        async move { self.lock_opts(key, LockOptions::default()).await }
    }

    /// Takes a lock under an id that others are shown.
    ///
    /// # Errors
    /// `LockTimeout` naming the holder.
    fn lock_with_id(&self, key: &str, locker_id: &str) -> impl Future<Output = Result<LockGuard>> + Send {
        async move { self.lock_opts(key, LockOptions { id: Some(locker_id.to_owned()), ..LockOptions::default() }).await }
    }

    /// Takes a lock, waiting at most `lock_try_duration`; once it is held for `lock_hold_duration` the fatal callback
    /// is called. A zero hold duration is no limit, whatever the handle is set to.
    ///
    /// # Errors
    /// `LockTimeout` naming the holder.
    fn lock_with_timeout(
        &self,
        key: &str,
        locker_id: &str,
        lock_try_duration: Duration,
        lock_hold_duration: Duration,
    ) -> impl Future<Output = Result<LockGuard>> + Send {
        let options = LockOptions {
            id: Some(locker_id.to_owned()),
            wait: Some(lock_try_duration),
            hold: Some(if lock_hold_duration.is_zero() { Duration::MAX } else { lock_hold_duration }),
            ..LockOptions::default()
        };
        async move { self.lock_opts(key, options).await }
    }

    /// Whether a lock is held, and by which id.
    fn is_key_locked(&self, key: &str) -> impl Future<Output = Result<(bool, String)>> + Send {
        async move {
            let holder = self.lock_holder_opts(key, CallOptions::default()).await?;
            Ok(holder.map_or_else(|| (false, String::new()), |holder| (true, holder.id)))
        }
    }

    /// Releases a lock; a second release, or one after loss, is Ok and touches nobody else.
    ///
    /// # Errors
    /// `InvalidLock` when the guard is of another store.
    fn unlock(&self, guard: &LockGuard) -> impl Future<Output = Result<()>> + Send {
        async move { self.unlock_opts(guard, CallOptions::default()).await }
    }

    /// A read-only view of the prefixes, and the index it shows; no prefix is the whole domain. The view itself takes
    /// [`Snapshot::snap_put`], and is the only thing that does. Without `consistent` it may be cheaper and not of one
    /// index.
    ///
    /// # Errors
    /// `Contention` when others kept writing until the deadline.
    fn snapshot(
        &self,
        prefixes: &[&str],
        consistent: bool,
    ) -> impl Future<Output = Result<(Snapshot, Revision)>> + Send {
        async move {
            let options = SnapshotOptions { consistent, ..SnapshotOptions::default() };
            let snapshot = self.snapshot_opts(prefixes, options).await?;
            let index = snapshot.revision();
            Ok((snapshot, index))
        }
    }

    /// Begins a buffered transaction; see [`Tx`].
    ///
    /// # Errors
    /// None: every store has transactions. The Go library's call can fail, so callers are ready for it.
    fn tx_new(&self) -> Result<Tx<'_, Self>> {
        Ok(Tx::new(self))
    }

    /// The whole domain as JSON, at one index where the store has ATOMIC_LIST.
    ///
    /// # Errors
    /// Those of a listing; a failed read is never an empty dump.
    fn serialize(&self) -> impl Future<Output = Result<Vec<u8>>> + Send {
        KvdbExt::serialize(self)
    }

    /// Reads what [`Portworx::serialize`] writes, and what the Go library writes. Nothing is stored.
    ///
    /// # Errors
    /// `Serialization` for a dump that is damaged, cut short or of a newer format.
    fn deserialize(&self, dump: &[u8]) -> Result<KVPairs> {
        KvdbExt::deserialize(self, dump)
    }

    /// Drops history before an index; already compacted is Ok.
    ///
    /// # Errors
    /// `FutureRevision` when the index is above the present one; `Unsupported` without COMPACT.
    fn compact(&self, index: impl Into<Revision> + Send) -> impl Future<Output = Result<()>> + Send {
        async move { self.compact_opts(index.into(), CallOptions::default()).await }
    }
}

impl<K: Kvdb + ?Sized> Portworx for K {}

async fn write<K: Kvdb + ?Sized>(kv: &K, key: &str, value: Value, ttl: u64, options: PutOptions) -> Result<KvPair> {
    let value = value.into_bytes().map_err(|error| error.with_operation(options.operation()).with_key(key))?;
    let ttl = Some(ttl).filter(|ttl| *ttl > 0).map(Duration::from_secs);
    kv.put_opts(key, value, PutOptions { ttl, ..options }).await
}

/// Goes page by page, so that only what is picked is kept.
async fn select_pairs<K: Kvdb + ?Sized, T>(
    kv: &K,
    prefix: &str,
    mut pick: impl FnMut(&KvPair) -> Option<T>,
) -> Result<Vec<T>> {
    let mut pages = kv.list_opts(Target::Tree(prefix), ListOptions::default()).await?;
    let mut picked = Vec::new();
    while let Some(page) = pages.next().await {
        picked.extend(page?.pairs.iter().filter_map(&mut pick));
    }
    Ok(picked)
}

async fn watch<K: Kvdb + ?Sized, O: Send + 'static>(
    kv: &K,
    target: Target<'_>,
    wait_index: Revision,
    opaque: O,
    mut callback: impl FnMut(&str, &O, Result<KvPair>) -> Result<()> + Send + 'static,
) -> Result<CallbackWatch> {
    let start = if wait_index == Revision::ZERO { WatchStart::Now } else { WatchStart::After(wait_index) };
    let watch = kv.watch_opts(target, WatchOptions { start, ..WatchOptions::default() }).await?;
    let watched = target.name().to_owned();
    call_back(watch, move |change| callback(&watched, &opaque, change))
}
