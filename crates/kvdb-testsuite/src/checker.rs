//! The watch checker: nine rules that every stream of an ordered store keeps.
//!
//! Ordered, unique, reliable, atomic per revision, resumable, bookmarkable, filter, create told from set rightly,
//! previous value equals the replayed state. Reliable and atomic are judged against [`Truth`]: what the writers were
//! answered. Resumable is judged by running a second stream from the middle of the first ([`Checker::resume`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use kvdb_core::{Event, KvAction, KvPair, Revision};

/// One change, as a writer was answered or a reader was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The revision of the change.
    pub revision: Revision,
    /// The key.
    pub key: String,
    /// `None` for a deletion.
    pub value: Option<Bytes>,
    /// The revision that made this incarnation of the key.
    pub created: Revision,
}

impl Told {
    fn of(event: &Event) -> Option<Self> {
        let pair = event.pair()?;
        Some(Self {
            revision: pair.modified_index,
            key: pair.key.clone(),
            // A copy: what is compared later must not keep the stream's own buffers alive.
            value: matches!(event, Event::Put(_)).then(|| Bytes::copy_from_slice(&pair.value)),
            created: pair.created_index,
        })
    }
}

/// What concurrent writers were answered, by revision.
#[derive(Debug, Default)]
pub struct Truth(Mutex<BTreeMap<(Revision, String), Told>>);

impl Truth {
    /// Notes an answered put.
    pub fn put(&self, pair: &KvPair) {
        self.note(pair, Some(pair.value.clone()));
    }

    /// Notes an answered deletion.
    pub fn deleted(&self, pair: &KvPair) {
        self.note(pair, None);
    }

    fn note(&self, pair: &KvPair, value: Option<Bytes>) {
        let told = Told { revision: pair.modified_index, key: pair.key.clone(), value, created: pair.created_index };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((told.revision, told.key.clone()), told);
    }

    /// Everything above a revision whose key passes, in order of revision and key.
    pub fn above(&self, after: Revision, filter: impl Fn(&str) -> bool) -> Vec<Told> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().filter(|told| told.revision > after && filter(&told.key)).cloned().collect()
    }

    /// The greatest revision that was answered.
    pub fn last(&self) -> Revision {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.keys().next_back().map_or(Revision::ZERO, |(revision, _)| *revision)
    }
}

/// Follows one stream and refuses the first event that breaks a rule.
#[derive(Debug)]
pub struct Checker {
    prefix: String,
    previous: bool,
    start: Revision,
    /// Whether the state at the start is known, so that create and previous can be judged from the first event.
    replayed: bool,
    state: BTreeMap<String, (Revision, Bytes)>,
    absent: BTreeSet<String>,
    bookmark: Revision,
    synced: bool,
    told: Vec<Told>,
}

impl Checker {
    /// A stream of the keys that begin with `prefix`, from `start` (exclusive), where nothing was there.
    pub fn from_empty(prefix: &str, start: Revision) -> Self {
        Self {
            prefix: prefix.to_owned(),
            previous: false,
            start,
            replayed: true,
            state: BTreeMap::new(),
            absent: BTreeSet::new(),
            bookmark: Revision::ZERO,
            synced: true,
            told: Vec::new(),
        }
    }

    /// A stream from the middle: what was there at the start shows with the first event of each key.
    pub fn from_the_middle(prefix: &str, start: Revision) -> Self {
        Self { replayed: false, ..Self::from_empty(prefix, start) }
    }

    /// A stream that begins with the present state.
    pub fn from_current(prefix: &str) -> Self {
        Self { synced: false, ..Self::from_empty(prefix, Revision::ZERO) }
    }

    /// The events carry the pair before them: compare it with the replayed state.
    pub fn with_previous(mut self) -> Self {
        self.previous = true;
        self
    }

    /// The revision of the last change.
    pub fn last(&self) -> Revision {
        self.told.last().map_or(self.start, |told| told.revision)
    }

    /// What was told, without the present state that a `current` stream began with.
    pub fn told(&self) -> &[Told] {
        &self.told
    }

