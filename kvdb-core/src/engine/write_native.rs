//! Conditions that no single guard can say, on a store that evaluates them itself: one round trip, refusals included.

use super::Shared;
use super::condition::check;
use super::deadline::Deadline;
use super::write::{fence_guard, fence_holds, mismatched_answer};
use super::write_key::{KeyWrite, Unsure};
use crate::{
    Capabilities, Comparison, Error, Guard, Key, KeyRange, LeaseChange, NativeCompare, NativeOp, NativeReply,
    NativeResult, NativeSubject, NativeTxn, Op, OpResult, Precondition, Result, Revision,
};

impl Shared {
    /// If the conditions and the fence hold, the write; else what is there, so that the refusal can be told; and what
    /// voids it. `None` where the store cannot do it, or not in this size.
    pub(super) fn native_write(&self, write: &KeyWrite<'_>) -> Option<(NativeTxn, Option<Key>)> {
        self.require(Capabilities::NATIVE_TXN).ok()?;
        let op = match &write.op {
            Op::Put { key, value, lease, previous } => {
                let (value, lease) = (Some(value.clone()), LeaseChange::Set(lease.clone()));
                NativeOp::Put { key: key.clone(), value, lease, previous: *previous }
            }
            Op::Delete { key, previous } => NativeOp::Delete { key: key.clone(), previous: *previous },
            Op::DeleteRange { .. } => return None,
        };
        let mut compares = compares_of(write.key, &write.when);
        let mut otherwise = vec![NativeOp::Get { key: write.key.clone() }];
        if let Some(Guard::Unchanged(key, token)) = fence_guard(write.fence) {
            compares.push(equal(&key, NativeSubject::Modified(token)));
            otherwise.push(NativeOp::Get { key });
        }
        let void = self.void_of(write);
        compares.extend(void.iter().map(|void| equal(void, NativeSubject::Created(Revision::ZERO))));
        let limits = self.backend.limits();
        let bytes = write.key.len() + write.value_len() + compares.iter().map(compare_bytes).sum::<usize>();
        let fits = bytes <= limits.batch_bytes && compares.len() + otherwise.len() <= limits.batch_ops;
        fits.then(|| (NativeTxn { compares, then: vec![op], otherwise }, void))
    }

    /// What became of a native write whose reply was lost: its result, or how it may be sent once more: pinned by the
    /// entry for which its conditions hold.
    ///
    /// # Errors
    /// The unknown outcome, if it stays so.
    pub(super) async fn settle_native(
        &self,
        write: &KeyWrite<'_>,
        void: Option<&Key>,
        since: Revision,
        error: Error,
        deadline: &mut Deadline,
    ) -> Result<Result<(Revision, OpResult), Unsure>> {
        let Ok(now) = self.fetch(write.key, deadline).await else { return Err(error) };
        if let Some(found) = write.proof(now.entry.as_ref(), None) {
            return Ok(Ok(found));
        }
        if check(&write.when, now.entry.as_ref()).is_err() {
            return Err(error);
        }
        let (now, error) = self.surely_undone(write, void, since, error, deadline).await?;
        if let Some(found) = write.proof(now.entry.as_ref(), None) {
            return Ok(Ok(found));
        }
        let Some(entry) = now.entry else { return Err(error) };
        deadline.pause(error.duplicate()).await?;
        Ok(Err(Unsure { error, guard: Some(Guard::Unchanged(write.key.clone(), entry.modified)) }))
    }
}

impl KeyWrite<'_> {
    /// The result of the write, or the refusal by what was there instead.
    pub(super) fn native_result(&self, reply: NativeReply) -> Result<(Revision, OpResult)> {
        let mut results = reply.results.into_iter();
        match results.next() {
            Some(NativeResult::Written(result)) if reply.succeeded => Ok((reply.revision, result)),
            Some(NativeResult::Get(entry)) if !reply.succeeded => {
                check(&self.when, entry.as_ref())?;
                if let (Some(fence), Some(NativeResult::Get(entry))) = (self.fence, results.next()) {
                    fence_holds(fence, entry.as_ref())?;
                }
                Err(mismatched_answer())
            }
            _ => Err(mismatched_answer()),
        }
    }
}

fn compares_of(key: &Key, when: &Precondition) -> Vec<NativeCompare> {
    let mut compares = Vec::new();
    if let Some(value) = &when.value {
        compares.push(equal(key, NativeSubject::Value(value.clone())));
    }
    if let Some(created) = when.created {
        compares.push(equal(key, NativeSubject::Created(created)));
        if created == Revision::ZERO {
            // No write has this number, an absent key compares equal to it: the condition never holds.
            let subject = NativeSubject::Created(created);
            compares.push(NativeCompare { comparison: Comparison::NotEqual, ..equal(key, subject) });
        }
    }
    if let Some(modified) = when.modified {
        compares.push(equal(key, NativeSubject::Modified(modified)));
    }
    compares
}

pub(super) fn equal(key: &Key, subject: NativeSubject) -> NativeCompare {
    NativeCompare { range: KeyRange::single(key.clone()), comparison: Comparison::Equal, subject }
}

/// The bytes of keys and values that a compare brings.
pub(super) fn compare_bytes(compare: &NativeCompare) -> usize {
    let value = match &compare.subject {
        NativeSubject::Value(value) => value.len(),
        _ => 0,
    };
    compare.range.as_single().map_or(0, Key::len) + value
}
