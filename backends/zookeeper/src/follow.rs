//! One watched range: what was last told of it, and what is to be read again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use kvdb_core::toolkit::Gate;
use kvdb_core::{Change, Changes, Entry, Error, ErrorKind, Key, KeyRange, Result, Retry, Revision};
use tokio::sync::{mpsc, watch};
use zookeeper::{AddWatchMode, Client, EventType, PersistentWatcher, WatchedEvent};

use crate::backend::Shared;
use crate::client::answer;
use crate::cut::{self, Known};
use crate::error::{Call, is_lost};
use crate::path;
use crate::pending::{Node, Pending};
use crate::read::{Look, Sight, look};

/// How many keys may be waiting to be read again; with more, all of the range is read.
const PENDING: usize = 10_000;

/// Pauses after a failure, doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// A connection that tells what changes. It is left as soon as it breaks: the client forgets persistent watches then,
/// and what happened meanwhile is told by nobody.
struct Line {
    client: Arc<Client>,
    watcher: PersistentWatcher,
}

pub(crate) struct Follower {
    shared: Arc<Shared>,
    range: KeyRange,
    /// The watched path.
    root: String,
    values: bool,
    line: Option<Line>,
    pending: Pending,
    /// What was told, with values if entries before a change are asked for.
    known: BTreeMap<Key, Entry>,
    /// Everything at or below was told.
    position: i64,
    closed: watch::Receiver<bool>,
    pause: Duration,
    /// The servers do not tell which transaction an event is of.
    too_old: bool,
}

/// A range, or what changed of it, at one moment.
struct Moment {
    nodes: HashMap<String, Node>,
    /// Every change of the range at or below is in it.
    last: i64,
}

/// A range as it is at one moment, however much is written meanwhile: leaves, and the last transaction.
pub(crate) async fn whole(shared: &Arc<Shared>, range: &KeyRange) -> Result<(HashMap<String, Node>, i64)> {
    let (moment, _) = Follower::new(shared, range, false).read_whole().await?;
    Ok((moment.nodes, moment.last))
}

fn broken() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection broke").with_retry(Retry::Safe)
}

impl Follower {
    pub(crate) fn new(shared: &Arc<Shared>, range: &KeyRange, values: bool) -> Self {
        let root = match range.as_single() {
            Some(key) => path::leaf(key.as_bytes()),
            None => cut::root(range),
        };
        Self {
            shared: Arc::clone(shared),
            range: range.clone(),
            root,
            values,
            line: None,
            pending: Pending::default(),
            known: BTreeMap::new(),
            position: 0,
            closed: shared.gate.subscribe(),
            pause: FIRST_PAUSE,
            too_old: false,
        }
    }

    pub(crate) fn position(&self) -> Revision {
        Revision::new(self.position.cast_unsigned())
    }

    /// Nothing has changed up to there.
    pub(crate) fn advance(&mut self, position: Revision) {
        self.position = self.position.max(position.get().cast_signed());
    }

    /// Begins to watch and learns what is there; answers the last transaction that can have changed the range.
    pub(crate) async fn begin(&mut self) -> Result<i64> {
        let seen = self.shared.sessions.seen();
        let (moment, changed) = self.read_whole().await?;
        self.position = seen.max(moment.last);
        for (leaf, node) in moment.nodes {
            if let Some((key, value, stat)) = node {
                let entry = self.shared.entry(key, &leaf, value, &stat);
                self.learn(entry);
            }
        }
        Ok(changed)
    }

    fn learn(&mut self, mut entry: Entry) {
        if !self.values {
            entry.value = Bytes::new();
        }
        self.known.insert(entry.key.clone(), entry);
    }

    /// Feeds until the handle is closed, the reader is gone or the range may not be read any more.
    pub(crate) async fn run(mut self, sender: mpsc::Sender<Result<Changes>>) {
        loop {
            let mut closed = self.closed.clone();
            let step = tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => Err(Gate::closed_error()),
                step = self.next(&sender) => step,
            };
            match step {
                Ok(()) => self.pause = FIRST_PAUSE,
                Err(error) if error.retry() == Retry::Safe => {
                    self.line = None;
                    self.rest().await;
                }
                Err(error) => {
                    // A reader that is gone needs no reason.
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            }
        }
    }

