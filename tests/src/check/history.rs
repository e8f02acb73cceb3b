use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Nanoseconds since the history began, by its own monotonic clock.
pub type Moment = u64;

/// What a part of a call asks of its key. Every write writes a value of its own: its number names the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing.
    Any,
    /// The key is absent.
    Absent,
    /// The key is present.
    Present,
    /// The key is as this write left it.
    Is(u64),
}

/// What a part of a call does to its key when its condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Read,
    /// Writes the value of this number.
    Put(u64),
    /// Deletes it.
    Delete,
}

/// A key's pair, as an answer showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The number of the value.
    pub id: u64,
    /// The revision that made this incarnation of the key.
    pub created: u64,
    /// The revision of its last write; of a deleted pair the deletion's.
    pub modified: u64,
    /// The writes since the creation, where the store counts them.
    pub version: Option<u64>,
}

/// The condition did not hold, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The key was absent.
    Absent,
    /// The key was present.
    Present,
    /// The key was present, and not as the named write left it.
    Other,
}

/// How a part of a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The condition held and the effect was had. The pair that was read, as the write left it, or that was deleted.
    Done(Option<Seen>),
    /// The condition did not hold.
    Refused(Refusal),
    /// Nobody knows: it may have its effect at any later time, once, or never.
    Unknown,
    /// It surely had no effect, and showed nothing.
    Failed,
}

/// What a call did to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The key.
    pub key: String,
    /// What it asked of the key.
    pub when: When,
    /// What it does to the key.
    pub effect: Effect,
    /// How that ended.
    pub answer: Answer,
}

/// One call; its parts happened in one atomic step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who made it.
    pub client: usize,
    /// Its name, for messages.
    pub verb: &'static str,
    /// Before it was made.
    pub invoked: Moment,
    /// After it was answered.
    pub returned: Moment,
    /// What it did to each of its keys.
    pub parts: Vec<Part>,
    /// The revision of its writes, or the one that its reads show.
    pub revision: Option<u64>,
}

impl Call {
    /// Whether it surely wrote.
    #[must_use]
    pub fn wrote(&self) -> bool {
        self.parts.iter().any(|part| part.effect != Effect::Read && matches!(part.answer, Answer::Done(_)))
    }

    /// Whether nobody knows how it ended.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.parts.iter().any(|part| part.answer == Answer::Unknown)
    }

    /// Whether it was answered: done, or refused for its condition.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.answer, Answer::Done(_) | Answer::Refused(_)))
    }
}

/// The calls of all clients.
#[derive(Debug)]
pub struct History {
    began: Instant,
    calls: Mutex<Vec<Call>>,
}

impl Default for History {
    fn default() -> Self {
        Self { began: Instant::now(), calls: Mutex::default() }
    }
}

impl History {
    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(Moment::MAX)
    }

    /// Notes a call that has ended.
    pub fn note(&self, call: Call) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// The calls so far, in the order in which they ended.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many calls have ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
