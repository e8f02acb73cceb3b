use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use kvdb_core::toolkit::check_batch;
use kvdb_core::{
    Backend, Batch, Capabilities, Change, Changes, Entry, Error, ErrorKind, Feed, Fetched, Guard, Key, KeyRange,
    LeaseId, Limits, Op, OpResult, Outcome, Page, Read, Result, Revision, Scan, WatchSpec,
};
use tokio::sync::watch;

/// A store in a locked map that remembers its last writes.
#[derive(Debug)]
pub struct Toy(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the watches.
    written: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    revision: Revision,
    entries: BTreeMap<Key, Entry>,
    /// The last writes, for watches; one for each revision.
    history: VecDeque<Arc<Written>>,
    /// Time to live and deadline.
    leases: BTreeMap<i64, (Duration, Instant)>,
    leases_granted: i64,
    closed: bool,
}

/// A revision and everything it changed.
type Written = (Revision, Vec<Change>);

/// How many writes are remembered.
const HISTORY: usize = 10_000;
/// How often a watch looks for leases that have run out when nobody else does.
const TICK: Duration = Duration::from_millis(20);

impl Toy {
    /// An empty store.
    pub fn open() -> Self {
        let state = State { revision: Revision::new(1), ..State::default() };
        Self(Arc::new(Shared { state: Mutex::new(state), written: watch::Sender::new(()) }))
    }
}

impl Shared {
    /// The state, in which every lease that has run out is gone.
    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(Error::new(ErrorKind::Closed, "the store is closed"));
        }
        let now = Instant::now();
        let due = |(id, (_, deadline)): (&i64, &(Duration, Instant))| (*deadline <= now).then_some(*id);
        for lease in state.leases.iter().filter_map(due).collect::<Vec<_>>() {
            self.end_lease(&mut state, lease, true);
        }
        Ok(state)
    }

    fn end_lease(&self, state: &mut State, lease: i64, expired: bool) {
        state.leases.remove(&lease);
        let attached = |entry: &&Entry| entry.lease == Some(LeaseId::Number(lease));
        let keys: Vec<Key> = state.entries.values().filter(attached).map(|entry| entry.key.clone()).collect();
        let mut changes = Vec::new();
        for key in keys {
            state.delete(&key, expired, &mut changes);
        }
        self.tell(state, changes);
    }

    /// Takes the next revision for these changes, if there are any.
    fn tell(&self, state: &mut State, changes: Vec<Change>) {
        if !changes.is_empty() {
            state.revision = state.revision.next();
            state.history.push_back(Arc::new((state.revision, changes)));
            if state.history.len() > HISTORY {
                state.history.pop_front();
            }
            self.written.send_replace(());
        }
    }
}

impl State {
    /// The first write above a revision, if there is one yet.
    fn after(&self, revision: Revision) -> Result<Option<Arc<Written>>> {
        let oldest = self.revision.get() - self.history.len() as u64;
        let place = revision.get().checked_sub(oldest).ok_or_else(|| {
            let oldest = Revision::new(oldest);
            Error::new(ErrorKind::Compacted { oldest }, "the store remembers its last writes only")
        })?;
        Ok(self.history.get(place as usize).cloned())
    }

    fn holds(&self, guard: &Guard) -> bool {
        match guard {
            Guard::Absent(key) => !self.entries.contains_key(key),
            Guard::Present(key) => self.entries.contains_key(key),
            Guard::Unchanged(key, revision) => self.entries.get(key).is_some_and(|entry| entry.modified == *revision),
        }
    }

