//! The builders behind the verbs of [`crate::KvdbExt`]: each is a future once awaited.

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::Bound;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::{
    Consistency, DeleteOptions, Error, Fence, GetOptions, IntoValue, KvFlags, KvPair, Kvdb, LeaseId, ListOptions,
    Listing, LockGuard, LockOptions, OnGap, Pages, Precondition, PutOptions, Result, Revision, Snapshot, Target, Watch,
    WatchOptions, WatchStart,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A refusal that is known before anything is sent.
fn refused<'a, T: Send + 'a>(error: Error) -> Boxed<'a, T> {
    Box::pin(std::future::ready(Err(error)))
}

macro_rules! shown {
    ($($builder:ident),*) => {$(
        impl<K: ?Sized> fmt::Debug for $builder<'_, K> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($builder)).field("options", &self.options).finish_non_exhaustive()
            }
        }
    )*};
}
mod txn;

pub use txn::TxnBuilder;

shown!(Get, Put, Delete, DeleteTree, List, Keys, WatchBuilder, Lock);

macro_rules! timeout {
    () => {
        /// Sets the deadline of this call.
        pub fn timeout(mut self, timeout: Duration) -> Self {
            self.options.timeout = Some(timeout);
            self
        }
    };
}

macro_rules! freshness {
    () => {
        /// May lag behind: the cheapest read.
        pub fn stale(mut self) -> Self {
            self.options.consistency = Consistency::Stale;
            self
        }

        /// Linearizable on every store, at the price of a write where the store needs one.
        pub fn strict(mut self) -> Self {
            self.options.consistency = Consistency::Strict;
            self
        }

        /// Reads at a past revision (REVISION_READS).
        pub fn at(mut self, revision: impl Into<Revision>) -> Self {
            self.options.at = Some(revision.into());
            self
        }
    };
}

macro_rules! conditions {
    () => {
        /// The key must be present and unchanged since `pair` was read or written.
        pub fn if_unchanged(self, pair: &KvPair) -> Self {
            self.if_revision(pair.modified_index)
        }

        /// The key's last write must be this revision.
        pub fn if_revision(mut self, revision: impl Into<Revision>) -> Self {
            self.options.when.modified = Some(revision.into());
            self
        }

        /// The key must be of the incarnation that this revision created.
        pub fn if_created(mut self, revision: impl Into<Revision>) -> Self {
            self.options.when.created = Some(revision.into());
            self
        }

        /// The key must be present with exactly this value.
        pub fn if_value(mut self, value: impl IntoValue) -> Self {
            self.options.when.value = Some(value.into_value());
            self
        }

        /// Fails with `LockLost` once this lock is lost or passed on.
        pub fn fence(mut self, lock: &LockGuard) -> Self {
            self.options.fence = Some(lock.fence());
            self
        }

        /// Fails with `LockLost` once the lock of this fence is lost or passed on.
        pub fn fenced_by(mut self, fence: Fence) -> Self {
            self.options.fence = Some(fence);
            self
        }
    };
}

/// Reads a key.
#[must_use = "a builder does nothing until it is awaited"]
pub struct Get<'a, K: ?Sized> {
    kv: &'a K,
    key: &'a str,
    options: GetOptions,
}

impl<'a, K: Kvdb + ?Sized> Get<'a, K> {
    pub(super) fn new(kv: &'a K, key: &'a str) -> Self {
        Self { kv, key, options: GetOptions::default() }
    }

    freshness!();
    timeout!();
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for Get<'a, K> {
    type Output = Result<Option<KvPair>>;
    type IntoFuture = Boxed<'a, Option<KvPair>>;

    fn into_future(self) -> Self::IntoFuture {
        self.kv.get_opts(self.key, self.options)
    }
}

/// Writes a key.
#[must_use = "a builder does nothing until it is awaited"]
pub struct Put<'a, K: ?Sized> {
    kv: &'a K,
    key: &'a str,
    value: Result<Bytes>,
    options: PutOptions,
}

impl<'a, K: Kvdb + ?Sized> Put<'a, K> {
    pub(super) fn new(kv: &'a K, key: &'a str, value: Result<Bytes>) -> Self {
        Self { kv, key, value, options: PutOptions::default() }
    }

    pub(super) fn compare(kv: &'a K, pair: &'a KvPair, flags: KvFlags, previous: Option<Bytes>) -> Self {
        let mut options = PutOptions { previous: true, ..PutOptions::default() };
        if flags.contains(KvFlags::TTL) {
            options.ttl = pair.ttl;
        }
        let value = Precondition::from_flags(pair, flags, previous).map(|when| {
            options.when = when;
            pair.value.clone()
        });
        Self { kv, key: &pair.key, value, options }
    }

    /// Deletes the key after this long (TTL).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// Attaches the key to a lease.
    pub fn lease(mut self, lease: &LeaseId) -> Self {
        self.options.lease = Some(lease.clone());
        self
    }

    /// The key must be absent.
    pub fn if_absent(mut self) -> Self {
        self.options.when.exists = Some(false);
        self
    }

    /// The key must be present.
    pub fn if_present(mut self) -> Self {
        self.options.when.exists = Some(true);
        self
    }

