//! Snapshots: a store at one revision, read through an engine of its own (contract 9.1 to 9.5).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Engine, Shared};
use crate::backend::Pin;
use crate::{
    AdminReply, AdminRequest, Backend, Batch, CallOptions, Capabilities, DeleteOptions, Deleted, Entry, Error,
    ErrorKind, Feed, Fetched, GetOptions, Info, Key, KeyRange, KvPair, Kvdb, Lease, LeaseId, LeaseInfo, Limits,
    ListOptions, LockGuard, LockHolder, LockOptions, Operation, Outcome, Page, Pages, PutOptions, Read, Result,
    Revision, Scan, SnapshotOptions, Target, Txn, TxnReply, Watch, WatchOptions, WatchSpec,
};

/// Entries in a page that is cut from a snapshot in memory.
const PAGE: usize = 256;

/// Bytes in a page of what is copied: all of it is held in memory anyway, and each page costs a store that counts what is
/// left of the range another walk over it. Of etcd 10,000 keys of 130 bytes come in two.
const COPIED_PAGE: usize = 4 << 20;

/// A read-only [`Kvdb`] that shows the store at one revision: every write at or below it under the prefixes, none
/// above. Reads answer the same for as long as it lives. Where the store can pin its history it costs next to nothing to
/// take, holds that history until it is dropped and ends with the store's handle; elsewhere it is a copy in memory.
#[derive(Clone)]
pub struct Snapshot {
    revision: Revision,
    frozen: Frozen,
    parent: Arc<Shared>,
    /// Made with the first read: taking a snapshot costs a pin.
    engine: Arc<OnceLock<Engine>>,
}

impl Snapshot {
    fn engine(&self) -> &Engine {
        self.engine.get_or_init(|| Engine { shared: Arc::new(self.parent.over(Arc::new(self.frozen.clone()))) })
    }

    fn refuse<T>(&self, operation: Operation, key: &str) -> Result<T> {
        Err(self.parent.explain(operation, key, read_only()))
    }

    /// The revision it shows.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Sets a pair of the snapshot, and of nothing else: value and indexes as they are in `pair`.
    ///
    /// # Errors
    /// `InvalidArgument` for a key that cannot be.
    pub fn snap_put(&self, pair: &KvPair) -> Result<()> {
        let key = self.parent.domain.key(&pair.key)?;
        let entry = Entry {
            key,
            value: pair.value.clone(),
            created: pair.created_index,
            modified: pair.modified_index,
            version: pair.version,
            lease: pair.lease.clone(),
            ttl: pair.ttl,
        };
        self.frozen.0.overlay.write().unwrap_or_else(PoisonError::into_inner).insert(entry.key.clone(), entry);
        Ok(())
    }

    /// Every entry of a range as the store had it, users' eyes or not: for the watch that goes on from here.
    pub(super) async fn entries(&self, range: &KeyRange) -> Result<Vec<Entry>> {
        Ok(self.frozen.0.stored(range).await?.into_values().collect())
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("revision", &self.revision)
            .field("backend", &self.parent.name)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) async fn snapshot(self: &Arc<Self>, prefixes: &[&str], options: SnapshotOptions) -> Result<Snapshot> {
        self.ensure_open()?;
        let mut ranges = prefixes
            .iter()
            .map(|prefix| self.target_range(Target::Tree(prefix)).map_err(|error| error.with_key(*prefix)))
            .collect::<Result<Vec<_>>>()?;
        if ranges.is_empty() {
            ranges.push(self.target_range(Target::Tree(""))?);
        }
        let ranges = without_overlaps(ranges);
        let (revision, base) = match self.backend.pin() {
            Some(pin) => (pin.revision, Base::Pinned { backend: Arc::clone(&self.backend), pin }),
            None => {
                let (revision, entries) = self.copy(&ranges, &options).await?;
                (revision, Base::Copied(entries))
            }
        };
        let frozen = Frozen(Arc::new(State {
            revision,
            ranges,
            base,
            overlay: RwLock::default(),
            capabilities: self.backend.capabilities(),
            limits: self.backend.limits(),
        }));
        Ok(Snapshot { revision, frozen, parent: Arc::clone(self), engine: Arc::default() })
    }