    /// Applies one write of the batch that takes the next revision.
    fn apply(&mut self, op: &Op, changes: &mut Vec<Change>) -> OpResult {
        match op {
            Op::Put { key, value, lease, previous } => {
                let old = self.entries.get(key).cloned();
                let modified = self.revision.next();
                let entry = Entry {
                    key: key.clone(),
                    value: value.clone(),
                    created: old.as_ref().map_or(modified, |old| old.created),
                    modified,
                    version: Some(old.as_ref().and_then(|old| old.version).unwrap_or(0) + 1),
                    lease: lease.clone(),
                    ttl: lease.as_ref().and_then(|lease| Some(self.leases.get(&lease.number()?)?.0)),
                };
                self.entries.insert(key.clone(), entry.clone());
                changes.push(Change::Put { entry: entry.clone(), previous: old.clone() });
                OpResult::Put { entry, previous: old.filter(|_| *previous) }
            }
            Op::Delete { key, previous } => {
                let old = self.delete(key, false, changes);
                OpResult::Deleted { removed: u64::from(old.is_some()), previous: old.filter(|_| *previous) }
            }
            Op::DeleteRange { range } => {
                let keys: Vec<Key> = self.range(range).map(|entry| entry.key.clone()).collect();
                for key in &keys {
                    self.delete(key, false, changes);
                }
                OpResult::Deleted { removed: keys.len() as u64, previous: None }
            }
        }
    }

    fn delete(&mut self, key: &Key, expired: bool, changes: &mut Vec<Change>) -> Option<Entry> {
        let old = self.entries.remove(key)?;
        let (key, revision, previous) = (key.clone(), self.revision.next(), Some(old.clone()));
        changes.push(Change::Delete { key, revision, expired, previous });
        Some(old)
    }

    fn range(&self, range: &KeyRange) -> impl DoubleEndedIterator<Item = &Entry> + use<'_> {
        // The map panics on a range whose end lies before its start.
        let range = (!range.is_empty()).then(|| self.entries.range::<[u8], _>(range.clone()));
        range.into_iter().flatten().map(|(_, entry)| entry)
    }

    /// The whole listing, cut into pages: all of it was read under one lock.
    fn pages(&self, range: &KeyRange, scan: &Scan) -> Vec<Result<Page>> {
        let count = (scan.count_only || scan.total).then(|| self.range(range).count() as u64);
        let limit = if scan.count_only { 0 } else { scan.limit.unwrap_or(usize::MAX) };
        let mut entries: Vec<&Entry> = self.range(range).collect();
        if scan.reverse {
            entries.reverse();
        }
        let mut pages = vec![Page { count, revision: self.revision, ..Page::default() }];
        let mut bytes = 0;
        for entry in entries.into_iter().take(limit) {
            let size = entry.key.len() + if scan.keys_only { 0 } else { entry.value.len() };
            if bytes > 0 && bytes + size > scan.page_bytes {
                pages.push(Page { count, revision: self.revision, ..Page::default() });
                bytes = 0;
            }
            bytes += size;
            match pages.last_mut() {
                Some(page) if scan.keys_only => page.names.push(entry.key.clone()),
                Some(page) => page.entries.push(entry.clone()),
                None => {}
            }
        }
        pages.into_iter().map(Ok).collect()
    }
}

/// A watch: a place in the history, so that a reader that stops costs nothing.
struct Follower {
    store: Arc<Shared>,
    written: watch::Receiver<()>,
    spec: WatchSpec,
    cursor: Revision,
    /// A progress is owed once the past is told.
    progress: bool,
}

impl Follower {
    async fn next(&mut self) -> Result<Changes> {
        loop {
            self.written.mark_unchanged();
            let written = self.store.lock()?.after(self.cursor)?;
            if let Some(written) = written {
                self.cursor = written.0;
                if let Some(changes) = step(&written, &self.spec) {
                    return Ok(changes);
                }
            } else if std::mem::take(&mut self.progress) {
                return Ok(Changes::Progress(self.cursor));
            } else {
                let _ = tokio::time::timeout(TICK, self.written.changed()).await;
            }
        }
    }
}

/// One step of a watch; `None` for a write outside its range.
fn step((revision, changes): &Written, spec: &WatchSpec) -> Option<Changes> {
    let inside = changes.iter().filter(|change| spec.range.contains(change.key().as_bytes()));
    let changes: Vec<Change> = inside.cloned().collect();
    (!changes.is_empty()).then_some(Changes::Batch { revision: *revision, changes })
}

