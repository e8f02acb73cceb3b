//! The model: what every verb must answer, by a map, a revision and a history. No code of the project's stores.

use std::collections::BTreeMap;
use std::time::Duration;

use kvdb_core::{ErrorKind, KvAction};

use super::step::{Aim, When};

/// A key as the model knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) value: Vec<u8>,
    pub(super) created: u64,
    pub(super) modified: u64,
    pub(super) version: u64,
    pub(super) lease: Option<usize>,
}

/// A change as the watch must tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) revision: u64,
    pub(super) key: String,
    pub(super) action: KvAction,
    /// The new value; of a deletion the old one.
    pub(super) value: Vec<u8>,
    pub(super) created: u64,
    pub(super) before: Option<Vec<u8>>,
}

/// What the store must be like.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) revision: u64,
    pub(super) keys: BTreeMap<String, Known>,
    /// The state at each revision since the beginning.
    states: BTreeMap<u64, BTreeMap<String, Known>>,
    /// What each key was last, also when it is gone.
    last: BTreeMap<String, Known>,
    pub(super) happened: Vec<Happened>,
    /// As [`crate::Store::leases_make_anew`] says.
    leases_make_anew: bool,
    /// The TTL of every lease there ever was.
    pub(super) ttls: Vec<Duration>,
}

/// Which key conditions a step resolves to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) exists: Option<bool>,
    pub(super) created: Option<u64>,
    pub(super) modified: Option<u64>,
    pub(super) value: Option<Vec<u8>>,
}

/// A value of the program as bytes; 0 is the empty value.
pub(super) fn bytes_of(value: u16) -> Vec<u8> {
    if value == 0 { Vec::new() } else { format!("v{value}").into_bytes() }
}

impl Model {
    /// An empty directory in a store at this revision.
    pub(super) fn new(revision: u64, leases_make_anew: bool) -> Self {
        Self {
            revision,
            keys: BTreeMap::new(),
            states: BTreeMap::from([(revision, BTreeMap::new())]),
            last: BTreeMap::new(),
            happened: Vec::new(),
            leases_make_anew,
            ttls: Vec::new(),
        }
    }

    /// The state at a revision.
    pub(super) fn at(&self, revision: u64) -> BTreeMap<String, Known> {
        self.states.range(..=revision).next_back().map(|(_, state)| state.clone()).unwrap_or_default()
    }

    /// The keys of a directory in a state, in order.
    pub(super) fn below(state: &BTreeMap<String, Known>, prefix: &str) -> Vec<(String, Known)> {
        let inside = |key: &str| match prefix {
            "" => true,
            _ => key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/')),
        };
        state.iter().filter(|(key, _)| inside(key)).map(|(key, known)| (key.clone(), known.clone())).collect()
    }

    /// The conditions that a step's `When` names for a key.
    pub(super) fn resolve(&self, key: &str, when: When) -> Asked {
        let known = self.last.get(key);
        let modified = |aim| match aim {
            Aim::Right => known.map_or(self.revision, |known| known.modified),
            Aim::Wrong => known.map_or(self.revision, |known| known.modified) + 1_000_000,
        };
        let created = |aim| match aim {
            Aim::Right => known.map_or(self.revision, |known| known.created),
            Aim::Wrong => known.map_or(self.revision, |known| known.created) + 1_000_000,
        };
        let value = |aim| match aim {
            Aim::Right => known.map_or_else(Vec::new, |known| known.value.clone()),
            Aim::Wrong => b"another".to_vec(),
        };
        let none = Asked::default();
        match when {
            When::Revision(aim) => Asked { modified: Some(modified(aim)), ..none },
            When::Created(aim) => Asked { created: Some(created(aim)), ..none },
            When::Value(aim) => Asked { value: Some(value(aim)), ..none },
            When::ValueAndRevision(one, other) => {
                Asked { value: Some(value(one)), modified: Some(modified(other)), ..none }
            }
            When::Present => Asked { exists: Some(true), ..none },
            When::Absent => Asked { exists: Some(false), ..none },
        }
    }