    /// Where the stream began: for a `current` stream the revision of its `Synced`.
    pub fn start(&self) -> Revision {
        self.start
    }

    /// The present state by replay.
    pub fn state(&self) -> BTreeMap<String, Bytes> {
        self.state.iter().map(|(key, (_, value))| (key.clone(), value.clone())).collect()
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn take(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Progress(revision) => {
                self.bookmark = self.bookmark.max(*revision);
                return Ok(());
            }
            Event::Synced(revision) => {
                if self.synced {
                    return Err(format!("unique: Synced({revision}) came again or unasked"));
                }
                self.synced = true;
                self.start = *revision;
                return Ok(());
            }
            Event::Resynced { .. } => return Err(format!("unasked {event:?}")),
            _ => {}
        }
        let told = Told::of(event).ok_or_else(|| format!("unknown event {event:?}"))?;
        if !told.key.starts_with(&self.prefix) {
            return Err(format!("filter: {} is not below {}", told.key, self.prefix));
        }
        if !self.synced {
            return self.take_present(&told);
        }
        self.in_order(&told)?;
        self.against_state(event, &told)?;
        self.told.push(told);
        Ok(())
    }

    fn take_present(&mut self, told: &Told) -> Result<(), String> {
        let Some(value) = &told.value else {
            return Err(format!("current: {} told as deleted before Synced", told.key));
        };
        match self.state.insert(told.key.clone(), (told.created, value.clone())) {
            None => Ok(()),
            Some(_) => Err(format!("unique: {} told twice in the present state", told.key)),
        }
    }

    fn in_order(&self, told: &Told) -> Result<(), String> {
        if told.revision <= self.start {
            return Err(format!("after {}: told of {} at {}", self.start, told.key, told.revision));
        }
        if told.revision <= self.bookmark {
            return Err(format!("bookmarkable: {} at {} after Progress({})", told.key, told.revision, self.bookmark));
        }
        if told.revision < self.last() {
            return Err(format!("ordered: {} at {} after {}", told.key, told.revision, self.last()));
        }
        let mut same = self.told.iter().rev().take_while(|earlier| earlier.revision == told.revision);
        if same.any(|earlier| earlier.key == told.key) {
            return Err(format!("unique: {} at {} told twice", told.key, told.revision));
        }
        Ok(())
    }

    fn against_state(&mut self, event: &Event, told: &Told) -> Result<(), String> {
        let pair = event.pair().ok_or("no pair")?;
        let before = self.state.get(&told.key).cloned();
        let known = self.replayed || before.is_some() || self.absent.contains(&told.key);
        if known {
            let expected = match (&before, event) {
                (None, Event::Put(_)) => KvAction::Create,
                (Some(_), Event::Put(_)) => KvAction::Set,
                (Some(_), Event::Expire(_)) => KvAction::Expire,
                (Some(_), _) => KvAction::Delete,
                (None, _) => return Err(format!("create or set: {} deleted while absent", told.key)),
            };
            if pair.action != expected {
                return Err(format!("create or set: {} at {} is {:?}", told.key, told.revision, pair.action));
            }
            let created = before.as_ref().map_or(told.revision, |(created, _)| *created);
            if told.created != created {
                return Err(format!("created index of {} is {}, not {created}", told.key, told.created));
            }
            if self.previous {
                let previous = pair.previous.as_ref().map(|pair| (pair.created_index, pair.value.clone()));
                if previous != before {
                    return Err(format!("previous: {} at {}: {previous:?}, not {before:?}", told.key, told.revision));
                }
            }
        }
        match &told.value {
            Some(value) => {
                self.absent.remove(&told.key);
                self.state.insert(told.key.clone(), (told.created, value.clone()));
            }
            None => {
                self.state.remove(&told.key);
                self.absent.insert(told.key.clone());
            }
        }
        Ok(())
    }

