//! One upstream watch for all readers of a range in a handle.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

use super::Shared;
use super::deadline::{Deadline, is_transient};
use crate::{
    Capabilities, Change, Changes, Entry, Error, ErrorKind, Feed, Key, KeyRange, Read, Result, Revision, Scan,
    WatchSpec,
};

/// How many steps the slowest reader may lie behind before it has to catch up by itself (contract 7.11). The steps are
/// shared by all readers.
const BACKLOG: usize = 1024;

/// The same where steps are cuts, each of which may be as large as the range: a reader that lies behind makes a cut of
/// its own, and misses nothing by it (contract 7.6).
const BACKLOG_OF_CUTS: usize = 32;

/// A step of more bytes of keys and values is not kept in the backlog where readers can fetch it from history: the
/// backlog stays below 64 MiB.
const LARGE: usize = 64 << 10;

/// What an upstream tells its readers.
#[derive(Debug)]
pub(super) enum Step {
    /// A step of the backend's feed: everything that happened after `from`.
    Changes { from: Revision, changes: Changes },
    /// A step that is too large for the backlog: each reader fetches it from history.
    Large(Revision),
    /// The watch cannot go on.
    End(Error),
}

/// A running upstream watch; it ends with its last reader.
pub(super) struct Upstream {
    stage: Arc<Stage>,
    task: AbortHandle,
}

/// Where the upstream stands and who listens; both change together.
struct Stage {
    position: Mutex<Position>,
    steps: broadcast::Sender<Arc<Step>>,
}

#[derive(Clone, Copy)]
struct Position {
    revision: Revision,
    ended: bool,
}

/// A reader's place at an upstream: every step after `position` comes.
pub(super) struct Subscription {
    pub(super) steps: broadcast::Receiver<Arc<Step>>,
    /// Every change at or below this was told before.
    pub(super) position: Revision,
    _upstream: Arc<Upstream>,
}

/// The upstreams of a handle by range and by whether changes carry the entry before. A slot is locked while its watch
/// is being registered, so that two readers share one.
#[derive(Default)]
pub(super) struct Upstreams(Mutex<HashMap<(KeyRange, bool), Slot>>);

type Slot = Arc<tokio::sync::Mutex<Weak<Upstream>>>;

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stage {
    fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, step: Step) {
        let mut position = self.position();
        match &step {
            // Nothing new: a store that nobody writes to says so again and again.
            Step::Changes { changes: Changes::Progress(revision), .. } if *revision <= position.revision => return,
            Step::Changes { changes, .. } => position.revision = position.revision.max(reached(changes)),
            Step::Large(revision) => position.revision = position.revision.max(*revision),
            Step::End(_) => position.ended = true,
        }
        // Without readers the upstream is about to end.
        let _ = self.steps.send(Arc::new(step));
    }
}

/// What was told once this step was.
const fn reached(changes: &Changes) -> Revision {
    match changes {
        Changes::Batch { revision, .. } | Changes::Progress(revision) | Changes::Resync { revision, .. } => *revision,
    }
}

impl Upstream {
    fn subscribe(self: &Arc<Self>) -> Option<Subscription> {
        let position = self.stage.position();
        let subscription = Subscription {
            steps: self.stage.steps.subscribe(),
            position: position.revision,
            _upstream: Arc::clone(self),
        };
        (!position.ended).then_some(subscription)
    }
}

impl Upstreams {
    fn slot(&self, key: (KeyRange, bool)) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Forgetting ended upstreams when the map would grow keeps it no larger than twice the living.
        if slots.len() == slots.capacity() {
            slots.retain(|_, slot| {
                Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|upstream| upstream.strong_count() > 0)
            });
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

impl Shared {
    /// A place at the shared upstream of a range, which is registered now if there is none. The flag tells whether it
    /// was: then no write after the call began was told before `position`.
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        range: &KeyRange,
        previous: bool,
        deadline: &mut Deadline,
    ) -> Result<(Subscription, bool)> {
        let slot = self.upstreams.slot((range.clone(), previous));
        // Whoever registers has a deadline of its own; waiting for it must not add up.
        let mut place = deadline.one(async { Ok(slot.lock().await) }).await?;
        self.ensure_open()?;
        if let Some(subscription) = place.upgrade().and_then(|upstream| upstream.subscribe()) {
            return Ok((subscription, false));
        }
        let spec = WatchSpec::new(range.clone(), None, previous);
        #[cfg(kvdb_mutant = "watch_registered_late")]
        let feed = Feed { revision: Revision::ZERO, changes: late(Arc::clone(self), spec.clone()) };
        #[cfg(not(kvdb_mutant = "watch_registered_late"))]
        let feed = deadline.read(|| self.open_feed(&spec)).await?;
        #[cfg(kvdb_mutant = "watch_registered_late")]
        let _ = deadline;
        let stage = Arc::new(Stage {
            position: Mutex::new(Position { revision: feed.revision, ended: false }),
            steps: broadcast::Sender::new(match self.require(Capabilities::ORDERED_UPDATES) {
                Ok(()) => BACKLOG,
                Err(_) => BACKLOG_OF_CUTS,
            }),
        });
        let steps = stage.steps.subscribe();
        let position = feed.revision;
        let task = self.runtime.spawn(run(Arc::downgrade(self), Arc::clone(&stage), spec, feed)).abort_handle();
        let upstream = Arc::new(Upstream { stage, task });
        *place = Arc::downgrade(&upstream);
        Ok((Subscription { steps, position, _upstream: upstream }, true))
    }

