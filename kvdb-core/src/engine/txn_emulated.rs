//! If/then/else on a store that only checks and writes: read, choose a branch, commit guarded by what chose it
//! (contract 4.3).

use std::collections::{BTreeMap, BTreeSet};

use super::Shared;
use super::deadline::Deadline;
use super::watch_upstream::probe;
use super::write::mismatched_answer;
use crate::toolkit::holds;
use crate::{
    Batch, Capabilities, Comparison, Entry, Error, ErrorKind, Guard, Key, KeyRange, LeaseChange, NativeCompare,
    NativeOp, NativeReply, NativeResult, NativeSubject, NativeTxn, Op, OpResult, Outcome, Result, Retry, Revision,
    Target,
};

/// What was read for a transaction.
#[derive(Default)]
struct View {
    found: BTreeMap<Key, Option<Entry>>,
    revision: Revision,
    /// All of it was there at one moment.
    at_once: bool,
    /// The key of a compare that fails: it alone decides for the other branch, whatever the rest would say.
    failed: Option<Key>,
}

/// A branch, and the batch that carries it out as long as what chose it holds.
struct Choice<'a> {
    succeeded: bool,
    branch: &'a [NativeOp],
    batch: Batch,
}

impl Shared {
    pub(super) async fn emulate(&self, txn: &NativeTxn, deadline: &mut Deadline) -> Result<NativeReply> {
        let mut unread = unread(txn);
        let mut unsure: Option<(Error, Batch)> = None;
        loop {
            let (guessed, view) = match unread.take() {
                Some(choice) => (Some(choice), View::default()),
                None => match self.view(txn, deadline).await {
                    Ok(view) => (None, view),
                    Err(error) => return Err(unsure.map_or(error, |(unsure, _)| unsure)),
                },
            };
            let first = guessed.is_some();
            let choice = guessed.unwrap_or_else(|| choose(txn, &view));
            // Only the very same batch cannot be done twice. Another one means that a key was written since, perhaps by
            // the first try: then the other branch must not run as well.
            if let Some((error, _)) = unsure.take_if(|(_, sent)| *sent != choice.batch) {
                return Err(error);
            }
            let writes = !choice.batch.ops.is_empty();
            if view.at_once && !writes {
                return choice.reply(view.revision, Vec::new(), view.found);
            }
            let (size, limit) = (choice.batch.guards.len() + choice.batch.ops.len(), self.backend.limits().batch_ops);
            if size > limit {
                let message = format!("the transaction has {size} reads and writes, the store takes {limit}");
                return Err(Error::new(ErrorKind::TooLarge { limit }, message));
            }
            // One without writes is a check of what was read: whatever becomes of it, nothing was written.
            let commit = || self.backend.commit(&choice.batch);
            match if writes { deadline.write(commit).await } else { deadline.read(commit).await } {
                Ok(Outcome::Committed { revision, results }) => {
                    self.seen.note(revision);
                    let revision = if writes { revision } else { revision.max(view.revision) };
                    return choice.reply(revision, results, view.found);
                }
                Ok(Outcome::Conflict) => {
                    if let Some((error, _)) = unsure {
                        return Err(error);
                    }
                    // Which of the conditions fails is read at once.
                    if !first {
                        let contention = "others kept writing its keys; try again later";
                        deadline.pause(Error::new(ErrorKind::Contention, contention)).await?;
                    }
                }
                Err(error) if error.retry() == Retry::Ambiguous => {
                    if *error.kind() == ErrorKind::Timeout || !self.untouched(&choice.batch, deadline).await {
                        return Err(error);
                    }
                    let again = error.duplicate();
                    unsure = writes.then_some((error, choice.batch));
                    deadline.pause(again).await?;
                }
                Err(error) => return Err(unsure.map_or(error, |(unsure, _)| unsure)),
            }
        }
    }

    /// Reads what decides the transaction and what its branch reads: in one step where the store can, else key by key.
    async fn view(&self, txn: &NativeTxn, deadline: &mut Deadline) -> Result<View> {
        let mut view = View { at_once: true, ..View::default() };
        self.read_together(txn, &mut view, deadline).await?;
        for compare in &txn.compares {
            let key = single(&compare.range)?;
            if !holds(compare.comparison, &compare.subject, self.look(key, &mut view, deadline).await?) {
                view.failed = Some(key.clone());
                break;
            }
        }
        let branch = if view.failed.is_none() { &txn.then } else { &txn.otherwise };
        for key in branch.iter().filter_map(read_key) {
            self.look(key, &mut view, deadline).await?;
        }
        if view.found.is_empty() {
            // The revision of a transaction that neither reads nor writes.
            view.revision = self.fetch(&probe(&self.target_range(Target::Tree(""))?), deadline).await?.revision;
        }
        Ok(view)
    }

    async fn read_together(&self, txn: &NativeTxn, view: &mut View, deadline: &mut Deadline) -> Result<()> {
        let compared = txn.compares.iter().filter_map(|compare| compare.range.as_single());
        let read = txn.then.iter().chain(&txn.otherwise).filter_map(read_key);
        let keys: BTreeSet<&Key> = compared.chain(read).collect();
        if keys.len() < 2 {
            return Ok(());
        }
        let keys: Vec<Key> = keys.into_iter().cloned().collect();
        if let Some(all) = deadline.read(|| self.backend.get_together(&keys)).await? {
            if all.len() != keys.len() {
                return Err(mismatched_answer());
            }
            view.revision = all.iter().map(|one| one.revision).max().unwrap_or_default();
            self.seen.note(view.revision);
            view.found = keys.into_iter().zip(all.into_iter().map(|one| one.entry)).collect();
        }
        Ok(())
    }

