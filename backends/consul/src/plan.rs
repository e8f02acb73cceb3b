//! A batch as one of the transactions that could do it.
//!
//! Consul has no verb that writes a key whatever stands there: a plain set leaves the session of before on the key. So
//! each write has a form for an absent key, a free one and one that a session holds, each of which checks that it is
//! the right one. A wrong guess writes nothing, and the refusal tells what stands there.

use std::sync::Arc;

use kvdb_core::{Batch, Capabilities, Error, Guard, Key, LeaseId, Op, Result};

use crate::lease;
use crate::url::text;
use crate::wire::{Base64, KvOp};

/// What is believed to stand at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is known: tried as absent, or by a form that fits absent and free keys.
    Unknown,
    Absent,
    /// Present, and no session holds it.
    Free,
    /// This session holds it.
    Held(Arc<str>),
}

/// What is believed about the key of one op.
#[derive(Clone, Debug)]
pub(crate) struct Belief {
    pub(crate) state: State,
    /// The op's own guard leaves no other state.
    pub(crate) sure: bool,
    /// The random number that the write leaves with the key, so that it is a change whatever the value, and known as
    /// ours (contract 2.5, 10.4).
    pub(crate) flags: u64,
}

/// What it means that an operation refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A guard of the batch does not hold.
    Guard,
    /// The state that was believed of this op's key is another.
    State(usize),
    /// The marker cannot be written.
    Marker,
}

#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) op: KvOp<'a>,
    pub(crate) role: Role,
}

/// The key of an op.
pub(crate) fn key_of(op: &Op) -> Result<&Key> {
    match op {
        Op::Put { key, .. } | Op::Delete { key, .. } => Ok(key),
        Op::DeleteRange { .. } => Err(Error::unsupported(Capabilities::DELETE_RANGE)),
    }
}

/// The guard on the key of an op, the first if there are several.
pub(crate) fn guard_of<'a>(batch: &'a Batch, op: &Op) -> Option<&'a Guard> {
    let key = key_of(op).ok()?;
    batch.guards.iter().find(|guard| guard.key() == key)
}

/// Whether the transaction deletes a key and so needs a marker: a put tells the index as well.
pub(crate) fn needs_marker(batch: &Batch, beliefs: &[Belief]) -> bool {
    let puts = batch.ops.iter().any(|op| matches!(op, Op::Put { .. }));
    let pairs = batch.ops.iter().zip(beliefs);
    !puts && { pairs }.any(|(op, belief)| matches!(op, Op::Delete { .. }) && belief.state != State::Absent)
}

/// The transaction: guards first, then each write in its form, then the marker.
pub(crate) fn steps<'a>(
    batch: &'a Batch,
    beliefs: &'a [Belief],
    marker: Option<(&'a str, u64)>,
) -> Result<Vec<Step<'a>>> {
    let mut steps = Vec::with_capacity(batch.guards.len() + 2 * batch.ops.len() + 1);
    for guard in &batch.guards {
        if !in_the_write(batch, beliefs, guard) {
            steps.push(Step { op: check(guard)?, role: Role::Guard });
        }
    }
    for (at, (op, belief)) in batch.ops.iter().zip(beliefs).enumerate() {
        let mut forms = Forms { steps: &mut steps, key: text(key_of(op)?)?, at, belief, guard: guard_of(batch, op) };
        match op {
            Op::Put { value, lease: None, previous, .. } => forms.put(value, *previous),
            Op::Put { value, lease: Some(lease), previous, .. } => forms.put_held(value, lease, *previous)?,
            _ => forms.delete(matches!(op, Op::Delete { previous: true, .. })),
        }
    }
    if let Some((key, flags)) = marker {
        let op = KvOp { verb: "set", key, value: Some(Base64(b"")), flags: Some(flags), ..KvOp::default() };
        steps.push(Step { op, role: Role::Marker });
    }
    Ok(steps)
}

/// Whether the form of a write checks this guard by itself.
fn in_the_write(batch: &Batch, beliefs: &[Belief], guard: &Guard) -> bool {
    let written = batch.ops.iter().zip(beliefs).find(|(op, _)| key_of(op).is_ok_and(|key| key == guard.key()));
    let Some((op, belief)) = written else { return false };
    if guard_of(batch, op) != Some(guard) {
        return false;
    }
    match (guard, op, &belief.state) {
        (Guard::Absent(_), Op::Put { lease: None, .. }, State::Unknown | State::Absent)
        | (Guard::Unchanged(..), Op::Put { lease: None, .. }, State::Free) => true,
        (Guard::Present(_), _, state) => matches!(state, State::Free | State::Held(_)),
        _ => false,
    }
}

