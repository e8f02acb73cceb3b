use std::collections::VecDeque;
use std::sync::Arc;

use futures_core::stream::BoxStream;
use futures_util::stream;
use tokio::sync::watch;

use super::changes::Step;
use super::gate::Gate;
use super::index::Found;
use super::mvcc::Meta;
use super::store::Store;
use crate::{Change, Changes, Entry, Error, ErrorKind, Feed, KeyRange, Result, Revision, WatchSpec};

/// Changes that one look at the history takes at most, at the end of a revision.
const STEPS: usize = 256;

/// Bytes of values that one look at the history takes at most, at the end of a revision.
const BYTES: usize = 1 << 20;

/// Registers a watch. The feed is a cursor over the history and a wake-up: however slow its reader, it holds no more
/// than one look of changes, and it ends with `Compacted` when the history has gone on without it.
///
/// # Errors
/// `Compacted` and `FutureRevision` when `after` is out of the history; `Closed`; those of the store.
pub fn open_feed<S: Store>(store: &Arc<S>, gate: &Gate, spec: &WatchSpec) -> Result<Feed> {
    gate.check()?;
    // Subscribed before the index is read: what is published in between is at least woken for.
    let published = store.hub().subscribe();
    let closed = gate.subscribe();
    let revision = store.read(|index, _| {
        if let Some(after) = spec.after {
            index.mvcc.check_readable(after)?;
        }
        Ok::<_, Error>(index.mvcc.revision())
    })??;
    let mut cursor = spec.after.unwrap_or(revision);
    if cfg!(kvdb_mutant = "after_inclusive") && spec.after.is_some() {
        cursor = Revision::new(cursor.get().saturating_sub(1));
    }
    let late = cfg!(kvdb_mutant = "watch_registered_late") && spec.after.is_none();
    let follower = Follower {
        store: Arc::clone(store),
        published,
        closed,
        range: spec.range.clone(),
        previous: spec.previous,
        cursor: (!late).then_some(cursor),
        backlog: spec.after.is_some().then_some(revision),
        ready: VecDeque::new(),
    };
    Ok(Feed { revision, changes: stream_of(follower) })
}

fn stream_of<S: Store>(follower: Follower<S>) -> BoxStream<'static, Result<Changes>> {
    Box::pin(stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        match follower.next().await {
            Ok(changes) => Some((Ok(changes), Some(follower))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

struct Follower<S> {
    store: Arc<S>,
    published: watch::Receiver<()>,
    closed: watch::Receiver<bool>,
    range: KeyRange,
    previous: bool,
    /// All changes at or below were taken. None only for a seeded bug.
    cursor: Option<Revision>,
    /// A progress is owed once all history up to here is told.
    backlog: Option<Revision>,
    ready: VecDeque<Changes>,
}

impl<S: Store> Follower<S> {
    /// The next step. Dropping the future loses nothing: changes are moved to `ready` before any wait.
    async fn next(&mut self) -> Result<Changes> {
        loop {
            if *self.closed.borrow() {
                return Err(Gate::closed_error());
            }
            if let Some(changes) = self.ready.pop_front() {
                return Ok(changes);
            }
            self.published.mark_unchanged();
            let caught_up = self.look()?;
            if !self.ready.is_empty() {
                continue;
            }
            if caught_up {
                tokio::select! {
                    // An error says that the sender is gone: the look above has the reason.
                    _ = self.published.changed() => {}
                    _ = self.closed.wait_for(|closed| *closed) => {}
                }
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes what history has above the cursor; answers whether that was all of it.
    fn look(&mut self) -> Result<bool> {
        let (steps, told, present, view) = self.store.read(|index, view| {
            let mvcc = &index.mvcc;
            let cursor = self.cursor.unwrap_or(mvcc.revision());
            if cursor < mvcc.compacted() && !cfg!(kvdb_mutant = "after_inclusive") {
                return Err(Error::new(
                    ErrorKind::Compacted { oldest: mvcc.compacted() },
                    "the reader was too slow for the history that is kept, or it was compacted: watch again",
                ));
            }
            let (steps, told) = mvcc.changes_after(cursor, &self.range, STEPS, BYTES);
            Ok((steps, told, mvcc.revision(), S::keep(view)))
        })??;
        self.cursor = Some(told);
        let mut batch: Vec<Change> = Vec::new();
        let mut revision = told;
        for step in steps {
            if step.meta.modified != revision && !batch.is_empty() {
                self.ready.push_back(Changes::Batch { revision, changes: std::mem::take(&mut batch) });
            }
            revision = step.meta.modified;
            batch.push(self.change(&view, step)?);
        }
        if !batch.is_empty() {
            self.ready.push_back(Changes::Batch { revision, changes: batch });
        }
        if self.backlog.is_some_and(|backlog| told >= backlog) {
            self.backlog = None;
            self.ready.push_back(Changes::Progress(told));
        }
        Ok(told >= present)
    }

    fn change(&self, view: &S::View, step: Step<S::Value>) -> Result<Change> {
        let Step { key, meta, state, before } = step;
        let entry = |meta: Meta, value: S::Value| -> Result<Entry> {
            let bytes = self.store.load(view, &meta, value)?;
            // The lease may be long gone: history tells no TTL.
            Ok(Found { key: key.clone(), meta, value: (), ttl: None }.into_entry(bytes))
        };
        match state {
            Some(value) => {
                let previous = match before.filter(|_| self.previous) {
                    Some((meta, value)) => Some(entry(meta, value)?),
                    None => None,
                };
                Ok(Change::Put { entry: entry(meta, value)?, previous })
            }
            None => {
                let previous = match before {
                    Some((meta, value)) => Some(entry(meta, value)?),
                    None => None,
                };
                Ok(Change::Delete { key: key.clone(), revision: meta.modified, expired: meta.expired, previous })
            }
        }
    }
}