    /// Compares the whole stream with what the writers were answered: reliable, atomic per revision, nothing invented.
    ///
    /// # Errors
    /// The first difference.
    pub fn finish(&self, truth: &Truth) -> Result<(), String> {
        let expected = truth.above(self.start, |key| key.starts_with(&self.prefix));
        let mut told = self.told.clone();
        told.sort_by(|a, b| (a.revision, &a.key).cmp(&(b.revision, &b.key)));
        for (n, told) in told.iter().enumerate() {
            match expected.get(n) {
                Some(expected) if expected == told => {}
                expected => return Err(format!("reliable: told {told:?} where the truth is {expected:?}")),
            }
        }
        match expected.get(told.len()) {
            None => Ok(()),
            Some(missing) => Err(format!("reliable: {missing:?} was never told")),
        }
    }

    /// Compares a stream that began in the middle of this one with the rest of this one.
    ///
    /// # Errors
    /// The first difference.
    pub fn resume(&self, second: &Self) -> Result<(), String> {
        let rest: Vec<_> = self.told.iter().filter(|told| told.revision > second.start).collect();
        let again: Vec<_> = second.told.iter().collect();
        if rest == again {
            return Ok(());
        }
        let n = rest.iter().zip(&again).take_while(|(a, b)| a == b).count();
        Err(format!("resumable after {}: {:?} where it was {:?}", second.start, again.get(n), rest.get(n)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, revision: u64, created: u64, action: KvAction) -> Event {
        let mut pair = KvPair::new(key, format!("{revision}"));
        pair.modified_index = revision.into();
        pair.created_index = created.into();
        pair.action = action;
        Event::Put(pair)
    }

    fn gone(key: &str, revision: u64, created: u64) -> Event {
        let Event::Put(pair) = put(key, revision, created, KvAction::Delete) else { unreachable!() };
        Event::Delete(pair)
    }

    fn refused(events: &[Event], rule: &str) {
        let mut checker = Checker::from_empty("a/", Revision::new(1));
        let refused = events.iter().find_map(|event| checker.take(event).err());
        assert!(refused.as_ref().is_some_and(|text| text.starts_with(rule)), "{rule}: {refused:?}");
    }

    #[test]
    fn each_rule_bites() {
        let (create, set) = (KvAction::Create, KvAction::Set);
        refused(&[put("a/x", 3, 3, create), put("a/y", 2, 2, create)], "ordered");
        refused(&[put("a/x", 3, 3, create), put("a/x", 3, 3, set)], "unique");
        refused(&[Event::Progress(Revision::new(5)), put("a/x", 5, 5, create)], "bookmarkable");
        refused(&[put("ab", 3, 3, create)], "filter");
        refused(&[put("a/x", 3, 3, create), put("a/x", 4, 4, create)], "create or set");
        refused(&[gone("a/x", 3, 2)], "create or set");
        refused(&[put("a/x", 1, 1, create)], "after");
        refused(&[Event::Synced(Revision::new(5))], "unique");
        refused(&[put("a/x", 3, 3, create), put("a/x", 4, 2, set)], "created");
    }

    #[test]
    fn a_missing_and_an_invented_event_and_a_torn_revision_are_found() {
        let truth = Truth::default();
        for event in [put("a/x", 3, 3, KvAction::Create), put("a/y", 3, 3, KvAction::Create)] {
            truth.put(event.pair().unwrap());
        }
        let mut checker = Checker::from_empty("a/", Revision::new(1));
        checker.take(&put("a/x", 3, 3, KvAction::Create)).unwrap();
        assert!(checker.finish(&truth).unwrap_err().contains("never told"));
        checker.take(&put("a/y", 3, 3, KvAction::Create)).unwrap();
        checker.finish(&truth).unwrap();
        checker.take(&put("a/z", 4, 4, KvAction::Create)).unwrap();
        assert!(checker.finish(&truth).unwrap_err().contains("truth is None"));
    }

    #[test]
    fn a_wrong_previous_value_is_found() {
        let mut checker = Checker::from_empty("a/", Revision::new(1)).with_previous();
        checker.take(&put("a/x", 3, 3, KvAction::Create)).unwrap();
        assert!(checker.take(&put("a/x", 4, 3, KvAction::Set)).unwrap_err().starts_with("previous"));
    }
}
