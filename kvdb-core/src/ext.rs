//! The verbs as users write them: sugar over [`Kvdb`], nothing else.

use std::ops::Bound;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    AdminReply, AdminRequest, CallOptions, Error, ErrorKind, GetOptions, IntoValue, KvPair, Kvdb, Lease, LeaseId,
    LockHolder, Operation, Result, Revision, Snapshot, SnapshotOptions, Target,
};

pub mod builders;

use builders::{Delete, DeleteTree, Get, Keys, List, Lock, Put, TxnBuilder, WatchBuilder};

use crate::recipes::{Tx, transact};

/// The deadline of `transact`: that of any call (contract 10.1).
const TRANSACT_TIME: Duration = Duration::from_secs(10);

/// The verbs in short. Builders are futures: `kv.put("a", "1").if_absent().await?`.
///
/// Implemented for every [`Kvdb`]; used instead of [`crate::portworx::Portworx`], never beside it.
pub trait KvdbExt: Kvdb {
    /// Reads a key: `None` if it is absent.
    fn get<'a>(&'a self, key: &'a str) -> Get<'a, Self> {
        Get::new(self, key)
    }

    /// Reads a key as JSON: `None` if it is absent.
    ///
    /// # Errors
    /// `Serialization` naming the key when the value is not that JSON.
    fn get_val<T: DeserializeOwned>(&self, key: &str) -> impl Future<Output = Result<Option<T>>> + Send {
        async move {
            let decoded = self.get_opts(key, GetOptions::default()).await?.map(|pair| pair.json()).transpose();
            decoded.map_err(|error| error.with_operation(Operation::Get).with_backend(self.info().backend))
        }
    }

    /// Writes a key; conditions, TTL, lease and fence are the builder's verbs.
    fn put<'a>(&'a self, key: &'a str, value: impl IntoValue) -> Put<'a, Self> {
        Put::new(self, key, Ok(value.into_value()))
    }

    /// Writes a key as JSON.
    ///
    /// # Errors
    /// Awaiting it: `Serialization` when the value has no JSON form.
    fn put_val<'a, T: Serialize + ?Sized>(&'a self, key: &'a str, value: &T) -> Put<'a, Self> {
        let value = serde_json::to_vec(value).map(Into::into).map_err(|source| {
            Error::new(ErrorKind::Serialization, "the value has no JSON form").with_key(key).with_source(source)
        });
        Put::new(self, key, value)
    }

    /// Writes an absent key.
    ///
    /// # Errors
    /// Awaiting it: `AlreadyExists`.
    fn create<'a>(&'a self, key: &'a str, value: impl IntoValue) -> Put<'a, Self> {
        self.put(key, value).if_absent()
    }

    /// Writes a present key.
    ///
    /// # Errors
    /// Awaiting it: `NotFound`.
    fn update<'a>(&'a self, key: &'a str, value: impl IntoValue) -> Put<'a, Self> {
        self.put(key, value).if_present()
    }

    /// Deletes a key; answers the old pair.
    ///
    /// # Errors
    /// Awaiting it: `NotFound`.
    fn delete<'a>(&'a self, key: &'a str) -> Delete<'a, Self> {
        Delete::new(self, key)
    }

    /// Deletes every key below a prefix; answers how many. `""` is the whole domain.
    fn delete_tree<'a>(&'a self, prefix: &'a str) -> DeleteTree<'a, Self> {
        DeleteTree::new(self, Target::Tree(prefix))
    }

    /// Every pair below a prefix, sorted by key; `""` is the whole domain.
    fn list<'a>(&'a self, prefix: &'a str) -> List<'a, Self> {
        List::new(self, Target::Tree(prefix))
    }

    /// The same as [`KvdbExt::list`], by the reference library's name.
    fn enumerate<'a>(&'a self, prefix: &'a str) -> List<'a, Self> {
        self.list(prefix)
    }