    /// Reads everything under the ranges at one revision: at a past one where the store reads those, else in one
    /// listing that covers all of them.
    async fn copy(self: &Arc<Self>, ranges: &[KeyRange], options: &SnapshotOptions) -> Result<(Revision, Vec<Entry>)> {
        let historic = self.require(Capabilities::REVISION_READS).is_ok();
        let cover;
        let listed = if !options.consistent || historic || ranges.len() == 1 {
            ranges
        } else {
            self.require(Capabilities::ATOMIC_LIST)?;
            cover = [cover_of(ranges)];
            &cover
        };
        let mut entries = Vec::new();
        let mut revision = Revision::ZERO;
        for range in listed {
            let at = (options.consistent && historic && revision > Revision::ZERO).then_some(revision);
            let scan = Scan { read: Read { at, ..Read::default() }, page_bytes: COPIED_PAGE, ..Scan::default() };
            let mut pages = self.raw_pages(range, &scan, self.deadline(options.timeout));
            while let Some(page) = pages.next().await.transpose()? {
                revision = page.revision;
                if listed.len() == ranges.len() {
                    entries.extend(page.entries);
                } else {
                    entries.extend(page.entries.into_iter().filter(|entry| within(ranges, &entry.key)));
                }
            }
        }
        Ok((revision, entries))
    }
}

/// The ranges in order, those that lie inside another one left out. Directories overlap only so.
fn without_overlaps(ranges: Vec<KeyRange>) -> Vec<KeyRange> {
    let mut kept: Vec<KeyRange> = Vec::new();
    for range in ranges {
        if kept.iter().any(|outer| is_inside(&range, outer)) {
            continue;
        }
        kept.retain(|inner| !is_inside(inner, &range));
        kept.push(range);
    }
    kept.sort_by(|a, b| start_of(a).cmp(start_of(b)));
    kept
}

/// Whether a range lies wholly inside another one.
fn is_inside(inner: &KeyRange, outer: &KeyRange) -> bool {
    let from = match (&inner.start, &outer.start) {
        (_, Bound::Unbounded) => true,
        (Bound::Unbounded, _) => false,
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b)) => a >= b,
        (Bound::Included(a), Bound::Excluded(b)) => a > b,
        (Bound::Excluded(a), Bound::Excluded(b)) => a >= b,
    };
    from && match (&inner.end, &outer.end) {
        (_, Bound::Unbounded) => true,
        (Bound::Unbounded, _) => false,
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b)) => a <= b,
        (Bound::Included(a), Bound::Excluded(b)) => a < b,
        (Bound::Excluded(a), Bound::Excluded(b)) => a <= b,
    }
}

/// Whether a key lies before all that a range holds.
fn is_before(key: &Key, range: &KeyRange) -> bool {
    match &range.start {
        Bound::Included(start) => key < start,
        Bound::Excluded(start) => key <= start,
        Bound::Unbounded => false,
    }
}

fn start_of(range: &KeyRange) -> &[u8] {
    match &range.start {
        Bound::Included(key) | Bound::Excluded(key) => key.as_bytes(),
        Bound::Unbounded => b"",
    }
}

/// One range from the first start to the last end.
fn cover_of(ranges: &[KeyRange]) -> KeyRange {
    match (ranges.first(), ranges.last()) {
        (Some(first), Some(last)) => KeyRange { start: first.start.clone(), end: last.end.clone() },
        _ => KeyRange::all(),
    }
}

fn within(ranges: &[KeyRange], key: &Key) -> bool {
    ranges.iter().any(|range| range.contains(key.as_bytes()))
}

/// A store that does not change, but for what [`Snapshot::snap_put`] lays over it.
#[derive(Clone, Debug)]
struct Frozen(Arc<State>);

#[derive(Debug)]
struct State {
    revision: Revision,
    ranges: Vec<KeyRange>,
    base: Base,
    overlay: RwLock<BTreeMap<Key, Entry>>,
    capabilities: Capabilities,
    limits: Limits,
}

#[derive(Debug)]
enum Base {
    /// The store itself, read at the pinned revision.
    Pinned { backend: Arc<dyn Backend>, pin: Pin },
    /// A copy, in the order of the keys.
    Copied(Vec<Entry>),
}