fn check(guard: &Guard) -> Result<KvOp<'_>> {
    let key = text(guard.key())?;
    Ok(match guard {
        Guard::Absent(_) => KvOp { verb: "check-not-exists", key, ..KvOp::default() },
        Guard::Present(_) => KvOp { verb: "get", key, ..KvOp::default() },
        Guard::Unchanged(_, revision) => {
            KvOp { verb: "check-index", key, index: Some(revision.get()), ..KvOp::default() }
        }
    })
}

struct Forms<'a, 's> {
    steps: &'s mut Vec<Step<'a>>,
    key: &'a str,
    at: usize,
    belief: &'a Belief,
    guard: Option<&'a Guard>,
}

impl<'a> Forms<'a, '_> {
    fn push(&mut self, op: KvOp<'a>) {
        self.steps.push(Step { op, role: Role::State(self.at) });
    }

    fn verb(&self, verb: &'static str) -> KvOp<'a> {
        KvOp { verb, key: self.key, ..KvOp::default() }
    }

    fn write(&self, verb: &'static str, value: &'a [u8]) -> KvOp<'a> {
        KvOp { value: Some(Base64(value)), flags: Some(self.belief.flags), ..self.verb(verb) }
    }

    /// Answers what was there.
    fn previous(&mut self, wanted: bool) {
        if wanted {
            self.push(self.verb("get"));
        }
    }

    fn check_session(&mut self, session: &'a str) {
        if !self.belief.sure {
            self.push(KvOp { session: Some(session), ..self.verb("check-session") });
        }
    }

    fn put(&mut self, value: &'a [u8], previous: bool) {
        match &self.belief.state {
            State::Unknown | State::Absent => {
                let role =
                    if matches!(self.guard, Some(Guard::Absent(_))) { Role::Guard } else { Role::State(self.at) };
                self.steps.push(Step { op: KvOp { index: Some(0), ..self.write("cas", value) }, role });
            }
            State::Free => {
                self.previous(previous);
                self.check_session("");
                match self.guard {
                    Some(Guard::Unchanged(_, revision)) => {
                        let op = KvOp { index: Some(revision.get()), ..self.write("cas", value) };
                        self.steps.push(Step { op, role: Role::Guard });
                    }
                    _ => self.push(self.write("set", value)),
                }
            }
            State::Held(session) => {
                self.previous(previous);
                self.push(KvOp { session: Some(session), ..self.write("unlock", value) });
            }
        }
    }

    fn put_held(&mut self, value: &'a [u8], lease: &'a LeaseId, previous: bool) -> Result<()> {
        let ours = lease::session(lease)?;
        match &self.belief.state {
            State::Unknown => {}
            State::Absent => {
                if !matches!(self.guard, Some(Guard::Absent(_))) {
                    self.push(self.verb("check-not-exists"));
                }
            }
            State::Free => {
                self.previous(previous);
                self.check_session("");
            }
            State::Held(session) if **session == *ours => {
                self.previous(previous);
                self.check_session(session);
            }
            State::Held(session) => {
                self.previous(previous);
                self.push(KvOp { session: Some(session), ..self.write("unlock", b"") });
            }
        }
        self.push(KvOp { session: Some(ours), ..self.write("lock", value) });
        Ok(())
    }

    fn delete(&mut self, previous: bool) {
        if self.belief.state == State::Absent {
            if !matches!(self.guard, Some(Guard::Absent(_))) {
                self.push(self.verb("check-not-exists"));
            }
            return;
        }
        // The read is what fails on an absent key: a deletion does not.
        if previous || !matches!(self.guard, Some(Guard::Unchanged(..))) {
            self.push(self.verb("get"));
        }
        self.push(self.verb("delete"));
    }
}

/// What a refusal tells of a key's state; `None` for a text that says nothing about it.
pub(crate) fn lesson(what: &str) -> Option<State> {
    // Keys stand quoted in the middle: what is compared is behind them.
    if what.ends_with("doesn't exist") {
        return Some(State::Absent);
    }
    if let Some((_, after)) = what.rsplit_once("current session \"") {
        let (session, _) = after.split_once('"')?;
        return Some(if session.is_empty() { State::Free } else { State::Held(session.into()) });
    }
    let free =
        ["\" exists", "index is stale", "lock isn't held, or is held by another session", "lock is already held"];
    free.iter().any(|end| what.ends_with(end)).then_some(State::Free)
}

#[cfg(test)]
mod tests {
    use kvdb_core::Revision;

    use super::*;

    const S: &str = "1e14370d-ad5d-f95f-d5f6-e99012520949";
    const L: &str = "b7977181-b40b-f2db-71e1-a3a72977e416";

    fn held(session: &str) -> State {
        State::Held(session.into())
    }

    fn put(lease: Option<&str>, previous: bool) -> Op {
        let lease = lease.map(|lease| LeaseId::Text(lease.into()));
        Op::Put { key: "k".into(), value: "v".into(), lease, previous }
    }

    fn delete(previous: bool) -> Op {
        Op::Delete { key: "k".into(), previous }
    }

