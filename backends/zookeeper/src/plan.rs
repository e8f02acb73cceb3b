//! A batch as the one multi that does it, by what was seen of its keys.
//!
//! ZooKeeper checks the version of a znode's data, which starts anew when the znode is made anew. So each multi that
//! makes or deletes a key also sets the key's generation node, and who relies on what it saw of a key checks that node
//! too: while it is unchanged the key is the same incarnation.

use std::collections::BTreeMap;

use bytes::Bytes;
use kvdb_core::{Batch, Capabilities, Error, Guard, Key, LeaseId, Op, Result, Revision};
use zookeeper::Stat;

use crate::path;

/// What was seen of the keys of a batch, their generations first.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Versions; `None` where the node is not there.
    pub(crate) generations: BTreeMap<String, Option<i32>>,
    /// By leaf; `None` where there is no key.
    pub(crate) keys: BTreeMap<String, Option<(Bytes, Stat)>>,
}

impl View {
    pub(crate) fn of(&self, leaf: &str) -> Option<&(Bytes, Stat)> {
        self.keys.get(leaf)?.as_ref()
    }
}

/// The lease that a batch attaches to, and its session.
#[derive(Clone, Debug)]
pub(crate) struct Under {
    pub(crate) lease: LeaseId,
    pub(crate) session: i64,
}

/// What a step of a multi is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Generation,
    /// A guard on a key that is not written, by its index.
    Guard(usize),
    /// An op, by its index.
    Op(usize),
    /// Takes back what a guard has made.
    Undo,
}

/// One step of a multi. No version means any.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Check(i32),
    Create { value: Bytes, ephemeral: bool },
    Set { value: Bytes, version: Option<i32> },
    Delete(Option<i32>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) role: Role,
    pub(crate) path: String,
    pub(crate) act: Act,
}

/// What becomes of a batch.
#[derive(Debug)]
pub(crate) enum Plan {
    /// A guard does not hold, and surely never will again if what was seen is a later write than the one it asks for.
    Conflict {
        surely: bool,
    },
    /// All guards hold and there is nothing to write.
    Nothing,
    /// A generation node is missing that must be relied on.
    Ungrounded(String),
    Steps(Vec<Step>),
}

pub(crate) fn key_of(op: &Op) -> Result<&Key> {
    match op {
        Op::Put { key, .. } | Op::Delete { key, .. } => Ok(key),
        Op::DeleteRange { .. } => Err(Error::unsupported(Capabilities::DELETE_RANGE)),
    }
}

fn guards_of<'a>(batch: &'a Batch, key: &'a Key) -> impl Iterator<Item = &'a Guard> {
    batch.guards.iter().filter(move |guard| guard.key() == key)
}

/// Whether a batch can be tried without a look at its keys: it makes keys that are to be absent, and no guard needs a
/// revision.
pub(crate) fn is_blind(batch: &Batch) -> bool {
    let makes = |op: &Op| match op {
        Op::Put { key, .. } => guards_of(batch, key).any(|guard| matches!(guard, Guard::Absent(_))),
        _ => false,
    };
    let plain = |guard: &Guard| !matches!(guard, Guard::Unchanged(..));
    !batch.ops.is_empty() && batch.ops.iter().all(makes) && batch.guards.iter().all(plain)
}

