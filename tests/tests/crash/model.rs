//! What must be there after a crash: every acknowledged step, and of the step in flight all or nothing.

use std::collections::{BTreeMap, HashMap};

use kvdb::prelude::*;
use kvdb::{CallOptions, LeaseId};

use crate::history::END;
use crate::note::{Granted, Note, UnitId};
use crate::work::{Kind, Store, unit_of, value, wall};

/// How far the clocks of writer, store and checker may be apart, and what rounding to milliseconds costs.
const TOLERANCE: u64 = 5;

/// What is known of a unit.
#[derive(Clone, Copy, Debug, Default)]
struct Unit {
    /// The last step that was begun.
    started: u8,
    /// The last step that was acknowledged, or found to stand.
    done: u8,
    /// The revision of each step, where it is known.
    revisions: [u64; 4],
    lease: Option<Window>,
    /// The lease ran out before the key was written.
    too_late: bool,
}

/// A lease and the moments between which it must end.
#[derive(Clone, Copy, Debug)]
struct Window {
    lease: i64,
    ttl: u64,
    earliest: u64,
    latest: u64,
}

/// What one crash left of the steps in flight.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InFlight {
    /// Steps begun and not acknowledged.
    pub(crate) steps: usize,
    /// Those of them that stand, whole.
    pub(crate) whole: usize,
}

/// All that the writers of one file told, over all its crashes.
#[derive(Debug, Default)]
pub(crate) struct Model {
    units: BTreeMap<UnitId, Unit>,
    used: HashMap<u64, (UnitId, u8)>,
    seen: Vec<(u64, String)>,
    /// Steps that the last comparison found to stand without an acknowledgement.
    unacknowledged: Vec<(UnitId, u8)>,
    /// Acknowledged steps.
    pub(crate) acks: usize,
    /// Broken promises, in words.
    pub(crate) losses: Vec<String>,
}

impl Model {
    /// Takes in what the writers told before the crash.
    pub(crate) fn absorb(&mut self, notes: impl IntoIterator<Item = Note>) {
        for note in notes {
            match note {
                Note::Started(unit, step) => self.units.entry(unit).or_default().started = step,
                Note::Wrote(unit, step, revision) => {
                    self.acks += 1;
                    self.use_revision(revision, unit, step);
                    let state = self.units.entry(unit).or_default();
                    state.done = step;
                    state.revisions[usize::from(step)] = revision;
                }
                Note::Leased(unit, step, Granted { lease, ttl, asked, answered }) => {
                    self.acks += 1;
                    let state = self.units.entry(unit).or_default();
                    state.done = step;
                    state.lease = Some(Window { lease, ttl, earliest: asked + ttl, latest: answered + ttl });
                }
                Note::TooLate(unit, step) => {
                    let state = self.units.entry(unit).or_default();
                    state.done = step;
                    state.too_late |= step == 2;
                }
                Note::Saw(revision, key) => self.seen.push((revision, key)),
                Note::Wrong(text) => self.losses.push(text),
            }
        }
    }

    fn use_revision(&mut self, revision: u64, unit: UnitId, step: u8) {
        if let Some(other) = self.used.insert(revision, (unit, step)) {
            self.losses.push(format!("revision {revision} was used twice: {other:?} and {:?}", (unit, step)));
        }
    }

    /// Compares a reopened store with what was told; `opening` is the wall clock before it was opened. Steps in flight
    /// count as what they are found to be from here on.
    pub(crate) async fn verify(&mut self, store: &Store, opening: u64) -> Result<InFlight> {
        let pairs = store.kv.list("").await?;
        let listed = wall();
        let mut found: BTreeMap<UnitId, Vec<(String, KvPair)>> = BTreeMap::new();
        for pair in pairs {
            match unit_of(&pair.key).filter(|(unit, _)| self.units.contains_key(unit)) {
                Some((unit, name)) => found.entry(unit).or_default().push((name.to_owned(), pair)),
                None if pair.key == END => {}
                None => self.losses.push(format!("a key that nobody wrote: {}", pair.key)),
            }
        }
        let mut in_flight = InFlight::default();
        self.unacknowledged.clear();
        let units: Vec<_> = self.units.iter().map(|(unit, state)| (*unit, *state)).collect();
        for (unit, before) in units {
            let mut state = before;
            let begun = state.started > state.done;
            in_flight.steps += usize::from(begun);
            let pairs = found.remove(&unit).unwrap_or_default();
            let stands = match Kind::of(unit) {
                Kind::Lease => self.leased(store, unit, &mut state, &pairs, opening, listed).await,
                _ => self.plain(unit, &mut state, &pairs),
            };
            if begun && stands {
                in_flight.whole += 1;
                self.unacknowledged.push((unit, before.started));
            }
            state.started = state.done;
            self.units.insert(unit, state);
        }
        Ok(in_flight)
    }

    /// Settles a unit without a lease; answers whether its last step stands.
    fn plain(&mut self, unit: UnitId, state: &mut Unit, pairs: &[(String, KvPair)]) -> bool {
        for steps in state.done..=state.started.max(state.done) {
            if self.matches(unit, state, steps, pairs) {
                self.settle(unit, state, steps, pairs);
                return steps == state.started;
            }
        }
        let shown: Vec<_> = pairs
            .iter()
            .map(|(name, pair)| {
                (name, pair.created_index, pair.modified_index, pair.text().map(|text| text.split(" .").next()))
            })
            .collect();
        self.losses.push(format!("{unit:?} {:?} {state:?} is {shown:?}", Kind::of(unit)));
        false
    }