    /// What a key was last, also when it is gone.
    pub(super) fn last(&self, key: &str) -> Option<&Known> {
        self.last.get(key)
    }

    /// The refusals that the contract allows for these conditions; empty if they all hold.
    pub(super) fn refusals(&self, key: &str, asked: &Asked) -> Vec<ErrorKind> {
        let Some(known) = self.keys.get(key) else {
            let present = asked.exists == Some(true)
                || asked.created.is_some()
                || asked.modified.is_some()
                || asked.value.is_some();
            return if present { vec![ErrorKind::NotFound] } else { Vec::new() };
        };
        let mut refusals = Vec::new();
        if asked.exists == Some(false) {
            refusals.push(ErrorKind::AlreadyExists);
        }
        if asked.created.is_some_and(|created| created != known.created)
            || asked.modified.is_some_and(|modified| modified != known.modified)
        {
            refusals.push(ErrorKind::Modified);
        }
        if asked.value.as_ref().is_some_and(|value| *value != known.value) {
            refusals.push(ErrorKind::ValueMismatch);
        }
        refusals
    }

    /// Writes a key at a revision, anew if its lease asks for it; answers what it is then, how that is called, and what
    /// was there.
    pub(super) fn put(
        &mut self,
        revision: u64,
        key: &str,
        value: Vec<u8>,
        lease: Option<usize>,
    ) -> (Known, KvAction, Option<Known>) {
        let before = self.keys.get(key).cloned();
        let same = before.as_ref().filter(|before| !self.makes_anew(before.lease, lease));
        let known = Known {
            value,
            created: same.map_or(revision, |before| before.created),
            modified: revision,
            version: same.map_or(0, |before| before.version) + 1,
            lease,
        };
        let action = if same.is_some() { KvAction::Set } else { KvAction::Create };
        self.happened.push(Happened {
            revision,
            key: key.to_owned(),
            action,
            value: known.value.clone(),
            created: known.created,
            before: before.as_ref().map(|before| before.value.clone()),
        });
        self.keys.insert(key.to_owned(), known.clone());
        self.last.insert(key.to_owned(), known.clone());
        self.seal(revision);
        (known, action, before)
    }

    /// Whether a key that goes from one lease, or none, to another is a new one.
    fn makes_anew(&self, from: Option<usize>, to: Option<usize>) -> bool {
        let ttl = |lease: Option<usize>| lease.and_then(|lease| self.ttls.get(lease));
        self.leases_make_anew && ttl(from) != ttl(to)
    }

    /// Removes keys at one revision.
    pub(super) fn remove(&mut self, revision: u64, keys: &[String], action: KvAction) {
        for key in keys {
            if let Some(known) = self.keys.remove(key) {
                self.happened.push(Happened {
                    revision,
                    key: key.clone(),
                    action,
                    value: known.value.clone(),
                    created: known.created,
                    before: Some(known.value),
                });
            }
        }
        self.seal(revision);
    }

    fn seal(&mut self, revision: u64) {
        self.revision = revision;
        self.states.insert(revision, self.keys.clone());
    }

    /// The keys attached to a lease slot, in order.
    pub(super) fn attached(&self, slot: usize) -> Vec<String> {
        self.keys.iter().filter(|(_, known)| known.lease == Some(slot)).map(|(key, _)| key.clone()).collect()
    }

    /// First-level names below a directory.
    pub(super) fn names(&self, prefix: &str) -> Vec<String> {
        let cut = if prefix.is_empty() { 0 } else { prefix.len() + 1 };
        let mut names: Vec<String> = Self::below(&self.keys, prefix)
            .iter()
            .filter_map(|(key, _)| key.get(cut..)?.split('/').next().map(str::to_owned))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// What happened above a revision.
    pub(super) fn since(&self, revision: u64) -> Vec<Happened> {
        self.happened.iter().filter(|happened| happened.revision > revision).cloned().collect()
    }
}
