//! The write of one key under conditions: lowered to one guard or one native transaction, unknown outcomes settled.

use super::Shared;
use super::condition::{Plan, check};
use super::deadline::Deadline;
use super::write::{fence_guard, mismatched_answer};
use crate::{
    Batch, Change, Entry, Error, ErrorKind, Fence, Guard, Key, LeaseId, Op, OpResult, Outcome, Precondition, Result,
    Retry, Revision,
};

/// A write of one key, as it is put to the store.
pub(super) struct KeyWrite<'a> {
    pub(super) key: &'a Key,
    pub(super) op: Op,
    pub(super) when: Precondition,
    pub(super) fence: Option<&'a Fence>,
    /// No other writer can leave this: an entry that has it proves that our write stands.
    pub(super) ours: Option<&'a LeaseId>,
}

/// A try whose outcome is unknown.
pub(super) struct Unsure {
    /// What became of it, for the caller if it stays so.
    pub(super) error: Error,
    /// The guard under which the write may be sent once more.
    pub(super) guard: Option<Guard>,
}

impl Shared {
    /// Writes one key under its conditions, in one round trip where one guard can say them all or the store evaluates
    /// them itself.
    ///
    /// An outcome that is not known is settled by reading (contract 10.4): an entry that only we can have written
    /// proves the write; if the condition holds, nothing was written and nothing of it can arrive any more, the write
    /// is sent again; anything else stays ambiguous, and never becomes `Modified` or `AlreadyExists` for what may be our own success.
    pub(super) async fn write_key(
        &self,
        mut write: KeyWrite<'_>,
        deadline: &mut Deadline,
    ) -> Result<(Revision, OpResult)> {
        let plan = Plan::of(&mut write.when)?;
        let since = self.seen.revision();
        let mut unsure = None;
        if matches!(plan, Plan::Examine)
            && let Some((txn, void)) = self.native_write(&write)
        {
            match deadline.write(|| self.backend.native_txn(&txn)).await {
                Ok(reply) => {
                    self.seen.note(reply.revision);
                    return write.native_result(reply);
                }
                Err(error) if can_settle(&error) => {
                    match self.settle_native(&write, void.as_ref(), since, error, deadline).await? {
                        Ok(found) => return Ok(found),
                        Err(again) => unsure = Some(again),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.write_guarded(&plan, &write, since, unsure, deadline).await
    }

    /// Commits under one guard; for conditions that need more, reads the key, looks, and commits guarded by what was
    /// read.
    async fn write_guarded(
        &self,
        plan: &Plan,
        write: &KeyWrite<'_>,
        since: Revision,
        mut unsure: Option<Unsure>,
        deadline: &mut Deadline,
    ) -> Result<(Revision, OpResult)> {
        loop {
            let (guard, pinned) = match plan {
                Plan::Free => (None, None),
                Plan::Absent => (Some(Guard::Absent(write.key.clone())), None),
                Plan::Present => (Some(Guard::Present(write.key.clone())), None),
                Plan::Unchanged(revision) => (Some(Guard::Unchanged(write.key.clone(), *revision)), None),
                Plan::Examine => {
                    let fetched = self.fetch(write.key, deadline).await;
                    let entry = fetched.map_err(|error| first_of(unsure.take(), error))?.entry;
                    if let Err(error) = check(&write.when, entry.as_ref()) {
                        return Err(first_of(unsure, error));
                    }
                    let guard = entry.as_ref().map(|entry| Guard::Unchanged(write.key.clone(), entry.modified));
                    (guard, entry)
                }
            };
            // Only the very same guard keeps both tries from being done. Another one means that the key was written
            // since, and nobody knows by whom.
            if let Some(unsure) = unsure.take_if(|unsure| unsure.guard != guard) {
                return Err(unsure.error);
            }
            let void = matches!(guard, Some(Guard::Absent(_))).then(|| self.void_of(write)).flatten();
            let voided = void.clone().map(Guard::Absent);
            let guards = guard.iter().cloned().chain(fence_guard(write.fence)).chain(voided).collect();
            let batch = Batch { guards, ops: vec![write.op.clone()] };
            match deadline.write(|| self.backend.commit(&batch)).await {
                Ok(Outcome::Committed { revision, results }) => {
                    self.seen.note(revision);
                    let result = results.into_iter().next().ok_or_else(mismatched_answer)?;
                    return Ok((revision, result));
                }
                Ok(Outcome::Conflict) => {
                    let fetched = self.fetch(write.key, deadline).await;
                    let now = fetched.map_err(|error| first_of(unsure.take(), error))?;
                    if let Some(found) = write.proof(now.entry.as_ref(), pinned.as_ref()) {
                        return Ok(found);
                    }
                    if let Some(unsure) = unsure {
                        return Err(unsure.error);
                    }
                    self.check_fence(write.fence, deadline).await?;
                    check(&write.when, now.entry.as_ref())?;
                    // The condition holds again: somebody wrote in between.
                    let contention = Error::new(ErrorKind::Contention, "others kept writing the key; try again later");
                    deadline.pause(contention).await?;
                }
                Err(error) if can_settle(&error) => match guard {
                    Some(guard @ (Guard::Absent(_) | Guard::Unchanged(..))) => {
                        let Ok(now) = self.fetch(write.key, deadline).await else { return Err(error) };
                        if let Some(found) = write.proof(now.entry.as_ref(), pinned.as_ref()) {
                            return Ok(found);
                        }
                        if !holds(&guard, now.entry.as_ref()) {
                            return Err(error);
                        }
                        let mut error = error;
                        // Without history nobody can tell a key that was made and deleted since.
                        if matches!(guard, Guard::Absent(_)) {
                            let (now, unsure) =
                                self.surely_undone(write, void.as_ref(), since, error, deadline).await?;
                            if let Some(found) = write.proof(now.entry.as_ref(), pinned.as_ref()) {
                                return Ok(found);
                            }
                            error = unsure;
                        }
                        let again = error.duplicate();
                        unsure = Some(Unsure { error, guard: Some(guard) });
                        deadline.pause(again).await?;
                    }
                    _ => return Err(error),
                },
                Err(error) if error.retry() == Retry::Ambiguous => return Err(error),
                // An earlier try may still be on its way: that this one failed for sure settles nothing.
                Err(error) => return Err(first_of(unsure, error)),
            }
        }
    }
}

impl KeyWrite<'_> {
    /// The result of our own write, if what is there proves that it stands.
    pub(super) fn proof(&self, now: Option<&Entry>, pinned: Option<&Entry>) -> Option<(Revision, OpResult)> {
        let (entry, ours) = (now?, self.ours?);
        (entry.lease.as_ref() == Some(ours))
            .then(|| (entry.modified, OpResult::Put { entry: entry.clone(), previous: pinned.cloned() }))
    }

    /// The bytes of the value that it writes.
    pub(super) fn value_len(&self) -> usize {
        match &self.op {
            Op::Put { value, .. } => value.len(),
            Op::Delete { .. } | Op::DeleteRange { .. } => 0,
        }
    }

    /// Whether a change of the key can be this write.
    pub(super) fn may_be(&self, change: &Change) -> bool {
        match (&self.op, change) {
            (Op::Put { value, lease, .. }, Change::Put { entry, .. }) => entry.value == *value && entry.lease == *lease,
            (Op::Delete { .. }, Change::Delete { expired, .. }) => !expired,
            _ => false,
        }
    }
}

fn holds(guard: &Guard, entry: Option<&Entry>) -> bool {
    match guard {
        Guard::Absent(_) => entry.is_none(),
        Guard::Present(_) => entry.is_some(),
        Guard::Unchanged(_, revision) => entry.is_some_and(|entry| entry.modified == *revision),
    }
}

/// Whether a write may stand and there is time left to find out.
fn can_settle(error: &Error) -> bool {
    error.retry() == Retry::Ambiguous && *error.kind() != ErrorKind::Timeout
}

/// The error of an earlier try whose outcome is unknown; it hides what came later.
fn first_of(unsure: Option<Unsure>, error: Error) -> Error {
    unsure.map_or(error, |unsure| unsure.error)
}
