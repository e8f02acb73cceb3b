//! Whether the store's own history is what the clients were answered: for stores whose revisions order every write.
//!
//! The history is walked in the order of its revisions and every answer compared with it: acknowledged writes stand
//! where they were told to, once; nothing else stands but writes whose outcome is unknown; every read shows the state at
//! its revision; and no revision goes back in real time.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Answer, Call, Effect, Moment, Part, Seen, When};

/// One change of a key in the store's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The key.
    pub key: String,
    /// The number of the value, or `None` for a deletion.
    pub id: Option<u64>,
    /// The revision that made this incarnation.
    pub created: u64,
    /// The revision of the change.
    pub revision: u64,
    /// The writes since the creation, where the store counts them.
    pub version: Option<u64>,
}

/// What the comparison found; the lists are empty if the store kept its promises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Acknowledged writes that are not in the history.
    pub lost: Vec<String>,
    /// Writes that stand more than once.
    pub doubled: Vec<String>,
    /// Changes that nobody made, or that were refused.
    pub invented: Vec<String>,
    /// Reads and writes that show or take a revision from before what was answered earlier.
    pub stale: Vec<String>,
    /// Answers that differ from the history.
    pub wrong: Vec<String>,
    /// Calls of unknown outcome that stand.
    pub unknown_stand: usize,
}

impl Found {
    /// The first findings of each kind, or `None` if there are none.
    #[must_use]
    pub fn explain(&self) -> Option<String> {
        let kinds = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("invented", &self.invented),
            ("stale", &self.stale),
            ("wrong", &self.wrong),
        ];
        let told: Vec<String> = kinds
            .iter()
            .filter(|(_, found)| !found.is_empty())
            .map(|(kind, found)| {
                let first: Vec<_> = found.iter().take(3).map(String::as_str).collect();
                format!("{} {kind}: {}", found.len(), first.join("; "))
            })
            .collect();
        (!told.is_empty()).then(|| told.join("\n"))
    }
}

/// Compares the answers with the history, in which every key is absent at first.
#[must_use]
pub fn check(calls: &[Call], history: &[Written]) -> Found {
    let mut replay = Replay::new(calls);
    for written in history {
        replay.walk(written);
    }
    replay.finish()
}

/// A part of a call, by its place.
type Place = (usize, usize);

struct Replay<'a> {
    calls: &'a [Call],
    puts: HashMap<u64, Place>,
    deletions: HashMap<(&'a str, u64), Place>,
    /// Deletions of unknown outcome that are not found yet.
    maybe: HashMap<&'a str, Vec<Place>>,
    state: BTreeMap<String, Seen>,
    /// What each key was after each of its changes.
    past: HashMap<String, Vec<(u64, Option<Seen>)>>,
    standing: HashMap<Place, u64>,
    last: u64,
    found: Found,
}

impl<'a> Replay<'a> {
    fn new(calls: &'a [Call]) -> Self {
        let (mut puts, mut deletions, mut maybe) = (HashMap::new(), HashMap::new(), HashMap::<_, Vec<_>>::new());
        for (n, call) in calls.iter().enumerate() {
            for (m, part) in call.parts.iter().enumerate() {
                match (part.effect, part.answer) {
                    (Effect::Put(id), _) => {
                        puts.insert(id, (n, m));
                    }
                    (Effect::Delete, Answer::Done(Some(seen))) => {
                        deletions.insert((part.key.as_str(), seen.modified), (n, m));
                    }
                    (Effect::Delete, Answer::Unknown) => maybe.entry(part.key.as_str()).or_default().push((n, m)),
                    _ => {}
                }
            }
        }
        Self {
            calls,
            puts,
            deletions,
            maybe,
            state: BTreeMap::new(),
            past: HashMap::new(),
            standing: HashMap::new(),
            last: 0,
            found: Found::default(),
        }
    }

