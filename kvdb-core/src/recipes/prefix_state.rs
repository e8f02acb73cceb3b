//! What lies below a directory, decoded and up to date (contract 13.8).
//!
//! Key layout: none of its own; any keys below the directory. Timing: one watch that begins with the present state and
//! begins with it again after every break. A task follows it at its own pace and keeps the records by their raw keys;
//! the reader is given the newest state that it was not given yet. A state shows whole transactions.
//!
//! Memory: one decoded value, or one text of an error, for each key; a state that is read is a copy of the decoded ones.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::{Error, Handle, KvPair, Result, Revision, Target};

mod records;
mod task;

use records::Records;

/// What lay below a directory at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrefixState<K, V> {
    /// Every record that decodes. Of two keys that decode to one `K` the one that was written last is here.
    pub tree: BTreeMap<K, V>,
    /// Every key whose record does not decode, and why; sorted by key.
    pub invalid: Vec<(String, String)>,
    /// Every change at or below this revision is in it.
    pub revision: Revision,
    /// Since the last state that was read the watch began anew, so that states in between may be missing.
    pub resynced: bool,
}

/// A running watch of a directory; see [`watch_prefix`].
#[must_use = "the watch ends when it is dropped"]
pub struct PrefixWatch<K, V> {
    states: BoxStream<'static, Result<PrefixState<K, V>>>,
    task: AbortHandle,
}

/// What the task and the reader share. The lock is held for moments only: to apply what was told, to copy it.
struct Common<K, V> {
    stage: Mutex<Stage<K, V>>,
    /// Counts what is new to read.
    news: watch::Sender<u64>,
}

struct Stage<K, V> {
    records: Records<K, V>,
    resynced: bool,
    /// What ended the watch.
    ended: Option<Error>,
}

/// Follows what lies below `prefix`, a directory as everywhere. `decode` makes a record of each pair.
///
/// The first state always comes, even of an empty directory. A record that does not decode is not in the tree, also if
/// an earlier one of its key did, and is listed as invalid. However slow the reader, the watch goes on and memory is
/// bounded by what lies below the directory: the next state read is the newest.
///
/// The watch ends with one typed error for what waiting does not cure (`PermissionDenied`, `Closed`, ..), by
/// [`PrefixWatch::close`] or by drop.
///
/// # Errors
/// `InvalidArgument` or `TooLarge` for a prefix that is none, `Closed`.
pub fn watch_prefix<K, V, E, F>(kv: &Handle, prefix: &str, decode: F) -> Result<PrefixWatch<K, V>>
where
    K: Ord + Clone + Send + 'static,
    V: Clone + Send + 'static,
    E: fmt::Display + 'static,
    F: Fn(&KvPair) -> Result<(K, V), E> + Send + 'static,
{
    kv.engine().check_target(Target::Tree(prefix))?;
    let common = Arc::new(Common {
        stage: Mutex::new(Stage { records: Records::default(), resynced: false, ended: None }),
        news: watch::Sender::new(0),
    });
    let news = common.news.subscribe();
    let follow = task::run(kv.clone(), prefix.to_owned(), decode, Arc::clone(&common));
    let task = kv.engine().runtime().spawn(follow).abort_handle();
    Ok(PrefixWatch { states: states(common, news).fuse().boxed(), task })
}

impl<K: Send + 'static, V: Send + 'static> PrefixWatch<K, V> {
    /// The newest state that was not read yet, once there is one; `None` after a close or the error that ended it.
    ///
    /// # Cancel safety
    /// Dropping the future loses no state.
    pub async fn next(&mut self) -> Option<Result<PrefixState<K, V>>> {
        self.states.next().await
    }

    /// Ends the watch: nothing comes any more.
    pub fn close(&mut self) {
        self.task.abort();
        self.states = stream::empty().boxed();
    }
}

impl<K, V> Stream for PrefixWatch<K, V> {
    type Item = Result<PrefixState<K, V>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.states.poll_next_unpin(context)
    }
}

impl<K, V> Drop for PrefixWatch<K, V> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K, V> fmt::Debug for PrefixWatch<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixWatch").field("finished", &self.task.is_finished()).finish_non_exhaustive()
    }
}

impl<K, V> Common<K, V> {
    fn stage(&self) -> MutexGuard<'_, Stage<K, V>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The states as the reader takes them.
fn states<K, V>(
    common: Arc<Common<K, V>>,
    news: watch::Receiver<u64>,
) -> impl Stream<Item = Result<PrefixState<K, V>>> + Send
where
    K: Ord + Clone + Send + 'static,
    V: Clone + Send + 'static,
{
    stream::unfold(Some((common, news)), |reader| async {
        let (common, mut news) = reader?;
        // The sender lives in `common`: without news the task is running still.
        news.changed().await.ok()?;
        let read = {
            let mut stage = common.stage();
            match stage.ended.take() {
                Some(error) => Err(error),
                None => {
                    let resynced = std::mem::take(&mut stage.resynced);
                    Ok(stage.records.state(resynced))
                }
            }
        };
        let rest = read.is_ok().then_some((common, news));
        Some((read, rest))
    })
}
