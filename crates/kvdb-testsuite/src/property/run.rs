//! Runs a program on a store and on the model, step by step, and compares every answer and every event.

use kvdb_core::{
    Capabilities, Error, ErrorKind, Event, Handle, KvAction, KvPair, Kvdb, KvdbExt, Lease, Snapshot, Target, Watch,
};

use super::model::{Asked, Happened, Known, Model, bytes_of};
use super::step::{KEYS, SLOTS, Step};
use crate::Store;
use crate::help::next_event;

mod leases;
mod reads;
mod snapshots;
mod transactions;

/// How the steps of the programs ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    pub(super) steps: usize,
    pub(super) conflict: usize,
    pub(super) not_found: usize,
    pub(super) expired: usize,
    pub(super) transactions: usize,
}

/// Why a program stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The store answered something else than the model.
    Wrong(String),
    /// A short TTL ran out before the program could use it: nothing is known about the store.
    TooSlow,
}

impl From<Error> for Stop {
    #[track_caller]
    fn from(error: Error) -> Self {
        Self::Wrong(format!("unexpected error: {error:?} ({})", std::panic::Location::caller()))
    }
}

impl From<crate::Failure> for Stop {
    fn from(failure: crate::Failure) -> Self {
        Self::Wrong(failure.to_string())
    }
}

type Check<T = ()> = Result<T, Stop>;

macro_rules! same {
    ($found:expr, $expected:expr, $($what:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => if *found != *expected {
                return Err(Stop::Wrong(format!("{}: {found:?}, the model says {expected:?}", format_args!($($what)+))));
            }
        }
    };
}
pub(super) use same;

/// The conditions that puts and deletes have in common.
macro_rules! conditions {
    ($builder:expr, $asked:expr) => {{
        let mut builder = $builder;
        if let Some(revision) = $asked.modified {
            builder = builder.if_revision(revision);
        }
        if let Some(revision) = $asked.created {
            builder = builder.if_created(revision);
        }
        if let Some(value) = $asked.value.clone() {
            builder = builder.if_value(value);
        }
        builder
    }};
}

