//! Updates that are collected while something else is being done, to be replayed afterwards (contract 9.6).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use crate::{Error, ErrorKind, Event, KvPair, Kvdb, Result, Revision, Target, Watch, WatchOptions, WatchStart};

/// The most updates and the most bytes of keys and values that a collector keeps.
const MOST_UPDATES: usize = 100_000;
const MOST_BYTES: usize = 64 << 20;

/// Collects the updates below a prefix from its start on, in memory, until it is stopped or dropped.
///
/// The usual use: start one, take a snapshot, hand both on, and replay what has happened since. It keeps at most
/// 100,000 updates and 64 MiB; an overflow ends it with an error that `replay` returns.
pub struct UpdatesCollector {
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

#[derive(Debug)]
struct State {
    reached: Revision,
    updates: Vec<KvPair>,
    bytes: usize,
    error: Option<Error>,
}

/// Gets one update of a replay.
pub type ReplayCallback<'a> = Box<dyn FnMut(&KvPair) -> Result<()> + Send + 'a>;

/// Who gets what of a replay.
pub struct Replay<'a> {
    /// The directory whose updates it gets; `""` is all that were collected.
    pub prefix: String,
    /// Only updates above this revision.
    pub after: Revision,
    /// Gets each update; an error ends the replay.
    pub callback: ReplayCallback<'a>,
}

impl fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("prefix", &self.prefix).field("after", &self.after).finish_non_exhaustive()
    }
}

impl fmt::Debug for UpdatesCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("UpdatesCollector")
            .field("reached", &state.reached)
            .field("updates", &state.updates.len())
            .field("error", &state.error)
            .finish_non_exhaustive()
    }
}

impl UpdatesCollector {
    /// Starts collecting below `prefix`: after a revision, or from now on with `None`. No update after the return is
    /// missed.
    ///
    /// # Errors
    /// Those of the watch: `Compacted`, `FutureRevision`, ..
    pub async fn new<K: Kvdb + ?Sized>(kv: &K, prefix: &str, after: Option<Revision>) -> Result<Self> {
        let start = after.map_or(WatchStart::Now, WatchStart::After);
        let options = WatchOptions { start, ..WatchOptions::default() };
        let watch = kv.watch_opts(Target::Tree(prefix), options).await?;
        let reached = after.unwrap_or_else(|| watch.revision());
        let state = Arc::new(Mutex::new(State { reached, updates: Vec::new(), bytes: 0, error: None }));
        let task = tokio::spawn(collect(watch, Arc::clone(&state))).abort_handle();
        Ok(Self { state, task })
    }

    /// Stops collecting; what was collected can still be replayed.
    pub fn stop(&self) {
        self.task.abort();
    }

    /// Gives every callback the collected updates of its prefix above its revision, in order, and answers the revision
    /// of the last collected one, or that of the start. It may be called again, also while collecting.
    ///
    /// # Errors
    /// What ended the watch, or `TooLarge` for an overflow: updates are then missing and no callback is called. A
    /// callback's own.
    pub fn replay(&self, replays: &mut [Replay<'_>]) -> Result<Revision> {
        let (updates, reached) = {
            let state = lock(&self.state);
            if let Some(error) = &state.error {
                return Err(error.duplicate());
            }
            (state.updates.clone(), state.reached)
        };
        for pair in &updates {
            for replay in replays.iter_mut() {
                if pair.modified_index > replay.after && is_below(&pair.key, &replay.prefix) {
                    (replay.callback)(pair)?;
                }
            }
        }
        Ok(reached)
    }
}

impl Drop for UpdatesCollector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_below(key: &str, prefix: &str) -> bool {
    let len = crate::engine::directory_len(prefix);
    let mut segments = prefix.split('/').filter(|segment| !segment.is_empty());
    key.len() > len && key.split('/').zip(&mut segments).all(|(have, want)| have == want) && segments.next().is_none()
}

async fn collect(mut watch: Watch, state: Arc<Mutex<State>>) {
    while let Some(event) = watch.next().await {
        let mut state = lock(&state);
        match event {
            Ok(Event::Put(pair) | Event::Delete(pair) | Event::Expire(pair)) => {
                state.bytes += pair.key.len() + pair.value.len();
                if state.updates.len() == MOST_UPDATES || state.bytes > MOST_BYTES {
                    let message =
                        format!("more than {MOST_UPDATES} updates or {MOST_BYTES} bytes; collect for a shorter time");
                    state.error = Some(Error::new(ErrorKind::TooLarge { limit: MOST_UPDATES }, message));
                    state.updates = Vec::new();
                    return;
                }
                state.reached = state.reached.max(pair.modified_index);
                state.updates.push(pair);
            }
            // The present state in place of its history: what was deleted is not among it.
            Ok(Event::Resynced { revision, complete: true }) => {
                let message = "the store does not keep the updates since the start; begin from now on";
                state.error = Some(Error::new(ErrorKind::Compacted { oldest: revision }, message));
                state.updates = Vec::new();
                return;
            }
            Ok(Event::Progress(revision) | Event::Synced(revision) | Event::Resynced { revision, .. }) => {
                state.reached = state.reached.max(revision);
            }
            Err(error) => {
                state.error = Some(error);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn a_prefix_is_a_directory() {
        assert!(is_below("a/b", "a") && is_below("a/b/c", "/a//b/") && is_below("x", ""));
        assert!(!is_below("a", "a") && !is_below("ab/c", "a") && !is_below("a/b", "a/b/c"));
    }
}