    /// Answers the pair before the write, in `previous`.
    pub fn previous(mut self) -> Self {
        self.options.previous = true;
        self
    }

    conditions!();
    timeout!();
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for Put<'a, K> {
    type Output = Result<KvPair>;
    type IntoFuture = Boxed<'a, KvPair>;

    fn into_future(self) -> Self::IntoFuture {
        match self.value {
            Ok(value) => self.kv.put_opts(self.key, value, self.options),
            Err(error) => refused(error),
        }
    }
}

/// Deletes a key.
#[must_use = "a builder does nothing until it is awaited"]
pub struct Delete<'a, K: ?Sized> {
    kv: &'a K,
    key: &'a str,
    options: DeleteOptions,
    refusal: Option<Error>,
}

impl<'a, K: Kvdb + ?Sized> Delete<'a, K> {
    pub(super) fn new(kv: &'a K, key: &'a str) -> Self {
        Self { kv, key, options: DeleteOptions::default(), refusal: None }
    }

    pub(super) fn compare(kv: &'a K, pair: &'a KvPair, flags: KvFlags) -> Self {
        let mut delete = Self::new(kv, &pair.key);
        let value = (flags - KvFlags::TTL).is_empty().then(|| pair.value.clone());
        match Precondition::from_flags(pair, flags, value) {
            Ok(when) => delete.options.when = when,
            Err(error) => delete.refusal = Some(error),
        }
        delete
    }

    conditions!();
    timeout!();
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for Delete<'a, K> {
    type Output = Result<KvPair>;
    type IntoFuture = Boxed<'a, KvPair>;

    fn into_future(self) -> Self::IntoFuture {
        if let Some(error) = self.refusal {
            return refused(error);
        }
        Box::pin(async move {
            let deleted = self.kv.delete_opts(Target::Key(self.key), self.options).await?;
            deleted
                .pair
                .ok_or_else(|| Error::new(crate::ErrorKind::Internal, "a deletion answered no pair").with_key(self.key))
        })
    }
}

/// Deletes a directory.
#[must_use = "a builder does nothing until it is awaited"]
pub struct DeleteTree<'a, K: ?Sized> {
    kv: &'a K,
    target: Target<'a>,
    options: DeleteOptions,
}

impl<'a, K: Kvdb + ?Sized> DeleteTree<'a, K> {
    pub(super) fn new(kv: &'a K, target: Target<'a>) -> Self {
        Self { kv, target, options: DeleteOptions::default() }
    }

    /// Fails with `LockLost` once this lock is lost or passed on.
    pub fn fence(mut self, lock: &LockGuard) -> Self {
        self.options.fence = Some(lock.fence());
        self
    }

    timeout!();
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for DeleteTree<'a, K> {
    type Output = Result<u64>;
    type IntoFuture = Boxed<'a, u64>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.kv.delete_opts(self.target, self.options).await?.removed) })
    }
}

/// Lists pairs.
#[must_use = "a builder does nothing until it is awaited"]
pub struct List<'a, K: ?Sized> {
    kv: &'a K,
    target: Target<'a>,
    options: ListOptions,
}

impl<'a, K: Kvdb + ?Sized> List<'a, K> {
    pub(super) fn new(kv: &'a K, target: Target<'a>) -> Self {
        Self { kv, target, options: ListOptions::default() }
    }

    /// At most this many pairs.
    pub fn limit(mut self, limit: usize) -> Self {
        self.options.limit = Some(limit);
        self
    }

    /// From the last key to the first.
    pub fn reverse(mut self) -> Self {
        self.options.reverse = true;
        self
    }

    freshness!();
    timeout!();

    /// The pairs as a stream of pages instead of one list.
    ///
    /// # Errors
    /// As [`Kvdb::list_opts`].
    pub async fn pages(self) -> Result<Pages> {
        self.kv.list_opts(self.target, self.options).await
    }

    /// The pairs with the revision they show.
    ///
    /// # Errors
    /// As [`Kvdb::list_opts`].
    pub async fn listing(self) -> Result<Listing> {
        self.pages().await?.collect().await
    }

    /// The names only.
    ///
    /// # Errors
    /// As [`Kvdb::list_opts`].
    pub async fn names(mut self) -> Result<Vec<String>> {
        self.options.keys_only = true;
        Ok(self.listing().await?.names)
    }

    /// The number only.
    ///
    /// # Errors
    /// As [`Kvdb::list_opts`].
    pub async fn count(mut self) -> Result<u64> {
        self.options.count_only = true;
        Ok(self.listing().await?.count)
    }
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for List<'a, K> {
    type Output = Result<Vec<KvPair>>;
    type IntoFuture = Boxed<'a, Vec<KvPair>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.listing().await?.pairs) })
    }
}

/// Lists first-level names.
#[must_use = "a builder does nothing until it is awaited"]
pub struct Keys<'a, K: ?Sized> {
    kv: &'a K,
    prefix: &'a str,
    separator: &'a str,
    options: ListOptions,
}

