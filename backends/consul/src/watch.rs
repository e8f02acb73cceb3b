//! Watches: one blocking query for each range, whose answers are told as atomic cuts (contract 7.6).

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use kvdb_core::toolkit::{Gate, Known};
use kvdb_core::{Change, Changes, Error, ErrorKind, Feed, Key, KeyRange, Result, Retry, Revision, WatchSpec};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backend::Shared;
use crate::read::{Cut, Hold};

/// Pauses after a failed query, doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Registers a watch: what is there now is read, and every later answer is compared with the one before.
///
/// # Errors
/// `Compacted` when something changed after `spec.after`, for Consul keeps no history; `FutureRevision`. A deletion is
/// not seen any more once Consul has forgotten its tombstone, 15 minutes later.
pub(crate) async fn open(shared: &Arc<Shared>, spec: &WatchSpec) -> Result<Feed> {
    let closed = shared.gate.subscribe();
    let cut = shared.cut(&spec.range, "consistent", None).await?;
    if cut.entries.is_empty() {
        shared.check_readable(&spec.range).await?;
    }
    let mut position = cut.revision;
    if let Some(after) = spec.after {
        let changed = Revision::new(cut.index);
        if changed > after {
            return Err(Error::new(
                ErrorKind::Compacted { oldest: changed },
                "Consul keeps no history, and the range has changed since; watch from the present state",
            ));
        }
        if after > position {
            check_past(shared, &spec.range, after).await?;
        }
        position = after;
    }
    let mut known = Known::new(spec.previous);
    cut.entries.iter().for_each(|entry| known.put(entry));
    let follower = Follower {
        shared: Arc::clone(shared),
        range: spec.range.clone(),
        index: cut.index.max(1),
        last: cut.index.max(1),
        position,
        empty: cut.entries.is_empty(),
        known,
        closed,
        caught_up: spec.after.map(|_| position),
        pause: FIRST_PAUSE,
    };
    let changes = stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        match follower.next().await {
            Ok(changes) => Some((Ok(changes), Some(follower))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(Feed { revision: position, changes: Box::pin(changes) })
}

/// Refuses a revision that the store has not reached. A range tells the index of its own last change only; that of all
/// keys comes with the answer for an absent one.
async fn check_past(shared: &Shared, range: &KeyRange, after: Revision) -> Result<()> {
    let prefix = crate::url::common_prefix(range);
    let absent = format!("{}_kvdb/none/{:016x}", crate::url::plain_part(&prefix), rand::random::<u64>());
    let (_, present) = shared.item(&Key::from(absent), "consistent").await?;
    if after > present {
        return Err(Error::new(
            ErrorKind::FutureRevision { current: present },
            format!("revision {after} is above the present one, {present}"),
        ));
    }
    Ok(())
}

struct Follower {
    shared: Arc<Shared>,
    range: KeyRange,
    /// What the next query waits to see passed; 0 asks for the present state at once.
    index: u64,
    /// The index of the last answer.
    last: u64,
    /// Everything at or below was told.
    position: Revision,
    known: Known,
    empty: bool,
    closed: watch::Receiver<bool>,
    /// A progress that is owed first.
    caught_up: Option<Revision>,
    pause: Duration,
}

impl Follower {
    async fn next(&mut self) -> Result<Changes> {
        if let Some(revision) = self.caught_up.take() {
            return Ok(Changes::Progress(revision));
        }
        loop {
            let mut closed = self.closed.clone();
            let asked = Instant::now();
            let answer = tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => return Err(Gate::closed_error()),
                answer = self.ask() => answer,
            };
            match answer {
                Ok(cut) => {
                    self.pause = FIRST_PAUSE;
                    // A restore of the store ends a query with what was there before it (seen with Consul 1.8.7); the
                    // next one would wait for an index that is far off.
                    let woken = self.index > 0 && cut.index == self.index && asked.elapsed() < self.shared.wait;
                    let changes = self.tell(cut);
                    if woken {
                        self.index = 0;
                    }
                    if let Some(changes) = changes {
                        return Ok(changes);
                    }
                }
                // What is known is kept, so that nothing is missed once the store is back.
                Err(error) if error.retry() == Retry::Safe => self.rest().await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn ask(&self) -> Result<Cut> {
        let hold = (self.index > 0).then_some(Hold { index: self.index, wait: self.shared.wait });
        let cut = self.shared.cut(&self.range, "consistent", hold.as_ref()).await?;
        if cut.entries.is_empty() && !self.empty {
            self.shared.check_readable(&self.range).await?;
        }
        Ok(cut)
    }

    async fn rest(&mut self) {
        let pause = self.pause.mul_f64(rand::random_range(0.5..1.0));
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        tokio::select! {
            _ = self.closed.wait_for(|closed| *closed) => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    fn tell(&mut self, cut: Cut) -> Option<Changes> {
        // The index goes back when a tombstone is forgotten or an operator restores the store: what is there counts.
        if cut.index < self.last {
            (self.index, self.last) = (0, 0);
            self.shared.highest.forget();
            return None;
        }
        self.index = cut.index.max(1);
        self.last = self.index;
        self.empty = cut.entries.is_empty();
        let revision = cut.revision;
        let changes = self.known.differences(&cut.entries, revision);
        if changes.is_empty() {
            return None;
        }
        let newer = |change: &Change| match change {
            Change::Put { entry, .. } => entry.modified > self.position,
            Change::Delete { .. } => true,
        };
        let ordered = revision > self.position && changes.iter().all(newer);
        self.position = revision;
        Some(match ordered {
            true => Changes::Batch { revision, changes },
            false => Changes::Resync { revision, present: cut.entries },
        })
    }
}