/// The keys that a batch is about.
pub(crate) fn keys(batch: &Batch) -> Result<Vec<&Key>> {
    let mut keys: Vec<&Key> = batch.guards.iter().map(Guard::key).collect();
    for op in &batch.ops {
        keys.push(key_of(op)?);
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

/// What a multi does to a generation node.
#[derive(Default)]
struct Generation {
    set: bool,
    relied_on: bool,
}

/// Puts a batch in the form that fits what was seen.
pub(crate) fn plan(batch: &Batch, view: &View, under: Option<&Under>) -> Result<Plan> {
    let leaves: Vec<String> = batch.guards.iter().map(|guard| path::leaf(guard.key().as_bytes())).collect();
    for (guard, leaf) in batch.guards.iter().zip(&leaves) {
        let seen = view.of(leaf);
        let holds = match guard {
            Guard::Absent(_) => seen.is_none(),
            Guard::Present(_) => seen.is_some() || !view.keys.contains_key(leaf),
            Guard::Unchanged(_, revision) => seen.is_some_and(|(_, stat)| *revision == stat.mzxid.cast_unsigned()),
        };
        if !holds {
            let later = |revision: &Revision| seen.is_some_and(|(_, stat)| stat.mzxid.cast_unsigned() > revision.get());
            return Ok(Plan::Conflict { surely: matches!(guard, Guard::Unchanged(_, revision) if later(revision)) });
        }
    }
    let mut generations: BTreeMap<String, Generation> = BTreeMap::new();
    let mut writes = Vec::new();
    let mut written: Vec<&Key> = Vec::new();
    for (index, op) in batch.ops.iter().enumerate() {
        let key = key_of(op)?;
        let leaf = path::leaf(key.as_bytes());
        let generation = generations.entry(path::generation(key.as_bytes())).or_default();
        let before = writes.len();
        let exact = |stat: &Stat, previous: bool| {
            let pinned = previous || guards_of(batch, key).any(|guard| matches!(guard, Guard::Unchanged(..)));
            pinned.then_some(stat.version)
        };
        let mut step = |act| writes.push(Step { role: Role::Op(index), path: leaf.clone(), act });
        match (op, view.of(&leaf).map(|(_, stat)| stat)) {
            (Op::Put { value, lease, .. }, None) => {
                generation.set = true;
                step(Act::Create { value: value.clone(), ephemeral: lease.is_some() });
            }
            (Op::Put { value, lease, previous, .. }, Some(stat)) => {
                generation.relied_on = true;
                let version = exact(stat, *previous);
                let owner = lease.as_ref().and(under).map_or(0, |under| under.session);
                if stat.ephemeral_owner == owner {
                    step(Act::Set { value: value.clone(), version });
                } else {
                    generation.set = true;
                    step(Act::Delete(version));
                    step(Act::Create { value: value.clone(), ephemeral: lease.is_some() });
                }
            }
            (Op::Delete { .. }, None) => generation.relied_on = true,
            (Op::Delete { previous, .. }, Some(stat)) => {
                let version = exact(stat, *previous);
                generation.relied_on |= version.is_some();
                generation.set = true;
                step(Act::Delete(version));
            }
            (Op::DeleteRange { .. }, _) => {}
        }
        if writes.len() > before {
            written.push(key);
        }
    }
    if writes.is_empty() {
        return Ok(Plan::Nothing);
    }
    let mut checks = Vec::new();
    for (index, (guard, leaf)) in batch.guards.iter().zip(leaves).enumerate() {
        if written.contains(&guard.key()) {
            continue;
        }
        let role = Role::Guard(index);
        match guard {
            Guard::Absent(_) => {
                checks.push(Step {
                    role,
                    path: leaf.clone(),
                    act: Act::Create { value: Bytes::new(), ephemeral: false },
                });
                checks.push(Step { role: Role::Undo, path: leaf, act: Act::Delete(None) });
            }
            Guard::Present(_) => checks.push(Step { role, path: leaf, act: Act::Check(-1) }),
            Guard::Unchanged(key, _) => {
                generations.entry(path::generation(key.as_bytes())).or_default().relied_on = true;
                let version = view.of(&leaf).map_or(-1, |(_, stat)| stat.version);
                checks.push(Step { role, path: leaf, act: Act::Check(version) });
            }
        }
    }
    let mut steps = Vec::with_capacity(generations.len() + checks.len() + writes.len());
    for (path, Generation { set, relied_on }) in generations {
        let version = match relied_on {
            false => None,
            true => match view.generations.get(&path).copied().flatten() {
                Some(version) => Some(version),
                None => return Ok(Plan::Ungrounded(path)),
            },
        };
        let act = match (set, version) {
            (true, version) => Act::Set { value: Bytes::new(), version },
            (false, Some(version)) => Act::Check(version),
            (false, None) => continue,
        };
        steps.push(Step { role: Role::Generation, path, act });
    }
    steps.extend(checks);
    steps.extend(writes);
    Ok(Plan::Steps(steps))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(mzxid: i64, version: i32, owner: i64) -> Stat {
        Stat {
            czxid: 1,
            mzxid,
            pzxid: 1,
            ctime: 0,
            mtime: 0,
            version,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: owner,
            data_length: 0,
            num_children: 0,
        }
    }

    fn view(seen: &[(&str, Option<Stat>)]) -> View {
        let mut view = View::default();
        for (key, stat) in seen {
            view.generations.insert(path::generation(key.as_bytes()), Some(7));
            view.keys.insert(path::leaf(key.as_bytes()), stat.map(|stat| (Bytes::new(), stat)));
        }
        view
    }

    fn put(key: &str, lease: Option<i64>, previous: bool) -> Op {
        Op::Put { key: key.into(), value: "v".into(), lease: lease.map(LeaseId::Number), previous }
    }

    fn delete(key: &str, previous: bool) -> Op {
        Op::Delete { key: key.into(), previous }
    }

    /// The steps as text: generations as `g`, any version as `*`.
    fn shown(guards: Vec<Guard>, ops: Vec<Op>, seen: &[(&str, Option<Stat>)], session: Option<i64>) -> String {
        let under = session.map(|session| Under { lease: LeaseId::Number(1), session });
        match plan(&Batch { guards, ops }, &view(seen), under.as_ref()).unwrap() {
            Plan::Conflict { surely: true } => "conflict for good".to_owned(),
            Plan::Conflict { surely: false } => "conflict".to_owned(),
            Plan::Nothing => "nothing".to_owned(),
            Plan::Ungrounded(_) => "ungrounded".to_owned(),
            Plan::Steps(steps) => {
                let version = |version: &Option<i32>| version.map_or("*".to_owned(), |version| version.to_string());
                let step = |step: &Step| {
                    let path = if step.role == Role::Generation { "g" } else { &step.path };
                    match &step.act {
                        Act::Check(version) => format!("check {path} {version}"),
                        Act::Create { ephemeral: true, .. } => format!("hold {path}"),
                        Act::Create { .. } => format!("create {path}"),
                        Act::Set { version: of, .. } => format!("set {path} {}", version(of)),
                        Act::Delete(of) => format!("delete {path} {}", version(of)),
                    }
                };
                steps.iter().map(step).collect::<Vec<_>>().join(", ")
            }
        }
    }

    #[test]
    fn a_put_fits_what_is_there() {
        let there = [("a", Some(stat(9, 3, 0)))];
        let held = [("a", Some(stat(9, 3, 5)))];
        let none = [("a", None)];
        let plain = || vec![put("a", None, false)];
        assert_eq!(shown(vec![], plain(), &none, None), "set g *, create /a=");
        assert_eq!(shown(vec![], plain(), &there, None), "check g 7, set /a= *");
        assert_eq!(shown(vec![], vec![put("a", None, true)], &there, None), "check g 7, set /a= 3");
        assert_eq!(shown(vec![], plain(), &held, None), "set g 7, delete /a= *, create /a=");
        let under = || vec![put("a", Some(1), false)];
        assert_eq!(shown(vec![], under(), &none, Some(5)), "set g *, hold /a=");
        assert_eq!(shown(vec![], under(), &there, Some(5)), "set g 7, delete /a= *, hold /a=");
        assert_eq!(shown(vec![], under(), &held, Some(5)), "check g 7, set /a= *");
        assert_eq!(shown(vec![], under(), &held, Some(6)), "set g 7, delete /a= *, hold /a=");
    }

    #[test]
    fn a_guard_on_a_written_key_is_part_of_the_write() {
        let there = [("a", Some(stat(9, 3, 0)))];
        let unchanged = |revision| vec![Guard::Unchanged("a".into(), Revision::new(revision))];
        assert_eq!(shown(unchanged(9), vec![put("a", None, false)], &there, None), "check g 7, set /a= 3");
        assert_eq!(shown(unchanged(9), vec![delete("a", false)], &there, None), "set g 7, delete /a= 3");
        // Revision 9 was seen: 8 is over, and 10 may be what a server that lags has not heard of.
        assert_eq!(shown(unchanged(8), vec![delete("a", false)], &there, None), "conflict for good");
        assert_eq!(shown(unchanged(10), vec![delete("a", false)], &there, None), "conflict");
        let absent = || vec![Guard::Absent("a".into())];
        assert_eq!(shown(absent(), vec![put("a", None, false)], &[("a", None)], None), "set g *, create /a=");
        assert_eq!(shown(absent(), vec![put("a", None, false)], &there, None), "conflict");
        assert_eq!(
            shown(vec![Guard::Present("a".into())], vec![delete("a", false)], &there, None),
            "set g *, delete /a= *"
        );
    }

    #[test]
    fn a_guard_on_another_key_is_a_check() {
        let seen = [("a", None), ("b", Some(stat(9, 3, 0))), ("c", None)];
        let guards = vec![Guard::Absent("c".into()), Guard::Present("b".into())];
        assert_eq!(
            shown(guards, vec![put("a", None, false)], &seen, None),
            "set g *, create /c=, delete /c= *, check /b= -1, create /a="
        );
        let guards = vec![Guard::Unchanged("b".into(), Revision::new(9))];
        let text = shown(guards, vec![put("a", None, false)], &seen, None);
        assert!(text.contains("check g 7") && text.contains("set g *") && text.contains("check /b= 3"), "{text}");
    }

    #[test]
    fn deletions_of_what_is_not_there_write_nothing_and_stay_true_beside_others() {
        assert_eq!(shown(vec![], vec![delete("a", true)], &[("a", None)], None), "nothing");
        let text = shown(vec![], vec![delete("a", true), put("b", None, false)], &[("a", None), ("b", None)], None);
        assert!(text.contains("check g 7") && text.contains("create /b="), "{text}");
        let guards = vec![Guard::Absent("a".into())];
        assert_eq!(shown(guards, vec![delete("a", true)], &[("a", None)], None), "nothing");
    }

    #[test]
    fn what_makes_absent_keys_needs_no_look() {
        let absent = |key: &str| Guard::Absent(key.into());
        let batch = |guards, ops| Batch { guards, ops };
        assert!(is_blind(&batch(vec![absent("a"), absent("b")], vec![put("a", None, true)])));
        assert!(!is_blind(&batch(vec![absent("b")], vec![put("a", None, true)])));
        assert!(!is_blind(&batch(
            vec![absent("a"), Guard::Unchanged("b".into(), Revision::new(1))],
            vec![put("a", None, true)]
        )));
        assert!(!is_blind(&batch(vec![absent("a")], vec![delete("a", true)])));
        assert!(!is_blind(&batch(vec![absent("a")], vec![])));
    }
}