    /// The verbs, `!` behind those whose refusal is a conflict.
    fn verbs(guards: Vec<Guard>, op: Op, state: State, sure: bool) -> String {
        let batch = Batch { guards, ops: vec![op] };
        let beliefs = [Belief { state, sure, flags: 7 }];
        let marker = needs_marker(&batch, &beliefs).then_some(("_kvdb/deleted", 8));
        let steps = steps(&batch, &beliefs, marker).unwrap();
        let name = |step: &Step<'_>| format!("{}{}", step.op.verb, if step.role == Role::Guard { "!" } else { "" });
        steps.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_write_has_a_form_for_each_state() {
        let absent = || vec![Guard::Absent("k".into())];
        let present = || vec![Guard::Present("k".into())];
        let same = || vec![Guard::Unchanged("k".into(), Revision::new(9))];
        let none = Vec::new;
        let table: Vec<(Vec<Guard>, Op, State, bool, &str)> = vec![
            (none(), put(None, false), State::Unknown, false, "cas"),
            (none(), put(None, true), State::Absent, false, "cas"),
            (none(), put(None, false), State::Free, false, "check-session set"),
            (none(), put(None, true), State::Free, false, "get check-session set"),
            (none(), put(None, false), held(S), false, "unlock"),
            (none(), put(Some(L), false), State::Unknown, false, "lock"),
            (none(), put(Some(L), true), State::Absent, false, "check-not-exists lock"),
            (none(), put(Some(L), false), State::Free, false, "check-session lock"),
            (none(), put(Some(L), false), held(L), false, "check-session lock"),
            (none(), put(Some(L), true), held(S), false, "get unlock lock"),
            (absent(), put(None, false), State::Unknown, false, "cas!"),
            (absent(), put(Some(L), false), State::Absent, false, "check-not-exists! lock"),
            (present(), put(None, false), State::Free, false, "check-session set"),
            (present(), put(None, false), held(S), false, "unlock"),
            (present(), delete(false), State::Free, false, "get delete set"),
            (same(), put(None, false), State::Free, true, "cas!"),
            (same(), put(None, false), State::Free, false, "check-session cas!"),
            (same(), put(None, false), held(S), true, "check-index! unlock"),
            (same(), put(Some(L), false), State::Free, true, "check-index! lock"),
            (same(), put(Some(L), false), held(S), true, "check-index! unlock lock"),
            (same(), delete(false), State::Free, false, "check-index! delete set"),
            (same(), delete(true), held(S), false, "check-index! get delete set"),
            (none(), delete(true), State::Free, false, "get delete set"),
            (none(), delete(false), State::Absent, false, "check-not-exists"),
        ];
        for (guards, op, state, sure, expected) in table {
            let case = format!("{guards:?} {op:?} {state:?} {sure}");
            assert_eq!(verbs(guards, op, state, sure), expected, "{case}");
        }
    }

    #[test]
    fn guards_beside_the_writes_are_checked_first() {
        let batch = Batch {
            guards: vec![
                Guard::Present("a".into()),
                Guard::Absent("b".into()),
                Guard::Unchanged("k".into(), Revision::new(1)),
                Guard::Unchanged("k".into(), Revision::new(2)),
            ],
            ops: vec![put(None, false)],
        };
        let beliefs = [Belief { state: State::Free, sure: true, flags: 1 }];
        let steps = steps(&batch, &beliefs, None).unwrap();
        let verbs: Vec<&str> = steps.iter().map(|step| step.op.verb).collect();
        assert_eq!(verbs, ["get", "check-not-exists", "check-index", "cas"]);
    }

    #[test]
    fn a_refusal_tells_the_state_whatever_the_key_is_called() {
        for key in ["a", "a\\\" exists", "current session \\\"x\\\" != ", "doesn't exist"] {
            let table = [
                (format!("failed to set key \"{key}\", index is stale"), Some(State::Free)),
                (format!("key \"{key}\" exists"), Some(State::Free)),
                (format!("key \"{key}\" doesn't exist"), Some(State::Absent)),
                (format!("failed to check session, key \"{key}\" doesn't exist"), Some(State::Absent)),
                (format!("failed session check for key \"{key}\", current session \"{S}\" != \"\""), Some(held(S))),
                (format!("failed session check for key \"{key}\", current session \"\" != \"{S}\""), Some(State::Free)),
                (
                    format!("failed to unlock key \"{key}\", lock isn't held, or is held by another session"),
                    Some(State::Free),
                ),
                (format!("failed to lock key \"{key}\", lock is already held"), Some(State::Free)),
                (format!("something about \"{key}\" that nobody knows"), None),
            ];
            for (what, expected) in table {
                let found = lesson(&what);
                // A text that is unknown may be taken for one that is not by what the key is called, never the reverse.
                if expected.is_some() || key == "a" {
                    assert_eq!(found, expected, "{what}");
                }
            }
        }
    }
}