    /// A key as it was read for this try, by now at the latest.
    async fn look<'a>(&self, key: &Key, view: &'a mut View, deadline: &mut Deadline) -> Result<Option<&'a Entry>> {
        if !view.found.contains_key(key) {
            let fetched = self.fetch(key, deadline).await?;
            // A first read that is linearizable is a moment; a second one is another.
            view.at_once = view.found.is_empty() && self.require(Capabilities::LINEARIZABLE_READS).is_ok();
            view.revision = view.revision.max(fetched.revision);
            view.found.insert(key.clone(), fetched.entry);
        }
        Ok(view.found.get(key).and_then(Option::as_ref))
    }

    /// Whether surely nothing of a batch with an unknown outcome was written: a key that it guards and writes is still
    /// the write that the guard names. (A key that is absent again proves nothing: it may have been made and deleted.)
    async fn untouched(&self, batch: &Batch, deadline: &mut Deadline) -> bool {
        let witness = batch.ops.iter().find_map(|op| {
            let key = written_key(op)?;
            batch.guards.iter().find_map(|guard| match guard {
                Guard::Unchanged(guarded, revision) if guarded == key => Some((key, *revision)),
                _ => None,
            })
        });
        match witness {
            None => batch.ops.is_empty(),
            Some((key, before)) => {
                let now = self.fetch(key, deadline).await;
                now.is_ok_and(|now| now.entry.is_some_and(|entry| entry.modified == before))
            }
        }
    }
}

/// A transaction of writes alone whose conditions are all guards, as a `Tx` commits, needs nothing read; only when it
/// is refused.
fn unread(txn: &NativeTxn) -> Option<Choice<'_>> {
    let mut guards: BTreeMap<&Key, Guard> = BTreeMap::new();
    for compare in &txn.compares {
        let guard = guard_of(compare)?;
        let key = compare.range.as_single()?;
        if guards.insert(key, guard.clone()).is_some_and(|other| other != guard) {
            return None;
        }
    }
    let ops = txn.then.iter().map(write_of).collect::<Option<Vec<Op>>>()?;
    let batch = Batch { guards: guards.into_values().collect(), ops };
    (!batch.ops.is_empty()).then_some(Choice { succeeded: true, branch: &txn.then, batch })
}

/// The guard that says the same as a compare.
fn guard_of(compare: &NativeCompare) -> Option<Guard> {
    let key = compare.range.as_single()?.clone();
    match (&compare.subject, compare.comparison) {
        (NativeSubject::Created(Revision::ZERO), Comparison::Equal) => Some(Guard::Absent(key)),
        (NativeSubject::Modified(revision), Comparison::Equal) if *revision > Revision::ZERO => {
            Some(Guard::Unchanged(key, *revision))
        }
        _ => None,
    }
}

/// The branch that was decided for, guarded by what decided it and by what it reads.
fn choose<'a>(txn: &'a NativeTxn, view: &View) -> Choice<'a> {
    let succeeded = view.failed.is_none();
    let branch = if succeeded { &txn.then } else { &txn.otherwise };
    let compared = txn.compares.iter().filter(|_| succeeded).filter_map(|compare| compare.range.as_single());
    let keys: BTreeSet<&Key> = compared.chain(&view.failed).chain(branch.iter().filter_map(read_key)).collect();
    let guard = |key: &Key| match view.found.get(key).and_then(Option::as_ref) {
        Some(entry) => Guard::Unchanged(key.clone(), entry.modified),
        None => Guard::Absent(key.clone()),
    };
    let guards = keys.into_iter().filter(|_| !cfg!(kvdb_mutant = "txn_unguarded")).map(guard);
    let batch = Batch { guards: guards.collect(), ops: branch.iter().filter_map(write_of).collect() };
    Choice { succeeded, branch, batch }
}

impl Choice<'_> {
    /// The results of the branch in its order: writes as they were answered, reads as the writes before them left the
    /// key.
    fn reply(
        &self,
        revision: Revision,
        results: Vec<OpResult>,
        mut found: BTreeMap<Key, Option<Entry>>,
    ) -> Result<NativeReply> {
        let mut results = results.into_iter();
        let result = |op: &NativeOp| match op {
            NativeOp::Get { key } => Ok(NativeResult::Get(found.get(key).cloned().flatten())),
            _ => {
                let result = results.next().ok_or_else(mismatched_answer)?;
                match (op, &result) {
                    (_, OpResult::Put { entry, .. }) => drop(found.insert(entry.key.clone(), Some(entry.clone()))),
                    (NativeOp::Delete { key, .. }, _) => drop(found.insert(key.clone(), None)),
                    _ => {}
                }
                Ok(NativeResult::Written(result))
            }
        };
        let results = self.branch.iter().map(result).collect::<Result<_>>()?;
        Ok(NativeReply { succeeded: self.succeeded, revision, results })
    }
}

fn single(range: &KeyRange) -> Result<&Key> {
    range.as_single().ok_or_else(mismatched_answer)
}

fn read_key(op: &NativeOp) -> Option<&Key> {
    match op {
        NativeOp::Get { key } => Some(key),
        _ => None,
    }
}

fn write_of(op: &NativeOp) -> Option<Op> {
    match op {
        NativeOp::Put { key, value, lease, previous } => {
            let LeaseChange::Set(lease) = lease else { return None };
            Some(Op::Put { key: key.clone(), value: value.clone()?, lease: lease.clone(), previous: *previous })
        }
        NativeOp::Delete { key, previous } => Some(Op::Delete { key: key.clone(), previous: *previous }),
        _ => None,
    }
}

fn written_key(op: &Op) -> Option<&Key> {
    match op {
        Op::Put { key, .. } | Op::Delete { key, .. } => Some(key),
        Op::DeleteRange { .. } => None,
    }
}
