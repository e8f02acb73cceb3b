//! What apps hold and wrappers intercept.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::engine::Withdrawn;
use crate::{
    AdminReply, AdminRequest, Capabilities, Consistency, Fence, KvPair, Lease, LeaseId, LeaseInfo, Limits, LockGuard,
    LockHolder, LockMode, OnGap, Operation, Pages, Precondition, Result, Revision, Snapshot, Target, Txn, TxnReply,
    Watch, WatchStart,
};

/// The verbs in full: what apps hold as `Arc<dyn Kvdb>` and wrappers intercept. No default bodies, ever.
///
/// Every call takes a deadline (`timeout`, 10 s unless set; contract 10.1) and is cancel safe: a dropped future
/// leaves nothing or the whole write (10.2). The short forms are in [`crate::KvdbExt`].
#[async_trait]
pub trait Kvdb: fmt::Debug + Send + Sync + 'static {
    /// Which store this is.
    fn info(&self) -> Info;
    /// What it can do.
    fn capabilities(&self) -> Capabilities;
    /// What it can take.
    fn limits(&self) -> Limits;
    /// Reads a key.
    async fn get_opts(&self, key: &str, options: GetOptions) -> Result<Option<KvPair>>;
    /// Lists keys, page by page, all at one revision where the store has ATOMIC_LIST.
    async fn list_opts(&self, target: Target<'_>, options: ListOptions) -> Result<Pages>;
    /// Writes a key; answers the pair as that very write left it.
    async fn put_opts(&self, key: &str, value: Bytes, options: PutOptions) -> Result<KvPair>;
    /// Deletes a key, a directory or a range.
    async fn delete_opts(&self, target: Target<'_>, options: DeleteOptions) -> Result<Deleted>;
    /// If all compares hold, then one branch, else the other, in one atomic step.
    async fn txn_opts(&self, txn: Txn, options: CallOptions) -> Result<TxnReply>;
    /// A read-only view of the store at one revision.
    async fn snapshot_opts(&self, prefixes: &[&str], options: SnapshotOptions) -> Result<Snapshot>;
    /// Watches a key, a directory or a range; no write after the return is missed.
    async fn watch_opts(&self, target: Target<'_>, options: WatchOptions) -> Result<Watch>;
    /// Takes a lock.
    async fn lock_opts(&self, name: &str, options: LockOptions) -> Result<LockGuard>;
    /// Releases a lock; a second release, or one after loss, is Ok and touches nobody else.
    async fn unlock_opts(&self, guard: &LockGuard, options: CallOptions) -> Result<()>;
    /// Who holds a lock.
    async fn lock_holder_opts(&self, name: &str, options: CallOptions) -> Result<Option<LockHolder>>;
    /// Grants a lease; it lives by keep-alive calls alone.
    async fn lease_grant(&self, ttl: Duration, options: CallOptions) -> Result<Lease>;
    /// Starts a lease's time to live anew; answers it.
    async fn lease_keep_alive(&self, lease: &LeaseId, options: CallOptions) -> Result<Duration>;
    /// Ends a lease and deletes its keys.
    async fn lease_revoke(&self, lease: &LeaseId, options: CallOptions) -> Result<()>;
    /// What is left of a lease, and its keys.
    async fn lease_info(&self, lease: &LeaseId, options: CallOptions) -> Result<LeaseInfo>;
    /// Drops history before a revision; already compacted is Ok.
    async fn compact_opts(&self, before: Revision, options: CallOptions) -> Result<()>;
    /// Administers users and members.
    async fn admin_opts(&self, request: AdminRequest, options: CallOptions) -> Result<AdminReply>;
    /// Releases leases, locks and watches of this handle; later calls answer `Closed`. Other handles are not touched.
    async fn close(&self) -> Result<()>;
}

/// Which store a handle talks to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The backend's name.
    pub backend: &'static str,
    /// The handle's domain, normalised.
    pub domain: String,
    /// Facts of the backend, such as a file's path, store id and epoch.
    pub details: Vec<(&'static str, String)>,
}

impl Info {
    pub(crate) const fn new(backend: &'static str, domain: String, details: Vec<(&'static str, String)>) -> Self {
        Self { backend, domain, details }
    }
}

/// How any call is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// The deadline; `None` takes the handle's.
    pub timeout: Option<Duration>,
}

