//! Whether an order of one key's calls explains every answer: the search of Wing and Gong with Lowe's memory.
//!
//! A call takes effect at one moment between its invocation and its return; one whose outcome is unknown at any moment
//! after its invocation, or never. Keys are judged one by one: a history is linearizable if it is so for each of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use super::register::{Held, Names, step};
use super::{Answer, Call, Effect, Moment, Part, When};

/// States that one key may cost. A run that needs more would be undecided, which is an error: make its keys shorter.
const STATES: usize = 2_000_000;

/// What the check looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Keys.
    pub keys: usize,
    /// Calls on them; one on several keys counts for each.
    pub calls: usize,
    /// States that the search went through.
    pub states: usize,
}

/// Wants an order of the calls of each key; every key is absent at first.
///
/// # Errors
/// The first key that has none, with the answers that cannot be explained.
pub fn check(calls: &[Call]) -> Result<Checked, String> {
    let mut keys: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
    let mut names: HashMap<&str, Names> = HashMap::new();
    for call in calls {
        for part in &call.parts {
            if let Answer::Done(Some(seen)) = part.answer
                && part.effect != Effect::Delete
            {
                names.entry(&part.key).or_default().insert(seen.modified, seen.id);
            }
            if let Some(item) = Item::of(call, part) {
                keys.entry(&part.key).or_default().push(item);
            }
        }
    }
    let mut checked = Checked { keys: keys.len(), ..Checked::default() };
    let none = Names::new();
    for (key, items) in keys {
        checked.calls += items.len();
        let search = Search::new(items, names.get(key).unwrap_or(&none));
        checked.states += search.run().map_err(|why| format!("{key} is not linearizable: {why}"))?;
    }
    Ok(checked)
}

/// A part of a call that may have had an effect or showed something.
#[derive(Clone, Copy, Debug)]
struct Item {
    client: usize,
    verb: &'static str,
    invoked: Moment,
    returned: Moment,
    asked: (When, Effect),
    answer: Answer,
}

impl Item {
    fn of(call: &Call, part: &Part) -> Option<Self> {
        let unknown = part.answer == Answer::Unknown;
        if part.answer == Answer::Failed || unknown && part.effect == Effect::Read {
            return None;
        }
        Some(Self {
            client: call.client,
            verb: call.verb,
            invoked: call.invoked,
            returned: if unknown { Moment::MAX } else { call.returned },
            asked: (part.when, part.effect),
            answer: part.answer,
        })
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, verb, invoked, returned, asked: (when, effect), answer } = self;
        write!(f, "client {client} {verb} ({when:?}, {effect:?}) from {invoked} to {returned}: {answer:?}")
    }
}

struct Search<'a> {
    /// By invocation: first those whose outcome is known, then the others.
    items: Vec<Item>,
    known: usize,
    names: &'a Names,
    done: Vec<u64>,
    /// Every known item before this one is done.
    low: usize,
}

/// A choice on the way: what may come next, and what to go back to.
struct Frame {
    candidates: Vec<usize>,
    next: usize,
    state: Option<Held>,
    low: usize,
    taken: Option<usize>,
}

impl<'a> Search<'a> {
    fn new(mut items: Vec<Item>, names: &'a Names) -> Self {
        items.sort_by_key(|item| (item.returned == Moment::MAX, item.invoked));
        let known = items.partition_point(|item| item.returned != Moment::MAX);
        let done = vec![0; items.len().div_ceil(64)];
        Self { items, known, names, done, low: 0 }
    }

    fn is_done(&self, item: usize) -> bool {
        self.done[item / 64] >> (item % 64) & 1 == 1
    }

    fn flip(&mut self, item: usize) {
        self.done[item / 64] ^= 1 << (item % 64);
    }

    /// What may come next: no other item that is not done returned before it was invoked. Those of unknown outcome come
    /// last: they are rarely needed.
    fn candidates(&self) -> Vec<usize> {
        let mut first_return = Moment::MAX;
        let mut candidates = Vec::new();
        for n in self.low..self.known {
            let item = &self.items[n];
            if item.invoked > first_return {
                break;
            }
            if !self.is_done(n) {
                first_return = first_return.min(item.returned);
                candidates.push(n);
            }
        }
        candidates.retain(|n| self.items[*n].invoked <= first_return);
        let unknown = self.known..self.items.len();
        candidates.extend(unknown.filter(|n| !self.is_done(*n) && self.items[*n].invoked <= first_return));
        candidates
    }

    /// The states it went through.
    fn run(mut self) -> Result<usize, String> {
        let mut seen: HashSet<(Vec<u64>, Option<Held>)> = HashSet::new();
        let (mut state, mut furthest) = (None, (0, None, Vec::new()));
        let mut frames = vec![Frame { candidates: self.candidates(), next: 0, state, low: 0, taken: None }];
        while self.low < self.known {
            if seen.len() > STATES {
                return Err(format!("undecided after {STATES} states of {} calls", self.items.len()));
            }
            let Some(frame) = frames.last_mut() else {
                return Err(self.explain(&furthest));
            };
            let Some(&item) = frame.candidates.get(frame.next) else {
                let Some(frame) = frames.pop() else { continue };
                if let Some(taken) = frame.taken {
                    self.flip(taken);
                }
                (state, self.low) = (frame.state, frame.low);
                continue;
            };
            frame.next += 1;
            let Item { asked, answer, .. } = self.items[item];
            let Some(next) = step(state, asked, answer, self.names) else { continue };
            self.flip(item);
            if !seen.insert((self.done.clone(), next)) {
                self.flip(item);
                continue;
            }
            let (before, low) = (state, self.low);
            state = next;
            while self.low < self.known && self.is_done(self.low) {
                self.low += 1;
            }
            let candidates = self.candidates();
            if self.low > furthest.0 {
                furthest = (self.low, state, candidates.clone());
            }
            frames.push(Frame { candidates, next: 0, state: before, low, taken: Some(item) });
        }
        Ok(seen.len())
    }

    fn explain(&self, (low, state, candidates): &(usize, Option<Held>, Vec<usize>)) -> String {
        let stuck: Vec<_> = if *low == 0 { self.candidates() } else { candidates.clone() };
        let shown = |n: &usize| self.items[*n].to_string();
        let stuck: Vec<String> = stuck.iter().take(6).map(shown).collect();
        let writer = state.and_then(|held| {
            self.items.iter().find(|item| item.asked.1 == Effect::Put(held.id)).map(|item| format!(", by {item}"))
        });
        format!(
            "after {low} of {} calls it holds {state:?}{}, and none can be next of {}",
            self.known,
            writer.unwrap_or_default(),
            stuck.join("; ")
        )
    }
}
