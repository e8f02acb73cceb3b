//! A lock's queue as it lies in the store: waiter keys, each attached to its handle's kept-alive lease.
//!
//! A waiter's key is `<domain>/_kvdb/lock/<name>/_kvdb/<unique id>`, see [`super::lock_ids`]. Beside it may lie
//! `void/<unique id>`: it keeps an enqueue whose outcome is unknown from arriving late, for as long as the lease lives
//! under which it would.

use std::sync::Arc;

use bytes::Bytes;

use super::Shared;
use super::deadline::Deadline;
use super::write::mismatched_answer;
use super::write_native::equal;
use crate::{
    Batch, Capabilities, Entry, ErrorKind, Guard, Key, KeyRange, LeaseChange, LeaseId, NativeOp, NativeResult,
    NativeSubject, NativeTxn, Op, OpResult, Outcome, Result, Retry, Revision, Scan,
};

/// The part of a lock's directory that holds no waiters.
const VOID: &str = "void/";

/// Where one enqueue stands, and the key that voids it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) waiter: Key,
    pub(super) void: Key,
}

impl Place {
    /// The place of a waiter with this id.
    pub(super) fn new(directory: &str, id: &str) -> Self {
        Self { waiter: Key::from(format!("{directory}{id}")), void: Key::from(format!("{directory}{VOID}{id}")) }
    }
}

/// The waiters of a lock, the holder first, as they were at a revision.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) waiters: Vec<Entry>,
    pub(super) revision: Revision,
}

impl Queue {
    fn of(directory: &str, mut listed: Vec<Entry>, revision: Revision) -> Self {
        let inside = |key: &Key| key.as_bytes().get(directory.len()..).is_some_and(|rest| !rest.contains(&b'/'));
        listed.retain(|entry| inside(&entry.key));
        listed.sort_by_key(|waiter| waiter.created);
        Self { waiters: listed, revision }
    }
}

impl Shared {
    /// The queue now.
    pub(super) async fn queue(self: &Arc<Self>, directory: &str, deadline: Deadline) -> Result<Queue> {
        let (listed, revision) = self.present(&KeyRange::prefix(directory.as_bytes()), deadline).await?;
        Ok(Queue::of(directory, listed, revision))
    }

    /// Sends an enqueue, once; answers the waiter, and the queue behind it where the store lists it in the same step.
    pub(super) async fn enqueue(
        &self,
        directory: &str,
        place: &Place,
        ticket: &Bytes,
        lease: &LeaseId,
        deadline: &mut Deadline,
    ) -> Result<(Entry, Option<Queue>)> {
        let (key, value, lease) = (place.waiter.clone(), ticket.clone(), Some(lease.clone()));
        if self.require(Capabilities::NATIVE_TXN).is_err() {
            let batch = Batch {
                guards: vec![Guard::Absent(key.clone()), Guard::Absent(place.void.clone())],
                ops: vec![Op::Put { key, value, lease, previous: false }],
            };
            return match deadline.write(|| self.backend.commit(&batch)).await? {
                Outcome::Committed { results, .. } => match results.into_iter().next() {
                    Some(OpResult::Put { entry, .. }) => Ok((entry, None)),
                    _ => Err(mismatched_answer()),
                },
                // Nobody else knows either key, and the void comes after the only try.
                Outcome::Conflict => Err(mismatched_answer()),
            };
        }
        let absent = |key: &Key| equal(key, NativeSubject::Created(Revision::ZERO));
        let put = NativeOp::Put { key, value: Some(value), lease: LeaseChange::Set(lease), previous: false };
        let list = NativeOp::List { range: KeyRange::prefix(directory.as_bytes()), scan: Scan::default() };
        let compares = vec![absent(&place.waiter), absent(&place.void)];
        let txn = NativeTxn { compares, then: vec![put, list], otherwise: Vec::new() };
        let reply = deadline.write(|| self.backend.native_txn(&txn)).await?;
        self.seen.note(reply.revision);
        let mut results = reply.results.into_iter();
        match (results.next(), results.next()) {
            (Some(NativeResult::Written(OpResult::Put { entry, .. })), Some(NativeResult::List(page))) => {
                Ok((entry, Some(Queue::of(directory, page.entries, reply.revision))))
            }
            _ => Err(mismatched_answer()),
        }
    }

    /// Deletes a waiter's key if it is still the one that was written; one that is gone is as good.
    pub(super) async fn leave_queue(&self, key: &Key, token: Revision, deadline: &mut Deadline) -> Result<()> {
        let batch = Batch {
            guards: vec![Guard::Unchanged(key.clone(), token)],
            ops: vec![Op::Delete { key: key.clone(), previous: false }],
        };
        #[cfg(kvdb_mutant = "unlock_without_owner_check")]
        let batch = {
            let directory = String::from_utf8_lossy(key.as_bytes()).rsplit_once('/').map(|(dir, _)| format!("{dir}/"));
            let range = KeyRange::prefix(directory.unwrap_or_default().as_bytes());
            let page = self.backend.list(&range, &Scan::default()).next().await.transpose()?.unwrap_or_default();
            let first = page.entries.into_iter().min_by_key(|entry| entry.created);
            let ops = first.into_iter().map(|entry| Op::Delete { key: entry.key, previous: false }).collect();
            Batch { guards: Vec::new(), ops }
        };
        loop {
            match deadline.write(|| self.backend.commit(&batch)).await {
                Ok(_) => return Ok(()),
                // The guard makes a second try harmless.
                Err(error) if error.retry() == Retry::Ambiguous && *error.kind() != ErrorKind::Timeout => {
                    deadline.pause(error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
