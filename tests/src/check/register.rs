use std::collections::HashMap;

use super::{Answer, Effect, Refusal, Seen, When};

/// What one key holds: the write that left it, the write that made this incarnation, and the writes since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Held {
    pub(super) id: u64,
    first: u64,
    version: u64,
}

/// Which write took a revision, as far as any answer told.
pub(super) type Names = HashMap<u64, u64>;

/// The state behind a part of a call, or `None` if it cannot have been answered so in this state.
pub(super) fn step(
    state: Option<Held>,
    (when, effect): (When, Effect),
    answer: Answer,
    names: &Names,
) -> Option<Option<Held>> {
    let holds = match when {
        When::Any => true,
        When::Absent => state.is_none(),
        When::Present => state.is_some(),
        When::Is(id) => state.is_some_and(|held| held.id == id),
    };
    let next = match effect {
        Effect::Read => state,
        Effect::Delete => None,
        Effect::Put(id) => Some(match state {
            Some(held) => Held { id, version: held.version + 1, ..held },
            None => Held { id, first: id, version: 1 },
        }),
    };
    match answer {
        Answer::Unknown => holds.then_some(next),
        Answer::Done(seen) => {
            let shown = if effect == Effect::Delete { state } else { next };
            (holds && agrees(shown, seen, names)).then_some(next)
        }
        Answer::Refused(refusal) => {
            let told = match refusal {
                Refusal::Absent => state.is_none(),
                Refusal::Present | Refusal::Other => state.is_some(),
            };
            (!holds && told).then_some(state)
        }
        Answer::Failed => Some(state),
    }
}

fn agrees(held: Option<Held>, seen: Option<Seen>, names: &Names) -> bool {
    match (held, seen) {
        (None, None) => true,
        (Some(held), Some(seen)) => {
            held.id == seen.id
                && seen.version.is_none_or(|version| version == held.version)
                && names.get(&seen.created).is_none_or(|first| *first == held.first)
        }
        _ => false,
    }
}
