//! Watches that are open from the beginning to the end of a run, and what they must have told.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use kvdb::Capabilities;
use kvdb::prelude::*;
use kvdb_tests::check::Cuts;
use kvdb_testsuite::checker::{Checker, Truth};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::load::{self, Open};

/// How long what was written may take to reach a watch once nothing fails any more.
const ARRIVES: Duration = Duration::from_secs(60);

/// One open watch and the task that judges it.
pub(crate) struct Watcher {
    name: String,
    prefix: String,
    goal: watch::Sender<Option<Goal>>,
    task: JoinHandle<Result<Judge, String>>,
}

/// What a watch must have told before it may end.
#[derive(Clone, Debug)]
struct Goal {
    last: Revision,
    state: BTreeMap<String, Revision>,
}

/// Follows a watch by the rules that its store promises.
#[derive(Debug)]
pub(crate) enum Judge {
    /// Every change, in order (contract 7.5).
    Changes(Box<Checker>),
    /// Atomic cuts (7.6).
    Cuts(Cuts),
}

impl Judge {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        match self {
            Self::Changes(checker) => checker.take(event),
            Self::Cuts(cuts) => cuts.take(event),
        }
    }

    fn reached(&self, goal: &Goal) -> bool {
        match self {
            Self::Changes(checker) => checker.last() >= goal.last,
            Self::Cuts(cuts) => *cuts.state() == goal.state,
        }
    }

    fn told(&self) -> usize {
        match self {
            Self::Changes(checker) => checker.told().len(),
            Self::Cuts(cuts) => cuts.told(),
        }
    }
}

/// Watches of the domain, of directories and of keys, each through a handle of its own; `start` is the revision before
/// the run.
pub(crate) async fn open(open: &Open, start: Revision) -> Result<Vec<Watcher>> {
    let trees = [String::new(), "d0000".to_owned(), "d0002".to_owned()];
    let mut watchers = Vec::new();
    for tree in &trees {
        let kv = open("run").await?;
        let watch = kv.watch_tree(tree).previous();
        // One of them by the first revision where that can be asked for, the others from now on: nothing is there yet.
        let watch = match kv.capabilities().contains(Capabilities::WATCH_RESUME) && tree.is_empty() {
            true => watch.after(start).progress().await?,
            false => watch.await?,
        };
        let prefix = if tree.is_empty() { String::new() } else { format!("{tree}/") };
        watchers.push(Watcher::start(format!("tree {tree:?}"), kv, watch, &prefix, start));
    }
    for directory in [0, 1, 3] {
        let (key, kv) = (load::key(directory, directory), open("run").await?);
        let watch = kv.watch_key(&key).previous().await?;
        watchers.push(Watcher::start(format!("key {key:?}"), kv, watch, &key, start));
    }
    Ok(watchers)
}

impl Watcher {
    fn start(name: String, kv: Handle, mut watch: Watch, prefix: &str, start: Revision) -> Self {
        let (goal, mut told) = watch::channel(None::<Goal>);
        let mut judge = match kv.capabilities().contains(Capabilities::ORDERED_UPDATES) {
            true => Judge::Changes(Box::new(Checker::from_empty(prefix, start).with_previous())),
            false => Judge::Cuts(Cuts::of(prefix)),
        };
        let task = tokio::spawn(async move {
            // Its client lives as long as the watch.
            let _kv = kv;
            loop {
                if told.borrow().as_ref().is_some_and(|goal| judge.reached(goal)) {
                    return Ok(judge);
                }
                tokio::select! {
                    event = watch.next() => match event {
                        Some(Ok(event)) => judge.take(&event)?,
                        Some(Err(error)) => return Err(format!("ended after {} changes with {error:?}", judge.told())),
                        None => return Err(format!("ended after {} changes", judge.told())),
                    },
                    changed = told.changed() => if changed.is_err() {
                        return Err("the run was given up".to_owned());
                    },
                }
            }
        });
        Self { name, prefix: prefix.to_owned(), goal, task }
    }
}

/// A watch at its end: its judge, or what it broke.
pub(crate) struct Judged {
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) judge: Result<Judge, String>,
}

/// Waits until every watch has told what there is now: all of the history, and a state that adds up to the listing.
pub(crate) async fn finish(watchers: Vec<Watcher>, history: &[KvPair], listed: &[KvPair]) -> Vec<Judged> {
    let mut judges = Vec::new();
    for Watcher { name, prefix, goal, mut task } in watchers {
        let last = history.iter().rev().find(|pair| pair.key.starts_with(&prefix));
        let state = listed.iter().filter(|pair| pair.key.starts_with(&prefix));
        goal.send_replace(Some(Goal {
            last: last.map_or(Revision::ZERO, |pair| pair.modified_index),
            state: state.map(|pair| (pair.key.clone(), pair.modified_index)).collect(),
        }));
        let judge = match tokio::time::timeout(ARRIVES, &mut task).await {
            Ok(Ok(judge)) => judge,
            Ok(Err(join)) => Err(join.to_string()),
            Err(_) => {
                task.abort();
                Err(format!("reliable: what was written last has not come within {ARRIVES:?}: {last:?}"))
            }
        };
        judges.push(Judged { name, prefix, judge });
    }
    judges
}

/// What the watches told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    watches: usize,
    events: usize,
    gaps: usize,
    doubles: usize,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { watches, events, gaps, doubles } = self;
        write!(f, "{events} watch events on {watches} watches, {gaps} gaps, {doubles} doubles")
    }
}

/// Holds every watch of all changes to the store's history, which reaches to `until` and beyond the last of them.
pub(crate) fn judge(judges: &[Judged], history: &[KvPair], until: Revision, broken: &mut Vec<String>) -> Told {
    let mut told = Told::default();
    for Judged { name, judge, .. } in judges {
        let judged = judge.as_ref().map_err(Clone::clone).and_then(|judge| {
            told.watches += 1;
            told.events += judge.told();
            let Judge::Changes(checker) = judge else { return Ok(()) };
            // Each was ended at a moment of its own.
            let truth = Truth::default();
            let cut = until.max(checker.last());
            for pair in history.iter().filter(|pair| pair.modified_index <= cut) {
                if pair.action == KvAction::Delete { truth.deleted(pair) } else { truth.put(pair) }
            }
            checker.finish(&truth)
        });
        if let Err(why) = judged {
            match why.split(':').next() {
                Some("reliable") => told.gaps += 1,
                Some("unique" | "ordered" | "bookmarkable") => told.doubles += 1,
                _ => {}
            }
            broken.push(format!("watch of {name}: {why}"));
        }
    }
    told
}