fn no_lease() -> Error {
    Error::new(ErrorKind::LeaseNotFound, "the lease has run out or never was; grant a new one")
}

#[async_trait]
impl Backend for Toy {
    fn capabilities(&self) -> Capabilities {
        use Capabilities as C;
        let order = C::ORDERED_UPDATES | C::ATOMIC_LIST | C::LINEARIZABLE_READS | C::KEY_VERSION;
        order | C::WATCH_RESUME | C::LEASES | C::SHARED_LEASES | C::TTL | C::DELETE_RANGE
    }

    fn limits(&self) -> Limits {
        Limits {
            key_bytes: 16 << 10,
            value_bytes: 16 << 20,
            batch_ops: 10_000,
            batch_bytes: 17 << 20,
            leases_per_batch: 10_000,
            ttl_min: Duration::from_millis(1),
            ttl_max: Some(Duration::from_secs(366 * 24 * 3600)),
            ttl_granularity: Duration::from_millis(1),
            ttl_slack: Duration::from_millis(500),
        }
    }

    async fn get(&self, key: &Key, _: &Read) -> Result<Fetched> {
        let state = self.0.lock()?;
        Ok(Fetched { entry: state.entries.get(key).cloned(), revision: state.revision })
    }

    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        let pages = self.0.lock().map(|state| state.pages(range, scan));
        stream::iter(pages.unwrap_or_else(|error| vec![Err(error)])).boxed()
    }

    async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        check_batch(batch, &self.limits())?;
        let mut state = self.0.lock()?;
        if !batch.guards.iter().all(|guard| state.holds(guard)) {
            return Ok(Outcome::Conflict);
        }
        for op in &batch.ops {
            if let Op::Put { lease: Some(lease), .. } = op
                && !lease.number().is_some_and(|lease| state.leases.contains_key(&lease))
            {
                return Err(no_lease());
            }
        }
        let mut changes = Vec::new();
        let results = batch.ops.iter().map(|op| state.apply(op, &mut changes)).collect();
        self.0.tell(&mut state, changes);
        Ok(Outcome::Committed { revision: state.revision, results })
    }

    async fn watch(&self, spec: &WatchSpec) -> Result<Feed> {
        let state = self.0.lock()?;
        let revision = state.revision;
        let cursor = spec.after.unwrap_or(revision);
        if cursor > revision {
            return Err(Error::new(ErrorKind::FutureRevision { current: revision }, "nothing is that new"));
        }
        state.after(cursor)?;
        let (store, written, spec) = (Arc::clone(&self.0), self.0.written.subscribe(), spec.clone());
        let feed = Follower { store, written, cursor, progress: spec.after.is_some(), spec };
        let changes =
            stream::try_unfold(feed, |mut feed| async { feed.next().await.map(|changes| Some((changes, feed))) });
        Ok(Feed { revision, changes: changes.boxed() })
    }

    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)> {
        let mut state = self.0.lock()?;
        // The engine has compared it with the limits; only an overflow is left to refuse.
        let deadline = Instant::now().checked_add(ttl).ok_or_else(|| Error::invalid("the TTL is too long"))?;
        state.leases_granted += 1;
        let lease = state.leases_granted;
        state.leases.insert(lease, (ttl, deadline));
        Ok((LeaseId::Number(lease), ttl))
    }

    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration> {
        let mut state = self.0.lock()?;
        let lease = lease.number().and_then(|lease| state.leases.get_mut(&lease)).ok_or_else(no_lease)?;
        lease.1 = Instant::now() + lease.0;
        Ok(lease.0)
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<()> {
        let mut state = self.0.lock()?;
        let lease = lease.number().filter(|lease| state.leases.contains_key(lease)).ok_or_else(no_lease)?;
        self.0.end_lease(&mut state, lease, false);
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.written.send_replace(());
        Ok(())
    }
}
