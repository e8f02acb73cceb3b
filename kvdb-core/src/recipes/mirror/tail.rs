//! The source's changes, in portions that are whole: no transaction of the source is cut.

use futures_util::FutureExt as _;

use super::batch::{Batch, Room};
use crate::{Error, ErrorKind, Event, Result, Revision, Watch};

/// Everything up to a revision that was not told before.
#[derive(Debug, Default)]
pub(super) struct Portion {
    pub(super) batch: Batch,
    /// Zero as long as there is nothing.
    pub(super) reached: Revision,
    /// The changes that were read for it.
    pub(super) read: u64,
}

impl Portion {
    fn is_begun(&self) -> bool {
        self.reached > Revision::ZERO || self.read > 0
    }
}

/// A watch, read portion by portion.
pub(super) struct Tail {
    watch: Watch,
    /// Whether each revision is told by itself; else a cut ends with its progress (contract 7.6).
    ordered: bool,
    room: Room,
    /// The first change behind the revision that is being read.
    ahead: Option<Event>,
    /// The revision or cut that is being read.
    part: Portion,
    /// Those before it that are whole.
    whole: Portion,
}

impl Tail {
    pub(super) fn new(watch: Watch, ordered: bool, room: &Room) -> Self {
        let (part, whole) = (Portion::default(), Portion::default());
        Self { watch, ordered, room: room.clone(), ahead: None, part, whole }
    }

    /// The next portion: waits for the first change, and takes what lies ready behind it as long as one commit has room.
    ///
    /// # Errors
    /// That of the watch.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Portion> {
        loop {
            let Some(event) = self.event().await? else {
                // The events of a revision are handed over without a wait between them: it is whole. A cut may not be.
                let full = if self.ordered { self.close() } else { None };
                return Ok(full.unwrap_or_else(|| std::mem::take(&mut self.whole)));
            };
            let (pair, value) = match &event {
                Event::Put(pair) => (pair, Some(pair.value.clone())),
                Event::Delete(pair) | Event::Expire(pair) => (pair, None),
                Event::Progress(revision) | Event::Synced(revision) | Event::Resynced { revision, .. } => {
                    self.part.reached = self.part.reached.max(*revision);
                    match self.close() {
                        Some(full) => return Ok(full),
                        None => continue,
                    }
                }
            };
            if self.ordered && self.part.is_begun() && pair.modified_index > self.part.reached {
                self.ahead = Some(event);
                match self.close() {
                    Some(full) => return Ok(full),
                    None => continue,
                }
            }
            if self.ordered {
                self.part.reached = pair.modified_index;
            }
            self.part.read += 1;
            self.part.batch.set(pair.key.clone(), value, &self.room);
        }
    }

    /// The next event; `None` when none lies ready and something whole is there.
    async fn event(&mut self) -> Result<Option<Event>> {
        if let Some(event) = self.ahead.take() {
            return Ok(Some(event));
        }
        let whole = self.whole.is_begun() || (self.ordered && self.part.is_begun());
        let event = if whole { self.watch.next().now_or_never() } else { Some(self.watch.next().await) };
        match event {
            None => Ok(None),
            Some(Some(event)) => event.map(Some),
            Some(None) => Err(Error::new(ErrorKind::Unavailable, "the watch ended without a reason")),
        }
    }

    /// Puts what is being read, which is whole, behind the rest; answers the rest if there is no room for both.
    fn close(&mut self) -> Option<Portion> {
        let part = std::mem::take(&mut self.part);
        match self.whole.batch.merge(part.batch, &self.room) {
            Ok(()) => {
                self.whole.reached = self.whole.reached.max(part.reached);
                self.whole.read += part.read;
                None
            }
            Err(batch) => Some(std::mem::replace(&mut self.whole, Portion { batch, ..part })),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;
    use crate::{KvPair, Limits};

    fn pair(key: &str, revision: u64) -> KvPair {
        KvPair { modified_index: Revision::new(revision), ..KvPair::new(key, "v") }
    }

    fn room(ops: usize) -> Room {
        let limits = Limits {
            key_bytes: 100,
            value_bytes: 1000,
            batch_ops: ops + 3,
            batch_bytes: 10_000,
            leases_per_batch: 1,
            ttl_min: std::time::Duration::ZERO,
            ttl_max: None,
            ttl_granularity: std::time::Duration::ZERO,
            ttl_slack: std::time::Duration::ZERO,
        };
        let key = crate::Key::from("k");
        Room::new(&limits, "", [&key, &key], &key, "")
    }

    /// The keys of each portion and the revision it reaches, until nothing comes any more.
    async fn portions(events: Vec<Event>, ordered: bool, ops: usize) -> Vec<(usize, u64)> {
        let events = stream::iter(events.into_iter().map(Ok)).chain(stream::pending());
        let mut tail = Tail::new(Watch::new(Box::pin(events), Revision::ZERO), ordered, &room(ops));
        let mut told = Vec::new();
        while let Some(portion) = tail.next().now_or_never() {
            let portion = portion.unwrap();
            told.push((portion.batch.ops().len(), portion.reached.get()));
        }
        told
    }

    #[tokio::test]
    async fn a_revision_is_never_cut_and_as_many_as_fit_come_together() {
        let put = |key, revision| Event::Put(pair(key, revision));
        let events = vec![put("a", 2), put("b", 2), put("c", 3), Event::Delete(pair("a", 4)), put("d", 4), put("e", 5)];
        assert_eq!(portions(events.clone(), true, 100).await, [(5, 5)]);
        assert_eq!(portions(events.clone(), true, 3).await, [(3, 3), (3, 5)]);
        // One that is larger than any commit is told alone, to be cut by who writes it.
        assert_eq!(portions(events, true, 1).await, [(2, 2), (1, 3), (2, 4), (1, 5)]);
    }

    #[tokio::test]
    async fn a_cut_is_whole_with_its_progress() {
        let put = |key, revision| Event::Put(pair(key, revision));
        let progress = |revision| Event::Progress(Revision::new(revision));
        let events = vec![put("a", 2), put("b", 7), progress(9), put("c", 10), put("d", 11)];
        assert_eq!(portions(events, false, 100).await, [(2, 9)]);
        assert_eq!(portions(vec![progress(3), progress(4)], true, 100).await, [(0, 4)]);
    }
}