    async fn rest(&mut self) {
        let pause = self.pause.mul_f64(rand::random_range(0.5..1.0));
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        tokio::select! {
            _ = self.closed.wait_for(|closed| *closed) => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Waits for something to tell and for room to tell it in, then tells it.
    async fn next(&mut self, sender: &mpsc::Sender<Result<Changes>>) -> Result<()> {
        while self.pending.leaves.is_empty() && self.line.is_some() {
            self.listen().await;
        }
        let room = loop {
            tokio::select! {
                biased;
                room = sender.reserve() => break room,
                () = self.listen(), if self.line.is_some() => {}
            }
        };
        let Ok(room) = room else { return Err(Gate::closed_error()) };
        let told = match self.line.is_some() && self.pending.leaves.len() <= PENDING {
            true => match self.read_pending().await {
                Ok(moment) => self.tell_changes(moment),
                // What is known is kept, so that nothing is missed once the store is back.
                Err(error) if is_lost(&error) => {
                    self.line = None;
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
            false => {
                let (moment, _) = self.read_whole().await?;
                self.tell_whole(moment)
            }
        };
        if let Some(changes) = told {
            room.send(Ok(changes));
        }
        Ok(())
    }

    /// Waits for one event.
    async fn listen(&mut self) {
        if let Some(line) = &mut self.line {
            let event = line.watcher.changed().await;
            self.note(event);
        }
    }

    /// Takes what was told so far.
    fn drain(&mut self) -> Result<()> {
        while let Some(line) = &mut self.line {
            match line.watcher.changed().now_or_never() {
                Some(event) => self.note(event),
                None if self.too_old => {
                    let message = "the servers do not tell the transaction of an event, as ZooKeeper does from 3.9 on";
                    return Err(Error::new(ErrorKind::InvalidConfig, message));
                }
                None => return Ok(()),
            }
        }
        Err(broken())
    }

    fn note(&mut self, event: WatchedEvent) {
        if event.event_type == EventType::Session {
            self.line = None;
        } else if path::is_leaf(&event.path)
            && path::key(&event.path).is_some_and(|key| self.range.contains(key.as_bytes()))
        {
            self.too_old |= event.zxid == WatchedEvent::NO_ZXID;
            // One more than fits says that there are too many.
            if self.pending.leaves.len() <= PENDING {
                self.pending.note(event.path, event.zxid, event.event_type);
            }
        }
    }

    /// Watches anew and reads the whole range; answers also the last transaction that can have changed it.
    async fn read_whole(&mut self) -> Result<(Moment, i64)> {
        // The old watch is taken back before the new one is asked for.
        self.line = None;
        self.pending = Pending::default();
        let client = self.shared.sessions.client().await?;
        // Both are sent before either is awaited; what is read then is not older than this call.
        let (watching, synced) = (client.watch(&self.root, AddWatchMode::PersistentRecursive), client.sync("/"));
        let watcher = answer(Call::Read, watching).await?;
        answer(Call::Read, synced).await?;
        self.line = Some(Line { client: Arc::clone(&client), watcher });
        let (nodes, mut changed, there) = match self.range.as_single() {
            Some(key) => {
                let found = look(&client, &[Look::Data(self.root.clone())], false).await?.found.into_iter().next();
                match found.and_then(Sight::data) {
                    Some((value, stat)) => {
                        let node = Some((key.clone(), value, stat));
                        (HashMap::from([(self.root.clone(), node)]), stat.mzxid, true)
                    }
                    None => (HashMap::new(), 0, false),
                }
            }
            None => {
                let mut known = Known::below(&self.root);
                cut::explore(&client, &self.range, &mut known, false).await?;
                let (reading, _) = cut::read(&client, &self.range, &mut known, true).await?;
                let nodes = reading.nodes.into_iter().map(|(leaf, node)| (leaf, Some(node))).collect();
                (nodes, reading.newest, known.is_there())
            }
        };
        if !there {
            changed = changed.max(cut::last_change_above(&client, &self.root).await?);
        }
        self.drain()?;
        let mut moment = Moment { nodes, last: changed.max(self.pending.last) };
        // What changed while it was read is read again.
        let told = std::mem::take(&mut self.pending.leaves);
        let missing: HashSet<String> = told.into_keys().collect();
        missing.iter().for_each(|leaf| drop(moment.nodes.remove(leaf)));
        let moment = self.settle(moment, missing).await?;
        self.shared.sessions.note(moment.last);
        let changed = changed.max(moment.last);
        Ok((moment, changed))
    }

    /// Reads what has changed since the last cut.
    async fn read_pending(&mut self) -> Result<Moment> {
        self.drain()?;
        let missing = std::mem::take(&mut self.pending.leaves).into_keys().collect();
        let moment = Moment { nodes: HashMap::new(), last: self.pending.last };
        let moment = self.settle(moment, missing).await?;
        self.shared.sessions.note(moment.last);
        Ok(moment)
    }

    /// Completes a moment by reading what is missing, until all that was told to have changed up to it is read.
    ///
    /// Events and answers come in the order of transactions: once a reading is answered, all is told that it shows, and
    /// with it all of the moment, of which a part was told before. A node that was not written after the moment, by its
    /// own `mzxid`, is read as it was then. If one was, the moment is moved to the last write that the reading shows: so
    /// neither keys that are made all the time nor keys that are written all the time keep it from being completed.
    async fn settle(&mut self, mut moment: Moment, mut missing: HashSet<String>) -> Result<Moment> {
        loop {
            let answers = self.read_nodes(missing).await?;
            self.drain()?;
            let moved = self.pending.moved(moment.last, &answers);
            moment.last = moved.as_ref().map_or(moment.last, |moved| moved.to);
            let shown = moved.as_ref().is_none_or(|moved| moved.shown);
            missing = self.pending.take_up_to(moment.last, shown, &answers);
            missing.iter().for_each(|leaf| drop(moment.nodes.remove(leaf)));
            moment.nodes.extend(answers.into_iter().filter(|(leaf, _)| !missing.contains(leaf)));
            if moved.is_none() && missing.is_empty() {
                return Ok(moment);
            }
        }
    }

    /// Reads some leaves; without any it asks something else, for the sake of what is told before the answer.
    async fn read_nodes(&mut self, leaves: HashSet<String>) -> Result<HashMap<String, Node>> {
        let Some(line) = &self.line else { return Err(broken()) };
        let client = Arc::clone(&line.client);
        if leaves.is_empty() {
            answer(Call::Read, client.check_stat(&self.root)).await?;
            return Ok(HashMap::new());
        }
        let looks: Vec<Look> = leaves.into_iter().map(Look::Data).collect();
        let found = look(&client, &looks, false).await?.found;
        let nodes = looks.into_iter().zip(found).map(|(look, sight)| {
            let leaf = look.into_path();
            let node = sight.data().and_then(|(value, stat)| Some((path::key(&leaf)?, value, stat)));
            (leaf, node)
        });
        Ok(nodes.collect())
    }

    /// The changes between what was told and a moment of the keys that changed.
    fn tell_changes(&mut self, moment: Moment) -> Option<Changes> {
        let nodes = moment.nodes.into_iter().filter_map(|(leaf, node)| match node {
            Some((key, value, stat)) => {
                let entry = self.shared.entry(key.clone(), &leaf, value, &stat);
                Some((key, Some(entry)))
            }
            None => path::key(&leaf).map(|key| (key, None)),
        });
        let changed = self.changed(nodes.collect());
        if changed.iter().any(|(_, entry)| entry.as_ref().is_some_and(|entry| entry.modified <= self.position())) {
            // The store went back: only all of it tells what is there.
            self.line = None;
            return None;
        }
        self.batch(changed, moment.last)
    }

    /// The same of a moment of the whole range; what is there, if the store went back.
    fn tell_whole(&mut self, moment: Moment) -> Option<Changes> {
        let present = self.shared.entries(moment.nodes.into_iter().filter_map(|(leaf, node)| Some((leaf, node?))));
        let mut now: BTreeMap<Key, Option<Entry>> = self.known.keys().map(|key| (key.clone(), None)).collect();
        now.extend(present.iter().map(|entry| (entry.key.clone(), Some(entry.clone()))));
        let changed = self.changed(now);
        if changed.iter().all(|(_, entry)| entry.as_ref().is_none_or(|entry| entry.modified > self.position())) {
            return self.batch(changed, moment.last);
        }
        self.known.clear();
        present.iter().for_each(|entry| self.learn(entry.clone()));
        self.position = moment.last.max(1);
        Some(Changes::Resync { revision: self.position(), present })
    }

    /// Those that are not as they were told.
    fn changed(&self, now: BTreeMap<Key, Option<Entry>>) -> Vec<(Key, Option<Entry>)> {
        let differs = |key: &Key, entry: &Option<Entry>| {
            self.known.get(key).map(|known| known.modified) != entry.as_ref().map(|entry| entry.modified)
        };
        now.into_iter().filter(|(key, entry)| differs(key, entry)).collect()
    }

    /// One cut: writes by modified index, then deletions by name with the cut's revision as theirs.
    fn batch(&mut self, mut changed: Vec<(Key, Option<Entry>)>, last: i64) -> Option<Changes> {
        if changed.is_empty() {
            return None;
        }
        changed.sort_by_key(|(_, entry)| entry.as_ref().map_or(Revision::MAX, |entry| entry.modified));
        let newest = changed.iter().filter_map(|(_, entry)| entry.as_ref()).map(|entry| entry.modified.get());
        // Something changed after what was told, though nobody may tell when.
        let least = self.position.saturating_add(1);
        self.position = newest.max().map_or(0, u64::cast_signed).max(last).max(least);
        let revision = self.position();
        let changes = changed.into_iter().map(|(key, entry)| {
            // Of a deleted key what is known is told, asked for or not.
            let previous = self.known.remove(&key);
            match entry {
                Some(entry) => {
                    self.learn(entry.clone());
                    Change::Put { entry, previous: previous.filter(|_| self.values) }
                }
                None => Change::Delete { key, revision, expired: false, previous },
            }
        });
        let changes = changes.collect();
        Some(Changes::Batch { revision, changes })
    }
}
