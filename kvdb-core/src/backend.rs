//! What the author of a store writes.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;

use crate::{
    AdminReply, AdminRequest, Batch, Capabilities, Error, Feed, Fetched, Key, KeyRange, LeaseId, LeaseInfo, Limits,
    NativeReply, NativeTxn, Outcome, Page, Read, Result, Revision, Scan, WatchSpec,
};

/// What a store that lives in this process answers without waiting; `None` sends the caller to the method of the same
/// name that waits. A call either is done wholly or not begun.
pub trait AtOnce {
    /// [`Backend::get`].
    fn get(&self, key: &Key, read: &Read) -> Option<Result<Fetched>>;

    /// [`Backend::commit`].
    fn commit(&self, batch: &Batch) -> Option<Result<Outcome>>;
}

/// A revision that stays readable while this lives.
pub struct Pin {
    /// The revision.
    pub revision: Revision,
    /// Dropping it lets go.
    pub hold: Box<dyn Send + Sync>,
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin").field("revision", &self.revision).finish_non_exhaustive()
    }
}

/// A coordination store: nine required methods over opaque absolute keys, no policy.
///
/// Whoever implements it must keep these; everything else of the contract the engine derives:
///
/// * `commit` is atomic: all guards hold and all ops are written in one revision, or nothing is.
/// * Every changing commit has a revision greater than all before, kept over restarts where the store is durable.
/// * `get` and `list` show every write that was answered before they began, unless asked to be stale.
/// * A watch is registered when `watch` returns: no later write is missed.
/// * A future may be dropped at any await: then the write happens wholly or not at all.
/// * Errors carry an [`crate::ErrorKind`] and a [`crate::Retry`] class; a write that was sent and not answered is
///   `Ambiguous`. Operation, key and backend are added by the engine.
/// * Nothing panics.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What the store can do.
    fn capabilities(&self) -> Capabilities;

    /// What the store can take.
    fn limits(&self) -> Limits;

    /// Reads one key.
    async fn get(&self, key: &Key, read: &Read) -> Result<Fetched>;

    /// Lists a range in key order, in pages that all show one revision while the stream lives. The last page may be
    /// empty; there is at least one page.
    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>>;

    /// Checks the guards and writes the ops, all or nothing, in one revision.
    async fn commit(&self, batch: &Batch) -> Result<Outcome>;

    /// Registers a watch.
    ///
    /// # Errors
    /// `Compacted` when the history after `spec.after` is gone; `FutureRevision` when `after` is above the present.
    async fn watch(&self, spec: &WatchSpec) -> Result<Feed>;

    /// Grants a lease of at least `ttl`; answers the granted time to live.
    async fn grant(&self, ttl: Duration) -> Result<(LeaseId, Duration)>;

    /// Starts the lease's time to live anew; answers it.
    ///
    /// # Errors
    /// `LeaseNotFound`.
    async fn keep_alive(&self, lease: &LeaseId) -> Result<Duration>;

    /// Ends the lease and deletes its keys.
    ///
    /// # Errors
    /// `LeaseNotFound`.
    async fn revoke(&self, lease: &LeaseId) -> Result<()>;

    /// What is left of a lease and the keys attached to it (LEASE_INFO).
    async fn lease_info(&self, _lease: &LeaseId) -> Result<LeaseInfo> {
        Err(Error::unsupported(Capabilities::LEASE_INFO))
    }

    /// Drops history before `before` (COMPACT); what is live at `before` stays readable there. History that is gone
    /// already is no error.
    ///
    /// # Errors
    /// `FutureRevision` when `before` is above the present revision.
    async fn compact(&self, _before: Revision) -> Result<()> {
        Err(Error::unsupported(Capabilities::COMPACT))
    }

    /// Evaluates if/then/else in one step (NATIVE_TXN).
    ///
    /// # Errors
    /// `NotFound` when a put keeps the value or lease of an absent key; nothing is then written.
    async fn native_txn(&self, _txn: &NativeTxn) -> Result<NativeReply> {
        Err(Error::unsupported(Capabilities::NATIVE_TXN))
    }

    /// Reads several different keys in one step, aligned with `keys`: each answer is as of the same moment. `None` where
    /// the store cannot, or not so many; each is then read by [`Backend::get`].
    async fn get_together(&self, _keys: &[Key]) -> Result<Option<Vec<Fetched>>> {
        Ok(None)
    }

    /// Keeps the present revision readable until the pin is dropped, where that costs nothing; `None` elsewhere.
    fn pin(&self) -> Option<Pin> {
        None
    }

    /// Administers users and members (USERS, MEMBERS).
    async fn admin(&self, request: &AdminRequest) -> Result<AdminReply> {
        Err(Error::unsupported(request.needs()))
    }

    /// The store's way to answer without waiting, if it has one.
    fn at_once(&self) -> Option<&dyn AtOnce> {
        None
    }

    /// Facts for `info`, such as a file's store id.
    fn details(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Lets go of what the store holds: connections, files, threads. Later calls answer `Closed`.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