impl State {
    fn overlay(&self) -> RwLockReadGuard<'_, BTreeMap<Key, Entry>> {
        self.overlay.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything in a range, in order, what is laid over included.
    async fn collect(&self, range: &KeyRange) -> Result<BTreeMap<Key, Entry>> {
        let mut all = self.stored(range).await?;
        all.extend(select(&self.overlay(), range));
        Ok(all)
    }

    /// Everything in a range that the store itself had.
    async fn stored(&self, range: &KeyRange) -> Result<BTreeMap<Key, Entry>> {
        match &self.base {
            Base::Copied(entries) => {
                let from = entries.partition_point(|entry| is_before(&entry.key, range));
                let inside = entries.iter().skip(from).take_while(|entry| range.contains(entry.key.as_bytes()));
                Ok(inside.map(|entry| (entry.key.clone(), entry.clone())).collect())
            }
            Base::Pinned { backend, pin } => {
                let mut pages = backend.list(range, &pinned(&Scan::default(), pin));
                let mut all = BTreeMap::new();
                while let Some(page) = pages.next().await.transpose()? {
                    let inside = page.entries.into_iter().filter(|entry| within(&self.ranges, &entry.key));
                    all.extend(inside.map(|entry| (entry.key.clone(), entry)));
                }
                Ok(all)
            }
        }
    }
}

fn select(map: &BTreeMap<Key, Entry>, range: &KeyRange) -> BTreeMap<Key, Entry> {
    if range.is_empty() {
        return BTreeMap::new();
    }
    let bounds = (range.start.as_ref(), range.end.as_ref());
    map.range::<Key, _>(bounds).map(|(key, entry)| (key.clone(), entry.clone())).collect()
}

/// The same scan at the pinned revision.
fn pinned(scan: &Scan, pin: &Pin) -> Scan {
    let at = Some(pin.revision).filter(|_| !cfg!(kvdb_mutant = "snapshot_lists_the_present"));
    Scan { read: Read { at, ..Read::default() }, ..scan.clone() }
}

fn read_only() -> Error {
    Error::new(ErrorKind::ReadOnly, "a snapshot cannot be changed but by snap_put; write to the store itself")
}

#[async_trait]
impl Backend for Frozen {
    fn capabilities(&self) -> Capabilities {
        let reads = Capabilities::ORDERED_UPDATES | Capabilities::ATOMIC_LIST | Capabilities::LINEARIZABLE_READS;
        self.0.capabilities & (reads | Capabilities::BINARY_KEYS | Capabilities::KEY_VERSION)
    }

    fn limits(&self) -> Limits {
        self.0.limits.clone()
    }

    async fn get(&self, key: &Key, _read: &Read) -> Result<Fetched> {
        let state = &self.0;
        let laid_over = state.overlay().get(key).cloned();
        let entry = match &state.base {
            _ if laid_over.is_some() => laid_over,
            _ if !within(&state.ranges, key) => None,
            Base::Copied(entries) => {
                let place = entries.binary_search_by(|entry| entry.key.cmp(key)).ok();
                place.and_then(|place| entries.get(place)).cloned()
            }
            Base::Pinned { backend, pin } => {
                let read = Read { at: Some(pin.revision), ..Read::default() };
                backend.get(key, &read).await?.entry
            }
        };
        Ok(Fetched { entry, revision: state.revision })
    }

    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        if let Base::Pinned { backend, pin } = &self.0.base
            && self.0.ranges.iter().any(|outer| is_inside(range, outer))
            && self.0.overlay().is_empty()
        {
            return backend.list(range, &pinned(scan, pin));
        }
        let (state, range, scan) = (Arc::clone(&self.0), range.clone(), scan.clone());
        let pages = async move {
            let mut entries: Vec<Entry> = state.collect(&range).await?.into_values().collect();
            if scan.reverse {
                entries.reverse();
            }
            let count = entries.len() as u64;
            entries.truncate(scan.limit.unwrap_or(usize::MAX));
            Ok::<_, Error>(stream::iter(pages_of(&entries, count, state.revision, &scan)).map(Ok))
        };
        Box::pin(stream::once(pages).try_flatten())
    }

    /// Only the check of a transaction that reads: what it read cannot have changed.
    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        match batch.ops.is_empty() {
            true => Ok(Outcome::Committed { revision: self.0.revision, results: Vec::new() }),
            false => Err(read_only()),
        }
    }

    async fn watch(&self, _spec: &WatchSpec) -> Result<Feed> {
        Err(read_only())
    }

    async fn grant(&self, _ttl: Duration) -> Result<(LeaseId, Duration)> {
        Err(read_only())
    }

    async fn keep_alive(&self, _lease: &LeaseId) -> Result<Duration> {
        Err(read_only())
    }

    async fn revoke(&self, _lease: &LeaseId) -> Result<()> {
        Err(read_only())
    }
}