    fn call(&self, place: Place) -> &'a Call {
        &self.calls[place.0]
    }

    fn part(&self, place: Place) -> &'a Part {
        &self.calls[place.0].parts[place.1]
    }

    fn walk(&mut self, written: &Written) {
        let before = self.state.get(&written.key).copied();
        if written.revision < self.last {
            self.found.wrong.push(format!("the history goes back from {} to {written:?}", self.last));
        }
        self.last = written.revision;
        if before.is_some_and(|before| before.modified == written.revision) {
            self.found.doubled.push(format!("two changes of one key in one revision: {written:?}"));
        }
        let after = match written.id {
            Some(id) => self.put(written, id, before),
            None => self.deletion(written, before),
        };
        match after {
            Some(seen) => self.state.insert(written.key.clone(), seen),
            None => self.state.remove(&written.key),
        };
        self.past.entry(written.key.clone()).or_default().push((written.revision, after));
    }

    fn put(&mut self, written: &Written, id: u64, before: Option<Seen>) -> Option<Seen> {
        let after = Seen { id, created: written.created, modified: written.revision, version: written.version };
        let created = before.map_or(written.revision, |before| before.created);
        let version = before.map_or(Some(1), |before| before.version.map(|version| version + 1));
        if written.created != created || written.version.is_some() && written.version != version {
            self.found.wrong.push(format!("{written:?} over {before:?}"));
        }
        match self.puts.get(&id).copied() {
            Some(place) if self.part(place).key == written.key => self.stands(place, written, before, after),
            _ => self.found.invented.push(format!("nobody wrote {written:?}")),
        }
        Some(after)
    }

    fn deletion(&mut self, written: &Written, before: Option<Seen>) -> Option<Seen> {
        let Some(old) = before else {
            self.found.wrong.push(format!("{written:?} of an absent key"));
            return None;
        };
        let gone = Seen { modified: written.revision, ..old };
        if let Some(place) = self.deletions.get(&(written.key.as_str(), written.revision)).copied() {
            self.stands(place, written, before, gone);
            return None;
        }
        let parts = self.maybe.get(written.key.as_str()).map(Vec::as_slice).unwrap_or_default();
        // The earliest that fits: any other would be held to a later moment.
        let fits = |place: &&Place| {
            !self.standing.contains_key(*place)
                && match self.part(**place).when {
                    When::Is(id) => id == old.id,
                    _ => true,
                }
        };
        match parts.iter().filter(fits).min_by_key(|place| self.call(**place).invoked).copied() {
            Some(place) => self.stands(place, written, before, gone),
            None => self.found.invented.push(format!("nobody deleted {written:?}")),
        }
        None
    }

    /// The part of a call is this change: as it was answered, under its condition, once.
    fn stands(&mut self, place: Place, written: &Written, before: Option<Seen>, shown: Seen) {
        let (call, part) = (self.call(place), self.part(place));
        if let Some(earlier) = self.standing.insert(place, written.revision) {
            self.found.doubled.push(format!("at {earlier} and {}: {call:?}", written.revision));
        }
        let holds = match part.when {
            When::Any => true,
            When::Absent => before.is_none(),
            When::Present => before.is_some(),
            When::Is(id) => before.is_some_and(|before| before.id == id),
        };
        if !holds {
            self.found.wrong.push(format!("done over {before:?} at {}: {call:?}", written.revision));
        }
        match part.answer {
            Answer::Done(seen) if seen == Some(shown) => {}
            Answer::Unknown => {}
            Answer::Done(_) => self.found.wrong.push(format!("{shown:?} was answered so: {call:?}")),
            Answer::Refused(_) | Answer::Failed => self.found.invented.push(format!("{shown:?} was refused: {call:?}")),
        }
    }

    fn finish(mut self) -> Found {
        let mut placed = Vec::new();
        for (n, call) in self.calls.iter().enumerate() {
            let mut revisions = HashSet::new();
            for (m, part) in call.parts.iter().enumerate().filter(|(_, part)| part.effect != Effect::Read) {
                match (self.standing.get(&(n, m)), part.answer) {
                    (Some(revision), _) => {
                        revisions.insert(Some(*revision));
                    }
                    (None, Answer::Done(_)) => self.found.lost.push(format!("{call:?}")),
                    (None, _) => {
                        revisions.insert(None);
                    }
                }
            }
            if revisions.len() > 1 {
                self.found.wrong.push(format!("half of it stands: {call:?}"));
            }
            let stood = revisions.into_iter().next().flatten();
            self.found.unknown_stand += usize::from(stood.is_some() && call.is_unknown());
            if let Some(stood) = stood
                && call.revision.is_some_and(|told| told != stood)
            {
                self.found.wrong.push(format!("stands at {stood}: {call:?}"));
            }
            self.reads(call);
            if let Some(revision) = call.revision.or(stood) {
                placed.push(Placed { call, revision, returned: returned(call) });
            }
        }
        self.in_real_time(placed);
        self.found
    }

    fn reads(&mut self, call: &Call) {
        let Some(revision) = call.revision else { return };
        for part in call.parts.iter().filter(|part| part.effect == Effect::Read) {
            let Answer::Done(seen) = part.answer else { continue };
            let past = self.past.get(&part.key).map(Vec::as_slice).unwrap_or_default();
            let upto = past.partition_point(|(at, _)| *at <= revision);
            let there = upto.checked_sub(1).and_then(|n| past[n].1);
            if there != seen {
                self.found.wrong.push(format!("{} is {there:?} at {revision}: {call:?}", part.key));
            }
        }
    }

    /// What began after something was answered may not come before it.
    fn in_real_time(&mut self, mut placed: Vec<Placed<'_>>) {
        placed.sort_by_key(|placed| placed.call.invoked);
        let mut answered: Vec<(Moment, u64)> = placed.iter().map(|placed| (placed.returned, placed.revision)).collect();
        answered.sort_unstable();
        let (mut next, mut greatest) = (0, 0);
        for Placed { call, revision, .. } in placed {
            while let Some((_, earlier)) = answered.get(next).filter(|(returned, _)| *returned < call.invoked) {
                greatest = greatest.max(*earlier);
                next += 1;
            }
            let writes = call.parts.iter().any(|part| part.effect != Effect::Read && part.answer != Answer::Failed);
            let late =
                if writes && (call.wrote() || call.is_unknown()) { revision <= greatest } else { revision < greatest };
            if late {
                self.found
                    .stale
                    .push(format!("{greatest} was answered before it began, it is at {revision}: {call:?}"));
            }
        }
    }
}

struct Placed<'a> {
    call: &'a Call,
    revision: u64,
    returned: Moment,
}

fn returned(call: &Call) -> Moment {
    if call.is_unknown() { Moment::MAX } else { call.returned }
}
