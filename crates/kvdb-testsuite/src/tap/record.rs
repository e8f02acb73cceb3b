use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kvdb_core::{Batch, LeaseId, WatchSpec};

/// What the engine has asked the store for.
#[derive(Debug, Default)]
pub(crate) struct Record {
    log: Mutex<Log>,
    open_feeds: Arc<AtomicUsize>,
    reads: AtomicUsize,
    pub(super) held: Held,
}

/// Counts the values that came out of feeds and that somebody still holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<HeldNow>);

#[derive(Debug, Default)]
struct HeldNow {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A value that counts itself out when the last holder lets go.
struct Counted(Bytes, Held);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Held {
    pub(super) fn count(&self, value: &Bytes) -> Bytes {
        let now = self.0.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(now, Ordering::SeqCst);
        Bytes::from_owner(Counted(value.clone(), self.clone()))
    }
}

#[derive(Debug, Default)]
struct Log {
    grants: Vec<(LeaseId, Duration)>,
    kept: Vec<LeaseId>,
    revokes: Vec<LeaseId>,
    watches: Vec<WatchSpec>,
    commits: usize,
}

impl Record {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn granted(&self, lease: &LeaseId, ttl: Duration) {
        self.log().grants.push((lease.clone(), ttl));
    }

    pub(super) fn kept(&self, lease: &LeaseId) {
        self.log().kept.push(lease.clone());
    }

    pub(super) fn revoked(&self, lease: &LeaseId) {
        self.log().revokes.push(lease.clone());
    }

    pub(super) fn watched(&self, spec: &WatchSpec) {
        self.log().watches.push(spec.clone());
    }

    pub(super) fn committed(&self, _batch: &Batch) {
        self.log().commits += 1;
    }

    pub(super) fn read(&self) {
        self.reads.fetch_add(1, Ordering::SeqCst);
    }

    /// How many reads and listings were asked for.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Counts a feed as open until the answer is dropped.
    pub(super) fn feed_opened(&self) -> OpenFeed {
        self.open_feeds.fetch_add(1, Ordering::SeqCst);
        OpenFeed(Arc::clone(&self.open_feeds))
    }

    /// Every granted lease with its time to live, in order.
    pub(crate) fn grants(&self) -> Vec<(LeaseId, Duration)> {
        self.log().grants.clone()
    }

    /// Every lease that was revoked, in order.
    pub(crate) fn revokes(&self) -> Vec<LeaseId> {
        self.log().revokes.clone()
    }

    /// How many keep-alives the store has answered.
    pub(crate) fn keep_alives(&self) -> usize {
        self.log().kept.len()
    }

    /// Every watch that was registered, in order.
    pub(crate) fn watches(&self) -> Vec<WatchSpec> {
        self.log().watches.clone()
    }

    /// How many batches the store has committed or refused.
    pub(crate) fn commits(&self) -> usize {
        self.log().commits
    }

    /// How many values out of feeds were held at the same time, at most.
    pub(crate) fn most_values_held(&self) -> usize {
        self.held.0.most.load(Ordering::SeqCst)
    }

    /// How many feeds are open now.
    pub(crate) fn open_feeds(&self) -> usize {
        self.open_feeds.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
pub(super) struct OpenFeed(Arc<AtomicUsize>);

impl Drop for OpenFeed {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