    /// Registers a watch. A member that lags behind what the store has answered elsewhere cannot begin there yet: that
    /// is no question for the future, and the next try may succeed.
    pub(super) async fn open_feed(&self, spec: &WatchSpec) -> Result<Feed> {
        let opened = self.backend.watch(spec).await;
        if let (Err(error), Some(after)) = (&opened, spec.after)
            && matches!(error.kind(), ErrorKind::FutureRevision { .. })
            && self.backend.get(&probe(&spec.range), &Read::default()).await?.revision >= after
        {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the member that was asked to watch lags behind the others",
            ));
        }
        opened
    }

    /// The whole range now.
    pub(super) async fn present(self: &Arc<Self>, range: &KeyRange, page: Deadline) -> Result<(Vec<Entry>, Revision)> {
        let mut pages = self.raw_pages(range, &Scan::default(), page);
        let (mut present, mut revision) = (Vec::new(), Revision::ZERO);
        while let Some(page) = pages.next().await.transpose()? {
            present.extend(page.entries);
            revision = page.revision;
        }
        Ok((present, revision))
    }
}

#[cfg(kvdb_mutant = "watch_registered_late")]
fn late(shared: Arc<Shared>, spec: WatchSpec) -> futures_core::stream::BoxStream<'static, Result<Changes>> {
    let feed = futures_util::stream::once(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        shared.backend.watch(&spec).await.map(|feed| feed.changes)
    });
    Box::pin(feed.filter_map(|feed| async { feed.ok() }).flatten())
}

/// Reads the feed and tells the readers; registers anew after a break, from where it stands (contract 7.7).
async fn run(shared: Weak<Shared>, stage: Arc<Stage>, spec: WatchSpec, mut feed: Feed) {
    let Some(resumable) = shared.upgrade().map(|shared| shared.require(Capabilities::WATCH_RESUME).is_ok()) else {
        return;
    };
    loop {
        // Of a feed that was opened anew this may lie before what was told.
        let mut from = feed.revision;
        let broken = loop {
            match feed.changes.next().await {
                Some(Ok(changes)) => {
                    let next = reached(&changes);
                    stage.tell(step_of(from, changes, resumable));
                    from = next;
                }
                Some(Err(error)) => break error,
                None => break Error::new(ErrorKind::Unavailable, "the store ended the watch"),
            }
        };
        drop(feed);
        match reopen(&shared, &stage, &spec, broken).await {
            Ok(again) => feed = again,
            Err(error) => return stage.tell(Step::End(error)),
        }
    }
}

/// A key inside the range, to ask the store for its revision where the caller may read.
pub(super) fn probe(range: &KeyRange) -> Key {
    use std::ops::Bound;
    match &range.start {
        Bound::Included(start) | Bound::Excluded(start) if start.as_bytes().ends_with(b"/") => {
            Key::new([start.as_bytes(), b"_".as_slice()].concat())
        }
        Bound::Included(start) | Bound::Excluded(start) => start.clone(),
        Bound::Unbounded => Key::from("_"),
    }
}

fn step_of(from: Revision, changes: Changes, resumable: bool) -> Step {
    match &changes {
        Changes::Batch { revision, changes: list }
            if resumable && list.iter().map(size_of_change).sum::<usize>() > LARGE =>
        {
            Step::Large(*revision)
        }
        _ => Step::Changes { from, changes },
    }
}

fn size_of_change(change: &Change) -> usize {
    let size = |entry: &Entry| entry.key.len() + entry.value.len();
    match change {
        Change::Put { entry, previous } => size(entry) + previous.as_ref().map_or(0, size),
        Change::Delete { key, previous, .. } => key.len() + previous.as_ref().map_or(0, size),
    }
}

async fn reopen(shared: &Weak<Shared>, stage: &Stage, spec: &WatchSpec, mut broken: Error) -> Result<Feed> {
    let mut pauses = Deadline::new(Duration::MAX);
    loop {
        let Some(shared) = shared.upgrade() else { return Err(super::closed_error()) };
        shared.ensure_open()?;
        let resumable = shared.require(Capabilities::WATCH_RESUME).is_ok();
        let position = stage.position().revision;
        // A gap ends the upstream: each reader knows by itself whether it lies behind it.
        if !is_transient(&broken) && *broken.kind() != ErrorKind::Timeout {
            return Err(broken);
        }
        let again = WatchSpec::new(spec.range.clone(), resumable.then_some(position), spec.previous);
        let registered = Deadline::new(shared.timeout).one(shared.open_feed(&again)).await;
        match registered {
            Ok(feed) if resumable => return Ok(feed),
            // Without history only the state itself tells what happened meanwhile.
            Ok(feed) => match shared.present(&spec.range, shared.deadline(None)).await {
                Ok((present, revision)) => {
                    let changes = Changes::Resync { revision, present };
                    stage.tell(Step::Changes { from: position, changes });
                    return Ok(feed);
                }
                Err(error) => broken = error,
            },
            Err(error) => broken = error,
        }
        drop(shared);
        let pause = Error::new(ErrorKind::Unavailable, "");
        pauses.pause(pause).await?;
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upstreams(..)")
    }
}
