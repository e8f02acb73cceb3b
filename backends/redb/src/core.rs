use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use kvdb_core::toolkit::{Clock, Gate, Hub, Index, Meta, Store};
use kvdb_core::{Batch, Error, ErrorKind, Limits, NativeReply, NativeTxn, Outcome, Result};
use redb::ReadOnlyTable;

use crate::config::RedbConfig;
use crate::error::Failure;
use crate::format::{Stored, value_of};
use crate::request::{Lost, Queue, Reply, Request};
use crate::row_cache::RowCache;

/// The log as of one commit. Values are read from it without any lock and without a hop to another thread: 0.5 to
/// 1 us inline against 11 to 22 us through a blocking pool.
pub(crate) type LogView = Arc<ReadOnlyTable<(u64, u32), &'static [u8]>>;

/// What readers share with the writer thread.
///
/// `published` is the only lock: the writer alone writes to it, for moments, after what it publishes is on disk.
/// No reader touches the file while holding it.
pub(crate) struct Core {
    published: RwLock<Published>,
    rows: RowCache,
    hub: Hub,
    clock: Arc<dyn Clock>,
    queue: Queue,
    limits: Limits,
    list_life: Duration,
    facts: Facts,
}

/// The index and the view of the log that belongs to it.
pub(crate) struct Published {
    pub(crate) index: Index<Stored>,
    pub(crate) phase: Phase,
}

/// How the store stands.
pub(crate) enum Phase {
    Open(LogView),
    Failed(Failure),
    Closed,
}

/// What `info` tells.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) path: Option<String>,
    pub(crate) store: u128,
    pub(crate) epoch: u128,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let published = self.shared();
        f.debug_struct("Core")
            .field("facts", &self.facts)
            .field("revision", &published.index.mvcc.revision())
            .field("known_keys", &published.index.mvcc.known_keys())
            .finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(
        config: &RedbConfig,
        clock: Arc<dyn Clock>,
        queue: Queue,
        facts: Facts,
        (index, view): (Index<Stored>, LogView),
    ) -> Self {
        Self {
            published: RwLock::new(Published { index, phase: Phase::Open(view) }),
            rows: RowCache::new(config.cached_rows),
            hub: Hub::default(),
            clock,
            queue,
            limits: config.limits(),
            list_life: config.list_life,
            facts,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        self.queue.commit(batch).await.unwrap_or_else(|lost| Err(self.lost(lost)))
    }

    pub(crate) async fn txn(&self, txn: &NativeTxn) -> Result<NativeReply> {
        self.queue.txn(txn).await.unwrap_or_else(|lost| Err(self.lost(lost)))
    }

    pub(crate) async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T> {
        self.queue.ask(request).await.unwrap_or_else(|lost| Err(self.lost(lost)))
    }

    fn lost(&self, lost: Lost) -> Error {
        match (&self.shared().phase, lost) {
            (Phase::Failed(failure), Lost::Unsent) => failure.error(),
            (Phase::Failed(failure), Lost::InFlight) => failure.ambiguous(),
            (Phase::Closed, _) => Gate::closed_error(),
            (Phase::Open(_), _) => Error::new(ErrorKind::Internal, "the writer thread is gone: open the file again"),
        }
    }

    pub(crate) fn shared(&self) -> RwLockReadGuard<'_, Published> {
        self.published.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn exclusive(&self) -> RwLockWriteGuard<'_, Published> {
        self.published.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the store: every later call and every feed learns why. The first reason stands.
    pub(crate) fn end(&self, phase: Phase) {
        let mut published = self.exclusive();
        let old = match published.phase {
            Phase::Open(_) => {
                let index = std::mem::take(&mut published.index);
                Some((std::mem::replace(&mut published.phase, phase), index))
            }
            Phase::Failed(_) | Phase::Closed => None,
        };
        drop(published);
        // A great index takes its time to be freed: not under the lock.
        drop(old);
        self.queue.shut();
        self.hub.publish();
    }
}

impl Store for Core {
    type Value = Stored;
    type View = LogView;

    fn read<R>(&self, look: impl FnOnce(&Index<Stored>, &LogView) -> R) -> Result<R> {
        let published = self.shared();
        match &published.phase {
            Phase::Open(view) => Ok(look(&published.index, view)),
            Phase::Failed(failure) => Err(failure.error()),
            Phase::Closed => Err(Gate::closed_error()),
        }
    }

    fn keep(view: &LogView) -> LogView {
        Arc::clone(view)
    }

    fn load(&self, view: &LogView, meta: &Meta, _: Stored) -> Result<Bytes> {
        let at = (meta.modified.get(), meta.sub);
        if let Some(value) = self.rows.get(at) {
            return Ok(value);
        }
        let value = read_value(view, meta).map_err(|failure| failure.error())?;
        self.rows.keep(at, &value);
        Ok(value)
    }

    fn hub(&self) -> &Hub {
        &self.hub
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn list_life(&self) -> Duration {
        self.list_life
    }
}

/// Reads the value of a version from the log.
pub(crate) fn read_value(view: &LogView, meta: &Meta) -> Result<Bytes, Failure> {
    let at = (meta.modified.get(), meta.sub);
    match view.get(at).map_err(Failure::of)? {
        Some(row) => value_of(at, row.value()),
        None => {
            Err(Failure::corrupt(format!("row {}.{} of the log is missing: restore the file from a copy", at.0, at.1)))
        }
    }
}