    /// Every pair between two bounds of raw text, sorted by key.
    fn list_range<'a>(&'a self, start: Bound<&'a str>, end: Bound<&'a str>) -> List<'a, Self> {
        List::new(self, Target::Range(start, end))
    }

    /// The number of keys below a prefix.
    fn count<'a>(&'a self, prefix: &'a str) -> impl Future<Output = Result<u64>> + Send + 'a {
        List::new(self, Target::Tree(prefix)).count()
    }

    /// The first-level names below a prefix, sorted, no doubles.
    fn keys<'a>(&'a self, prefix: &'a str) -> Keys<'a, Self> {
        Keys::new(self, prefix)
    }

    /// Sets a key to `new` if it is present with the value `old`; answers whether it did.
    fn test_and_set(
        &self,
        key: &str,
        old: impl IntoValue + Send,
        new: impl IntoValue + Send,
    ) -> impl Future<Output = Result<bool>> + Send {
        let set = (old.into_value(), new.into_value());
        async move {
            match self.put(key, set.1).if_value(set.0).await {
                Ok(_) => Ok(true),
                Err(error) if matches!(error.kind(), ErrorKind::ValueMismatch | ErrorKind::NotFound) => Ok(false),
                Err(error) => Err(error),
            }
        }
    }

    /// If/then/else on any keys in one atomic step: `kv.txn().when(..).then(..).otherwise(..).await?`.
    fn txn(&self) -> TxnBuilder<'_, Self> {
        TxnBuilder::new(self)
    }

    /// A buffered transaction that reads its own writes; see [`Tx`].
    fn tx(&self) -> Tx<'_, Self> {
        Tx::new(self)
    }

    /// Runs `closure` in a transaction and commits it; on a conflict with another writer everything runs again, until
    /// the deadline of 10 s.
    ///
    /// # Errors
    /// The closure's own, once what it read is confirmed; `Contention` when others kept writing what it read.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing or the whole commit.
    fn transact<'a, T, F, R>(&'a self, closure: F) -> impl Future<Output = Result<T>> + Send + 'a
    where
        T: Send + 'a,
        F: Fn(Tx<'a, Self>) -> R + Send + Sync + 'a,
        R: Future<Output = Result<T>> + Send + 'a,
    {
        transact(self, closure, TRANSACT_TIME)
    }

    /// The same within a deadline of its own.
    ///
    /// # Errors
    /// As [`KvdbExt::transact`].
    fn transact_within<'a, T, F, R>(&'a self, time: Duration, closure: F) -> impl Future<Output = Result<T>> + Send + 'a
    where
        T: Send + 'a,
        F: Fn(Tx<'a, Self>) -> R + Send + Sync + 'a,
        R: Future<Output = Result<T>> + Send + 'a,
    {
        transact(self, closure, time)
    }

    /// A read-only view of the prefixes at one revision; no prefix is the whole domain.
    ///
    /// A prefix is a directory, as everywhere: `"config"` is the keys below `config/`, without `config` itself. What is
    /// outside the prefixes is not in the view: reading it there answers as if it were absent.
    fn snapshot<'a>(&'a self, prefixes: &'a [&'a str]) -> impl Future<Output = Result<Snapshot>> + Send + 'a {
        self.snapshot_opts(prefixes, SnapshotOptions::default())
    }

    /// The whole domain as JSON, at one revision where the store has ATOMIC_LIST: a format version, base64 values.
    ///
    /// # Errors
    /// Those of a listing; a failed read is never an empty dump.
    fn serialize(&self) -> impl Future<Output = Result<Vec<u8>>> + Send {
        crate::recipes::serialize(self)
    }

    /// Reads what [`KvdbExt::serialize`] writes, and the array that the reference library writes. Nothing is stored.
    ///
    /// # Errors
    /// `Serialization` for a dump that is damaged, cut short or of a newer format.
    fn deserialize(&self, dump: &[u8]) -> Result<Vec<KvPair>> {
        crate::recipes::deserialize(dump)
    }

    /// Writes the values of the pairs, in transactions of as many as the store takes (1,000 at most), each atomic.
    /// Leased keys become permanent, indexes are the store's own, keys that are not named stay. Answers how many.
    ///
    /// # Errors
    /// Those of a transaction; the ones before it stand, and importing again is safe.
    fn import<'a>(&'a self, pairs: &'a [KvPair]) -> impl Future<Output = Result<u64>> + Send + 'a {
        crate::recipes::import(self, pairs)
    }

    /// Watches one key; it need not exist yet.
    fn watch_key<'a>(&'a self, key: &'a str) -> WatchBuilder<'a, Self> {
        WatchBuilder::new(self, Target::Key(key))
    }

    /// Watches every key below a prefix.
    fn watch_tree<'a>(&'a self, prefix: &'a str) -> WatchBuilder<'a, Self> {
        WatchBuilder::new(self, Target::Tree(prefix))
    }

    /// Watches the keys between two bounds of raw text.
    fn watch_range<'a>(&'a self, start: Bound<&'a str>, end: Bound<&'a str>) -> WatchBuilder<'a, Self> {
        WatchBuilder::new(self, Target::Range(start, end))
    }

    /// Takes a lock, waiting for it; release it with [`crate::LockGuard::release`], or by dropping the guard.
    fn lock<'a>(&'a self, name: &'a str) -> Lock<'a, Self> {
        Lock::new(self, name)
    }

    /// Takes a lock only if it is free now.
    ///
    /// # Errors
    /// Awaiting it: `LockTimeout` naming the holder.
    fn try_lock<'a>(&'a self, name: &'a str) -> Lock<'a, Self> {
        self.lock(name).wait(Duration::ZERO)
    }

    /// Who holds a lock.
    fn lock_holder<'a>(&'a self, name: &'a str) -> impl Future<Output = Result<Option<LockHolder>>> + Send + 'a {
        self.lock_holder_opts(name, CallOptions::default())
    }

    /// Grants a lease; it lives by keep-alive calls alone.
    fn lease<'a>(&'a self, ttl: Duration) -> impl Future<Output = Result<Lease>> + Send + 'a {
        self.lease_grant(ttl, CallOptions::default())
    }

    /// Starts a lease's time to live anew; answers it.
    ///
    /// # Errors
    /// `LeaseNotFound` when it has run out.
    fn keep_alive<'a>(&'a self, lease: &'a LeaseId) -> impl Future<Output = Result<Duration>> + Send + 'a {
        self.lease_keep_alive(lease, CallOptions::default())
    }

    /// Ends a lease and deletes its keys.
    ///
    /// # Errors
    /// `LeaseNotFound` when it has run out.
    fn revoke<'a>(&'a self, lease: &'a LeaseId) -> impl Future<Output = Result<()>> + Send + 'a {
        self.lease_revoke(lease, CallOptions::default())
    }

    /// Drops history before a revision; already compacted is Ok.
    fn compact<'a>(&'a self, before: impl Into<Revision>) -> impl Future<Output = Result<()>> + Send + 'a {
        self.compact_opts(before.into(), CallOptions::default())
    }

    /// Administers users and members.
    fn admin<'a>(&'a self, request: AdminRequest) -> impl Future<Output = Result<AdminReply>> + Send + 'a {
        self.admin_opts(request, CallOptions::default())
    }

    /// Sets a key under the conditions that `flags` and `previous` name, from a pair as read before.
    ///
    /// The value written is `pair.value`; with `KvFlags::TTL` it lives for `pair.ttl`, without it it is permanent.
    ///
    /// # Errors
    /// Awaiting it: `Modified`, `ValueMismatch`, `NotFound` or `AlreadyExists` by the condition that fails.
    fn compare_and_set<'a>(
        &'a self,
        pair: &'a KvPair,
        flags: crate::KvFlags,
        previous: Option<crate::Bytes>,
    ) -> Put<'a, Self> {
        Put::compare(self, pair, flags, previous)
    }

    /// Deletes a key under the conditions that `flags` name; with none the stored value must equal `pair.value`.
    ///
    /// # Errors
    /// Awaiting it: `Modified`, `ValueMismatch` or `NotFound` by the condition that fails.
    fn compare_and_delete<'a>(&'a self, pair: &'a KvPair, flags: crate::KvFlags) -> Delete<'a, Self> {
        Delete::compare(self, pair, flags)
    }
}

impl<K: Kvdb + ?Sized> KvdbExt for K {}