    /// Whether the unit's keys are what so many steps leave.
    fn matches(&self, unit: UnitId, state: &Unit, steps: u8, pairs: &[(String, KvPair)]) -> bool {
        let expected = Kind::of(unit).after(steps);
        let known = |step: u8, index: Revision| {
            let revision = state.revisions[usize::from(step)];
            if revision == 0 { !self.used.contains_key(&index.get()) } else { index == revision }
        };
        expected.len() == pairs.len()
            && expected.iter().zip(pairs).all(|(&(name, created, wrote), (found, pair))| {
                name == found
                    && pair.value == value(unit, wrote)
                    && known(created, pair.created_index)
                    && known(wrote, pair.modified_index)
                    // One commit, one revision.
                    && pair.modified_index == pairs[0].1.modified_index
            })
    }

    fn settle(&mut self, unit: UnitId, state: &mut Unit, steps: u8, pairs: &[(String, KvPair)]) {
        if steps > state.done {
            state.done = steps;
            if let Some((_, pair)) = pairs.first() {
                let revision = pair.modified_index.get();
                state.revisions[usize::from(steps)] = revision;
                self.use_revision(revision, unit, steps);
            }
        }
    }

    /// Settles a unit with a lease; answers whether its last step stands, as far as can be told.
    async fn leased(
        &mut self,
        store: &Store,
        unit: UnitId,
        state: &mut Unit,
        pairs: &[(String, KvPair)],
        opening: u64,
        listed: u64,
    ) -> bool {
        if state.started == 3 && state.done == 2 {
            // A keep-alive in flight may or may not have moved the deadline.
            if let Some(window) = &mut state.lease {
                window.latest = window.latest.max(listed + window.ttl);
            }
        }
        let Some(window) = state.lease else {
            // Not granted as far as the writer knows: no key can hang on it.
            return !pairs.is_empty() && self.loss(unit, state, "has a key on a lease that nobody was granted");
        };
        let over = window.latest + TOLERANCE < opening;
        let live = listed + TOLERANCE < window.earliest;
        let written = self.matches(unit, state, 2, pairs);
        if !pairs.is_empty() && !written {
            return self.loss(unit, state, "has a key that nobody wrote so");
        }
        if written && (over || state.too_late || state.started < 2) {
            return self.loss(unit, state, "has a key that its lease should have taken away");
        }
        if live && !written && state.done >= 2 && !state.too_late {
            return self.loss(unit, state, "lost its key before the lease ran out");
        }
        self.deadline(store, unit, state, window, over).await;
        if written {
            self.settle(unit, state, state.done.max(2), pairs);
        }
        if state.started == 3 {
            state.done = 3;
        }
        written
    }

    /// Holds the lease to its deadline: not earlier than the last acknowledged one, not later.
    async fn deadline(&mut self, store: &Store, unit: UnitId, state: &Unit, window: Window, over: bool) {
        let asked = wall();
        let answer = store.kv.lease_info(&LeaseId::from(window.lease), CallOptions::default()).await;
        let answered = wall();
        match answer {
            Ok(_) if over => {
                self.loss(unit, state, "has a lease that should be gone");
            }
            Ok(info) => {
                let remaining = info.remaining.as_millis() as u64;
                let least = window.earliest.saturating_sub(answered + TOLERANCE);
                let most = (window.latest + TOLERANCE).saturating_sub(asked);
                if remaining < least || remaining > most {
                    let why = format!("has {remaining} ms left of its lease and not {least} to {most} ms");
                    self.loss(unit, state, &why);
                }
            }
            Err(error) if *error.kind() == ErrorKind::LeaseNotFound => {
                if answered + TOLERANCE < window.earliest {
                    self.loss(unit, state, "lost its lease before the deadline");
                }
            }
            Err(error) => {
                self.loss(unit, state, &format!("cannot ask for its lease: {error}"));
            }
        }
    }

    fn loss(&mut self, unit: UnitId, state: &Unit, what: &str) -> bool {
        self.losses.push(format!("{unit:?} {state:?} {what}"));
        false
    }

    /// Compares the file's history, as `(revision, key)` in order, with every revision that anybody was told.
    pub(crate) fn verify_history(&mut self, events: &[(u64, String)]) {
        let mut history: HashMap<u64, Vec<&str>> = HashMap::new();
        let mut last = 0;
        for (revision, key) in events {
            if *revision < last {
                self.losses.push(format!("history goes back from {last} to {revision}"));
            }
            last = *revision;
            history.entry(*revision).or_default().push(key);
        }
        for (revision, (unit, step)) in &self.used {
            let keys = history.get(revision).map(Vec::as_slice).unwrap_or_default();
            if !keys.iter().any(|key| unit_of(key).is_some_and(|(found, _)| found == *unit)) {
                self.losses
                    .push(format!("{unit:?} step {step} is not in the history at {revision}, there is {keys:?}"));
            }
        }
        for (revision, key) in &self.seen {
            if !history.get(revision).is_some_and(|keys| keys.contains(&key.as_str())) {
                self.losses.push(format!("a watch saw {key} at {revision}, which is not in the history"));
            }
        }
    }

    /// Forgets the steps that were found to stand without an acknowledgement: a next crash may still take them.
    pub(crate) fn forget_unacknowledged(&mut self) {
        for (unit, step) in std::mem::take(&mut self.unacknowledged) {
            if let Some(state) = self.units.get_mut(&unit) {
                let revision = std::mem::take(&mut state.revisions[usize::from(step)]);
                self.used.remove(&revision);
                state.done = step - 1;
                state.started = step;
            }
        }
    }

    /// How many events the writers' own watches saw.
    pub(crate) fn seen(&self) -> usize {
        self.seen.len()
    }
}