/// One program at work.
pub(super) struct Run<'a> {
    kv: &'a Handle,
    can: Capabilities,
    exact: bool,
    model: Model,
    base: u64,
    live: Watch,
    /// Every lease there ever was; the model names them by index.
    leases: Vec<Lease>,
    slots: [Option<usize>; SLOTS],
    /// Snapshots with their prefix.
    snapshots: [Option<(Snapshot, &'static str)>; SLOTS],
    pub(super) shares: Shares,
}

impl<'a> Run<'a> {
    /// Begins in an empty domain.
    pub(super) async fn begin(kv: &'a Handle, store: &dyn Store) -> Check<Self> {
        let live = kv.watch_tree("").previous().await?;
        let base = live.revision().get();
        Ok(Self {
            kv,
            can: kv.capabilities(),
            exact: store.counts_exactly(),
            model: Model::new(base, store.leases_make_anew()),
            base,
            live,
            leases: Vec::new(),
            slots: [None; SLOTS],
            snapshots: Default::default(),
            shares: Shares::default(),
        })
    }

    /// Takes one step on both and compares.
    pub(super) async fn step(&mut self, step: Step) -> Check {
        self.shares.steps += 1;
        match step {
            Step::Put { key, value, previous } => self.put(key, value, previous).await,
            Step::Set { key, value, when } => {
                let asked = self.model.resolve(key, when);
                let write = conditions!(self.kv.put(key, bytes_of(value)), asked);
                let write = match asked.exists {
                    Some(true) => write.if_present(),
                    Some(false) => write.if_absent(),
                    None => write,
                };
                let answer = write.await;
                self.written(key, value, None, &asked, answer).await
            }
            Step::Delete { key } => {
                let asked = Asked { exists: Some(true), ..Asked::default() };
                let answer = self.kv.delete(key).await;
                self.deleted(key, &asked, answer).await
            }
            Step::DeleteIf { key, when } => {
                let asked = Asked { exists: Some(true), ..self.model.resolve(key, when) };
                let answer = conditions!(self.kv.delete(key), asked).await;
                self.deleted(key, &asked, answer).await
            }
            Step::DeleteTree { prefix } => self.delete_tree(prefix).await,
            Step::Get { .. }
            | Step::GetAt { .. }
            | Step::GetAhead { .. }
            | Step::List { .. }
            | Step::ListAt { .. }
            | Step::Count { .. }
            | Step::Keys { .. }
            | Step::Replay { .. } => self.read(step).await,
            Step::Grant { .. }
            | Step::PutLeased { .. }
            | Step::KeepAlive { .. }
            | Step::LeaseInfo { .. }
            | Step::Revoke { .. }
            | Step::Expire { .. }
            | Step::ExpireLease { .. }
            | Step::Overwrite { .. } => self.lease(step).await,
            Step::Txn { .. } | Step::Tx { .. } => self.transaction(step).await,
            Step::Snapshot { .. } | Step::ReadSnapshot { .. } | Step::WatchSnapshot { .. } | Step::Dump => {
                self.snapshot(step).await
            }
        }
    }

    /// Compares what is left and the whole history.
    pub(super) async fn finish(&mut self) -> Check {
        self.outlive_old_deadlines().await?;
        self.read(Step::List { prefix: "", limit: None, reverse: false }).await?;
        self.present_state().await?;
        for slot in 0..SLOTS {
            self.snapshot(Step::ReadSnapshot { slot }).await?;
        }
        if self.can.contains(Capabilities::WATCH_RESUME) {
            self.replay(self.base).await?;
        }
        for key in KEYS {
            self.read(Step::Get { key }).await?;
        }
        Ok(())
    }

    async fn put(&mut self, key: &str, value: u16, previous: bool) -> Check {
        let before = self.model.keys.get(key).cloned();
        let write = self.kv.put(key, bytes_of(value));
        let pair = if previous { write.previous().await? } else { write.await? };
        if previous {
            same!(pair.previous.is_some(), before.is_some(), "previous of {key}");
            if let (Some(pair), Some(before)) = (&pair.previous, &before) {
                self.compare(pair, key, before)?;
            }
        }
        self.written(key, value, None, &Asked::default(), Ok(pair)).await
    }

    /// Compares the answer of a write, conditional or not, and the event it makes.
    async fn written(
        &mut self,
        key: &str,
        value: u16,
        lease: Option<usize>,
        asked: &Asked,
        answer: kvdb_core::Result<KvPair>,
    ) -> Check {
        let refusals = self.model.refusals(key, asked);
        let pair = match answer {
            Err(error) => return self.refused(key, &error, &refusals),
            Ok(pair) => pair,
        };
        same!(refusals, Vec::<ErrorKind>::new(), "{key} was written, conditions that fail");
        let revision = self.next_revision(pair.modified_index.get())?;
        let (known, action, _) = self.model.put(revision, key, bytes_of(value), lease);
        same!(pair.action, action, "action of {key}");
        self.compare(&pair, key, &known)?;
        self.told(1).await.map(drop)
    }

    async fn deleted(&mut self, key: &str, asked: &Asked, answer: kvdb_core::Result<KvPair>) -> Check {
        let refusals = self.model.refusals(key, asked);
        let pair = match answer {
            Err(error) => return self.refused(key, &error, &refusals),
            Ok(pair) => pair,
        };
        same!(refusals, Vec::<ErrorKind>::new(), "{key} was deleted, conditions that fail");
        let known = self.model.keys.get(key).cloned();
        same!(Some(pair.value.to_vec()), known.as_ref().map(|known| known.value.clone()), "deleted value of {key}");
        same!(
            Some(pair.created_index.get()),
            known.as_ref().map(|known| known.created),
            "created index of the deleted {key}"
        );
        same!(pair.action, KvAction::Delete, "action of the deleted {key}");
        let revision = self.next_revision(pair.modified_index.get())?;
        self.model.remove(revision, &[key.to_owned()], KvAction::Delete);
        self.told(1).await.map(drop)
    }

    async fn delete_tree(&mut self, prefix: &'static str) -> Check {
        let keys: Vec<_> = Model::below(&self.model.keys, prefix).into_iter().map(|(key, _)| key).collect();
        let deleted = self.kv.delete_opts(Target::Tree(prefix), kvdb_core::DeleteOptions::default()).await?;
        same!(deleted.removed, keys.len() as u64, "removed below {prefix:?}");
        if keys.is_empty() {
            return Ok(());
        }
        let revision = self.next_revision(deleted.revision.get())?;
        self.model.remove(revision, &keys, KvAction::Delete);
        self.told(keys.len()).await.map(drop)
    }

    fn refused(&mut self, key: &str, error: &Error, refusals: &[ErrorKind]) -> Check {
        if !refusals.contains(error.kind()) {
            return Err(Stop::Wrong(format!("{key} refused: {error:?}, the model says one of {refusals:?}")));
        }
        match error.kind() {
            ErrorKind::NotFound => self.shares.not_found += 1,
            _ => self.shares.conflict += 1,
        }
        Ok(())
    }

    /// Checks the revision of a write against the ones before.
    fn next_revision(&self, revision: u64) -> Check<u64> {
        if self.exact {
            same!(revision, self.model.revision + 1, "revision of the write");
        } else if revision <= self.model.revision {
            return Err(Stop::Wrong(format!("revision {revision} after {}", self.model.revision)));
        }
        Ok(revision)
    }

    fn compare(&self, pair: &KvPair, key: &str, known: &Known) -> Check {
        same!(pair.key, key, "key");
        same!(pair.value.to_vec(), known.value, "value of {key}");
        same!(pair.created_index.get(), known.created, "created index of {key}");
        same!(pair.modified_index.get(), known.modified, "modified index of {key}");
        if self.can.contains(Capabilities::KEY_VERSION) {
            same!(pair.version, Some(known.version), "version of {key}");
        }
        let lease = known.lease.and_then(|lease| self.leases.get(lease)).map(|lease| lease.id.clone());
        same!(pair.lease, lease, "lease of {key}");
        Ok(())
    }

    /// Reads the next `count` events of the live watch and compares them with what the model says has just happened.
    async fn told(&mut self, count: usize) -> Check<Vec<Event>> {
        let events = pairs(&mut self.live, count).await?;
        let from = self.model.happened.len().saturating_sub(count);
        self.compare_events(&events, self.model.happened.get(from..).unwrap_or_default())?;
        Ok(events)
    }

    /// Compares events with what happened; the order inside one revision is free.
    fn compare_events(&self, events: &[Event], happened: &[Happened]) -> Check {
        same!(events.len(), happened.len(), "number of events");
        let mut found: Vec<&KvPair> = events.iter().filter_map(Event::pair).collect();
        let ordered = found.is_sorted_by_key(|pair| pair.modified_index);
        same!(ordered, true, "events in order of revision: {events:?}");
        found.sort_by(|a, b| (a.modified_index, &a.key).cmp(&(b.modified_index, &b.key)));
        let mut expected: Vec<&Happened> = happened.iter().collect();
        expected.sort_by(|a, b| (a.revision, &a.key).cmp(&(b.revision, &b.key)));
        for (pair, happened) in found.into_iter().zip(expected) {
            let what = format!("event of {} at {}", happened.key, happened.revision);
            same!((pair.key.as_str(), pair.modified_index.get()), (happened.key.as_str(), happened.revision), "{what}");
            // Who cannot tell an expiry says Delete (contract 6.5).
            let plain = happened.action == KvAction::Expire && !self.exact && pair.action == KvAction::Delete;
            if !plain {
                same!(pair.action, happened.action, "action of the {what}");
            }
            same!(pair.value.to_vec(), happened.value, "value of the {what}");
            same!(pair.created_index.get(), happened.created, "created index of the {what}");
            same!(pair.previous.as_ref().map(|pair| pair.value.to_vec()), happened.before, "previous of the {what}");
        }
        Ok(())
    }
}

/// The next `count` events that have a pair.
async fn pairs(watch: &mut Watch, count: usize) -> Check<Vec<Event>> {
    let mut events = Vec::with_capacity(count);
    while events.len() < count {
        let event = next_event(watch).await?;
        if event.pair().is_some() {
            events.push(event);
        }
    }
    Ok(events)
}
