//! The Go library's updates collector.

use std::fmt;

use crate::recipes::{self, Replay};
use crate::{KvPair, Kvdb, Result, Revision};

/// Gets the updates of a replay: the prefix that is collected, the entry's opaque value, the pair. An error ends the
/// replay. The pair is never an error here: what ended the collecting is answered by the replay itself.
pub type WatchCB<'a, O> = Box<dyn FnMut(&str, &O, Result<KvPair>) -> Result<()> + Send + 'a>;

/// Who gets what of a replay.
pub struct ReplayCb<'a, O = ()> {
    /// The directory whose updates it gets; `""` is all that were collected.
    pub prefix: String,
    /// Only updates above this index; 0 is all.
    pub wait_index: Revision,
    /// Handed to the callback as it is.
    pub opaque: O,
    /// Gets each update.
    pub watch_cb: WatchCB<'a, O>,
}

impl<O: fmt::Debug> fmt::Debug for ReplayCb<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayCb")
            .field("prefix", &self.prefix)
            .field("wait_index", &self.wait_index)
            .field("opaque", &self.opaque)
            .finish_non_exhaustive()
    }
}

/// Collects the updates below a prefix until it is stopped or dropped: [`recipes::UpdatesCollector`] with the Go
/// library's replay.
#[derive(Debug)]
pub struct UpdatesCollector {
    collector: recipes::UpdatesCollector,
    prefix: String,
}

/// Starts collecting the updates below a prefix above `start_index`; 0 begins now. No update after the return is
/// missed.
///
/// # Errors
/// Those of a watch, such as `Compacted` or `FutureRevision`.
pub async fn new_updates_collector<K: Kvdb + ?Sized>(
    kv: &K,
    prefix: &str,
    start_index: impl Into<Revision> + Send,
) -> Result<UpdatesCollector> {
    let after = Some(start_index.into()).filter(|index| *index > Revision::ZERO);
    let collector = recipes::UpdatesCollector::new(kv, prefix, after).await?;
    Ok(UpdatesCollector { collector, prefix: prefix.to_owned() })
}

impl UpdatesCollector {
    /// Stops collecting; what was collected can still be replayed.
    pub fn stop(&self) {
        self.collector.stop();
    }

    /// Gives every callback the collected updates of its prefix above its index, in order, and answers the index of the
    /// last collected one, or that of the start. It may be called again, also while collecting.
    ///
    /// # Errors
    /// What ended the watch, or `TooLarge` for an overflow: updates are then missing and no callback is called. A
    /// callback's own.
    pub fn replay_updates<O: Send + Sync>(&self, update_cb: &mut [ReplayCb<'_, O>]) -> Result<Revision> {
        let watched = self.prefix.as_str();
        let mut replays: Vec<Replay<'_>> = update_cb
            .iter_mut()
            .map(|entry| {
                let (opaque, watch_cb) = (&entry.opaque, &mut entry.watch_cb);
                Replay {
                    prefix: entry.prefix.clone(),
                    after: entry.wait_index,
                    callback: Box::new(move |pair| watch_cb(watched, opaque, Ok(pair.clone()))),
                }
            })
            .collect();
        self.collector.replay(&mut replays)
    }
}