/// Cuts a list into pages.
fn pages_of(entries: &[Entry], count: u64, revision: Revision, scan: &Scan) -> Vec<Page> {
    let count = (scan.total || scan.count_only).then_some(count);
    let blank = Page { count, revision, ..Page::default() };
    if entries.is_empty() || scan.count_only {
        return vec![blank];
    }
    entries
        .chunks(PAGE)
        .map(|chunk| match scan.keys_only {
            true => Page { names: chunk.iter().map(|entry| entry.key.clone()).collect(), ..blank.clone() },
            false => Page { entries: chunk.to_vec(), ..blank.clone() },
        })
        .collect()
}

/// Reads go to the snapshot's own engine; everything that would change something is `ReadOnly`.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Kvdb for Snapshot {
    fn info(&self) -> Info {
        self.engine().info()
    }

    fn capabilities(&self) -> Capabilities {
        self.engine().capabilities()
    }

    fn limits(&self) -> Limits {
        self.engine().limits()
    }

    async fn get_opts(&self, key: &str, options: GetOptions) -> Result<Option<KvPair>> {
        self.engine().get_opts(key, options).await
    }

    async fn list_opts(&self, target: Target<'_>, options: ListOptions) -> Result<Pages> {
        self.engine().list_opts(target, options).await
    }

    async fn put_opts(&self, key: &str, _value: crate::Bytes, options: PutOptions) -> Result<KvPair> {
        self.refuse(options.operation(), key)
    }

    async fn delete_opts(&self, target: Target<'_>, _options: DeleteOptions) -> Result<Deleted> {
        self.refuse(Operation::Delete, target.name())
    }

    async fn txn_opts(&self, txn: Txn, options: CallOptions) -> Result<TxnReply> {
        let writes = txn.then.iter().chain(&txn.otherwise).any(|op| !matches!(op, crate::TxnOp::Get { .. }));
        if writes {
            return self.refuse(Operation::Txn, "");
        }
        self.engine().txn_opts(txn, options).await
    }

    async fn snapshot_opts(&self, prefixes: &[&str], options: SnapshotOptions) -> Result<Snapshot> {
        self.engine().snapshot_opts(prefixes, options).await
    }

    async fn watch_opts(&self, target: Target<'_>, _options: WatchOptions) -> Result<Watch> {
        self.refuse(Operation::Watch, target.name())
    }

    async fn lock_opts(&self, name: &str, _options: LockOptions) -> Result<LockGuard> {
        self.refuse(Operation::Lock, name)
    }

    async fn unlock_opts(&self, guard: &LockGuard, _options: CallOptions) -> Result<()> {
        self.refuse(Operation::Unlock, guard.name())
    }

    async fn lock_holder_opts(&self, name: &str, _options: CallOptions) -> Result<Option<LockHolder>> {
        self.refuse(Operation::LockHolder, name)
    }

    async fn lease_grant(&self, _ttl: Duration, _options: CallOptions) -> Result<Lease> {
        self.refuse(Operation::LeaseGrant, "")
    }

    async fn lease_keep_alive(&self, _lease: &LeaseId, _options: CallOptions) -> Result<Duration> {
        self.refuse(Operation::LeaseKeepAlive, "")
    }

    async fn lease_revoke(&self, _lease: &LeaseId, _options: CallOptions) -> Result<()> {
        self.refuse(Operation::LeaseRevoke, "")
    }

    async fn lease_info(&self, _lease: &LeaseId, _options: CallOptions) -> Result<LeaseInfo> {
        self.refuse(Operation::LeaseInfo, "")
    }

    async fn compact_opts(&self, _before: Revision, _options: CallOptions) -> Result<()> {
        self.refuse(Operation::Compact, "")
    }

    async fn admin_opts(&self, _request: AdminRequest, _options: CallOptions) -> Result<AdminReply> {
        self.refuse(Operation::Admin, "")
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