impl<'a, K: Kvdb + ?Sized> Keys<'a, K> {
    pub(super) fn new(kv: &'a K, prefix: &'a str) -> Self {
        Self { kv, prefix, separator: "/", options: ListOptions { keys_only: true, ..ListOptions::default() } }
    }

    /// Cuts names at this text instead of `/`; the prefix is then raw text, not a directory. Empty means `/`.
    pub fn separator(mut self, separator: &'a str) -> Self {
        self.separator = if separator.is_empty() { "/" } else { separator };
        self
    }

    freshness!();
    timeout!();

    async fn names(self) -> Result<Vec<String>> {
        let (names, cut) = if self.separator == "/" {
            let listing = self.kv.list_opts(Target::Tree(self.prefix), self.options).await?.collect().await?;
            let cut = crate::engine::directory_len(self.prefix);
            (listing.names, cut)
        } else {
            let mut start = self.prefix.to_owned();
            if !start.is_empty() && !start.ends_with(self.separator) {
                start.push_str(self.separator);
            }
            let end = after_prefix(&start);
            let target = Target::Range(
                if start.is_empty() { Bound::Unbounded } else { Bound::Included(&start) },
                end.as_deref().map_or(Bound::Unbounded, Bound::Excluded),
            );
            let names = self.kv.list_opts(target, self.options).await?.collect().await?.names;
            (names, start.len())
        };
        let first_level: BTreeSet<&str> = names
            .iter()
            .filter_map(|name| name.get(cut..))
            .map(|rest| rest.split_once(self.separator).map_or(rest, |(first, _)| first))
            .filter(|first| !first.is_empty())
            .collect();
        Ok(first_level.into_iter().map(str::to_owned).collect())
    }
}

/// The first text behind every text that begins with `prefix`.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // Surrogates are no characters: the one behind U+D7FF is U+E000, as in byte order.
        let next = (last as u32 + 1..=char::MAX as u32).find_map(char::from_u32);
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for Keys<'a, K> {
    type Output = Result<Vec<String>>;
    type IntoFuture = Boxed<'a, Vec<String>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.names())
    }
}

/// Watches keys.
#[must_use = "a builder does nothing until it is awaited"]
pub struct WatchBuilder<'a, K: ?Sized> {
    kv: &'a K,
    target: Target<'a>,
    options: WatchOptions,
}

impl<'a, K: Kvdb + ?Sized> WatchBuilder<'a, K> {
    pub(super) fn new(kv: &'a K, target: Target<'a>) -> Self {
        Self { kv, target, options: WatchOptions::default() }
    }

    /// Starts with the first change above this revision.
    pub fn after(mut self, revision: impl Into<Revision>) -> Self {
        self.options.start = WatchStart::After(revision.into());
        self
    }

    /// Starts with the present state, then `Synced`, then every change.
    pub fn current(mut self) -> Self {
        self.options.start = WatchStart::Current;
        self
    }

    /// Starts with the first change after a snapshot of the same store and domain: no gap and no repeat.
    pub fn from(mut self, snapshot: &Snapshot) -> Self {
        self.options.start = WatchStart::Snapshot(snapshot.clone());
        self
    }

    /// Every event carries the pair before it.
    pub fn previous(mut self) -> Self {
        self.options.previous = true;
        self
    }

    /// What to do when the history it needs is gone.
    pub fn on_gap(mut self, on_gap: OnGap) -> Self {
        self.options.on_gap = Some(on_gap);
        self
    }

    /// Delivers `Progress` events on every store.
    pub fn progress(mut self) -> Self {
        self.options.progress = true;
        self
    }

    timeout!();
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for WatchBuilder<'a, K> {
    type Output = Result<Watch>;
    type IntoFuture = Boxed<'a, Watch>;

    fn into_future(self) -> Self::IntoFuture {
        self.kv.watch_opts(self.target, self.options)
    }
}

/// Takes a lock.
#[must_use = "a builder does nothing until it is awaited"]
pub struct Lock<'a, K: ?Sized> {
    kv: &'a K,
    name: &'a str,
    options: LockOptions,
}

impl<'a, K: Kvdb + ?Sized> Lock<'a, K> {
    pub(super) fn new(kv: &'a K, name: &'a str) -> Self {
        Self { kv, name, options: LockOptions::default() }
    }

    /// Who asks: shown to others.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.options.id = Some(id.into());
        self
    }

    /// How long to wait; zero tries once.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.options.wait = Some(wait);
        self
    }

    /// How long after the holder's death the lock frees itself.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// How long it may be held before the fatal callback is called.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.options.hold = Some(hold);
        self
    }

    timeout!();
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for Lock<'a, K> {
    type Output = Result<LockGuard>;
    type IntoFuture = Boxed<'a, LockGuard>;

    fn into_future(self) -> Self::IntoFuture {
        self.kv.lock_opts(self.name, self.options)
    }
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn the_text_behind_a_prefix_is_above_all_its_texts() {
        assert_eq!(after_prefix("a:").as_deref(), Some("a;"));
        assert_eq!(after_prefix("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(after_prefix("\u{D7FF}").as_deref(), Some("\u{E000}"));
        assert_eq!(after_prefix(""), None);
    }
}