/// How a key is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetOptions {
    /// At this past revision (REVISION_READS).
    pub at: Option<Revision>,
    /// How fresh.
    pub consistency: Consistency,
    /// The deadline; `None` takes the handle's.
    pub timeout: Option<Duration>,
}

/// How keys are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListOptions {
    /// At this past revision (REVISION_READS).
    pub at: Option<Revision>,
    /// How fresh.
    pub consistency: Consistency,
    /// Names only: pages carry `names` instead of `pairs`.
    pub keys_only: bool,
    /// The number only: one page with `count`.
    pub count_only: bool,
    /// From the last key to the first.
    pub reverse: bool,
    /// At most this many.
    pub limit: Option<usize>,
    /// The deadline of each page; `None` takes the handle's.
    pub timeout: Option<Duration>,
}

/// How a key is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// What must hold in the same atomic step.
    pub when: Precondition,
    /// Delete the key after this long (TTL). Not together with `lease`.
    pub ttl: Option<Duration>,
    /// Attach the key to this lease.
    pub lease: Option<LeaseId>,
    /// Answer the pair before the write.
    pub previous: bool,
    /// Fail with `LockLost` once this lock is lost.
    pub fence: Option<Fence>,
    /// The deadline; `None` takes the handle's.
    pub timeout: Option<Duration>,
}

impl PutOptions {
    /// What logs and errors call a put with these options.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self.when.exists {
            _ if self.when.is_none() => Operation::Put,
            Some(false) if self.when.is_existence_only() => Operation::Create,
            Some(true) if self.when.is_existence_only() => Operation::Update,
            _ => Operation::CompareAndSet,
        }
    }
}

/// How keys are deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteOptions {
    /// What must hold in the same atomic step; for a single key only.
    pub when: Precondition,
    /// Fail with `LockLost` once this lock is lost.
    pub fence: Option<Fence>,
    /// The deadline; `None` takes the handle's.
    pub timeout: Option<Duration>,
}

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// How many keys.
    pub removed: u64,
    /// The revision of the (last) deletion.
    pub revision: Revision,
    /// The deleted pair, for a single key: old value and created index, modified index of the deletion.
    pub pair: Option<KvPair>,
}

/// How keys are watched.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WatchOptions {
    /// Where it begins.
    pub start: WatchStart,
    /// Every event carries the pair before it.
    pub previous: bool,
    /// What to do when history is gone; `None`: `Fail` with WATCH_RESUME, `Resync` without.
    pub on_gap: Option<OnGap>,
    /// Deliver [`crate::Event::Progress`] also where the store has ORDERED_UPDATES.
    pub progress: bool,
    /// The deadline of the registration; `None` takes the handle's.
    pub timeout: Option<Duration>,
}

/// How a snapshot is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotOptions {
    /// All of it at one revision; without it may be cheaper and not atomic.
    pub consistent: bool,
    /// The deadline of each page; `None` takes the handle's.
    pub timeout: Option<Duration>,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self { consistent: true, timeout: None }
    }
}

/// How a lock is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockOptions {
    /// Who asks: shown to others; a random id unless given.
    pub id: Option<String>,
    /// How long to wait; zero tries once; `None` takes the handle's (300 s).
    pub wait: Option<Duration>,
    /// How long after the holder's death the lock frees itself; `None` takes the handle's (16 s).
    pub ttl: Option<Duration>,
    /// How long it may be held before the fatal callback is called; `None` takes the handle's (no limit).
    pub hold: Option<Duration>,
    /// The deadline of each round trip; `None` takes the handle's.
    pub timeout: Option<Duration>,
    /// Beside whom it may be held.
    pub mode: LockMode,
    /// What is shown to others beside the id, see [`LockHolder::value`]; it lies where the lock does and goes with it.
    pub value: Bytes,
    /// Ends the wait.
    pub(crate) withdrawn: Withdrawn,
}
