//! Commits: the likeliest form of a batch first, another when the refusal says so.

use bytes::Bytes;
use kvdb_core::{Batch, Entry, Error, ErrorKind, Guard, Key, LeaseId, Op, OpResult, Outcome, Result, Retry, Revision};

use crate::backend::Shared;
use crate::client::Request;
use crate::config::{BODY_BYTES, TXN_OPS};
use crate::error::{Call, garbled, operation_refused};
use crate::marker::marker;
use crate::plan::{self, Belief, Role, State, Step};
use crate::wire::{Item, TxnAnswer, TxnOp};

/// How often a batch is put in another form: each time somebody else changed one of its keys in between.
const ROUNDS: usize = 32;

/// What became of one form of a batch.
enum Verdict {
    Done(Outcome),
    /// What was believed has changed, and nothing was written.
    Again,
}

/// A marker and the random number that it is set with.
pub(crate) struct Marker {
    pub(crate) key: String,
    depth: usize,
    pub(crate) flags: u64,
}

impl Shared {
    /// Commits a batch. A write whose answer is lost is looked for by its random number, which no other write has: if it
    /// stands, that is the answer.
    pub(crate) async fn commit(&self, batch: &Batch) -> Result<Outcome> {
        let mut beliefs = self.beliefs(batch)?;
        for _ in 0..ROUNDS {
            let marker = self.marker_for(batch, &beliefs)?;
            let steps = plan::steps(batch, &beliefs, marker.as_ref().map(|marker| (&*marker.key, marker.flags)))?;
            let roles: Vec<Role> = steps.iter().map(|step| step.role).collect();
            let writes = steps.iter().any(|step| step.op.flags.is_some() || step.op.verb == "delete");
            if !writes && roles.len() <= 1 {
                match self.look(batch, &mut beliefs).await? {
                    Verdict::Done(outcome) => return Ok(outcome),
                    Verdict::Again => continue,
                }
            }
            let body = encode(steps)?;
            let request = match writes {
                true => Request::put("/v1/txn", body),
                false => Request::put("/v1/txn?consistent", body).repeatable(),
            };
            let before = self.highest.get();
            let reply = match self.client.send(&request).await {
                Err(error) if error.retry() == Retry::Ambiguous => {
                    return self.settle(batch, &beliefs, marker.as_ref()).await.ok_or(error);
                }
                reply => reply?,
            };
            let answer: TxnAnswer = reply.json()?;
            if reply.status == 200 {
                let outcome = self.committed(batch, &beliefs, writes, answer).await?;
                if let Outcome::Committed { revision, .. } = &outcome
                    && writes
                {
                    self.highest.wrote(before, revision.get());
                }
                return Ok(outcome);
            }
            if let Verdict::Done(outcome) = self.judge(batch, &mut beliefs, &roles, answer, marker.as_ref())? {
                return Ok(outcome);
            }
        }
        Err(Error::new(ErrorKind::Contention, "others kept taking and leaving the keys; try again later")
            .with_retry(Retry::Safe))
    }

    /// What was last seen of the written keys, as far as the guards leave it open.
    fn beliefs(&self, batch: &Batch) -> Result<Vec<Belief>> {
        let belief = |op: &Op| {
            let sight = self.seen.get(plan::key_of(op)?);
            let previous = matches!(op, Op::Put { previous: true, .. });
            let guard = plan::guard_of(batch, op);
            let sure = match (guard, &sight) {
                (Some(Guard::Unchanged(_, revision)), Some(sight)) => sight.modified == *revision,
                _ => false,
            };
            let state = match (guard, sight.map(|sight| sight.holder)) {
                (Some(Guard::Absent(_)), _) => State::Absent,
                (_, Some(Some(session))) => State::Held(session),
                (_, Some(None)) => State::Free,
                (None, None) if matches!(op, Op::Put { .. }) && !previous => State::Unknown,
                (_, None) => State::Free,
            };
            Ok(Belief { state, sure, flags: rand::random() })
        };
        batch.ops.iter().map(belief).collect()
    }

    fn marker_for(&self, batch: &Batch, beliefs: &[Belief]) -> Result<Option<Marker>> {
        if !plan::needs_marker(batch, beliefs) {
            return Ok(None);
        }
        let Some(deleted) = batch.ops.first() else { return Ok(None) };
        let deleted = plan::key_of(deleted)?;
        // The directory where another key's marker may be written can be deeper than this key.
        let place = (0..=self.depth.get()).rev().find_map(|depth| Some((marker(deleted, depth)?, depth)));
        Ok(place.map(|(key, depth)| Marker { key, depth, flags: rand::random() }))
    }

    /// A check of at most one key without writes is a read, which tells the revision as well.
    async fn look(&self, batch: &Batch, beliefs: &mut [Belief]) -> Result<Verdict> {
        let nothing = Key::from("_kvdb/deleted");
        let op = batch.ops.first().map(plan::key_of).transpose()?;
        let key = op.or(batch.guards.first().map(Guard::key)).unwrap_or(&nothing);
        let (item, revision) = self.item(key, "consistent").await?;
        let modified = item.as_ref().map(|item| item.modify_index);
        let holds = |guard: &Guard| match guard {
            Guard::Absent(_) => modified.is_none(),
            Guard::Present(_) => modified.is_some(),
            Guard::Unchanged(_, revision) => modified == Some(revision.get()),
        };
        if !batch.guards.iter().all(holds) {
            return Ok(Verdict::Done(Outcome::Conflict));
        }
        match (item, beliefs.first_mut()) {
            (Some(item), Some(belief)) => {
                belief.state = item.holder().map_or(State::Free, |session| State::Held(session.into()));
                Ok(Verdict::Again)
            }
            _ => {
                let results = batch.ops.iter().map(|_| OpResult::Deleted { removed: 0, previous: None }).collect();
                Ok(Verdict::Done(Outcome::Committed { revision, results }))
            }
        }
    }

    /// Sorts the refusals of a transaction, none of which was written.
    fn judge(
        &self,
        batch: &Batch,
        beliefs: &mut [Belief],
        roles: &[Role],
        answer: TxnAnswer,
        marker: Option<&Marker>,
    ) -> Result<Verdict> {
        let (mut conflict, mut gone, mut again) = (false, None, false);
        let mut told = None;
        for refusal in answer.errors.unwrap_or_default() {
            let role = roles.get(refusal.op_index).copied();
            if let Some(error) = operation_refused(&refusal.what) {
                match (error.kind(), role, marker) {
                    (ErrorKind::PermissionDenied, Some(Role::Marker), Some(marker)) if self.deepen(batch, marker) => {
                        again = true;
                    }
                    (ErrorKind::LeaseNotFound, ..) => gone = Some(error),
                    _ => return Err(error),
                }
                continue;
            }
            match (role, plan::lesson(&refusal.what)) {
                (Some(Role::Guard), _) => conflict = true,
                // What follows in the same form is refused for the same reason, and tells less of it.
                (Some(Role::State(at)), Some(_)) if told == Some(at) => {}
                (Some(Role::State(at)), Some(state)) => {
                    told = Some(at);
                    let guard = batch.ops.get(at).and_then(|op| plan::guard_of(batch, op));
                    conflict |= state == State::Absent && matches!(guard, Some(Guard::Present(_)));
                    if let Some(belief) = beliefs.get_mut(at) {
                        *belief = Belief { state, sure: false, flags: belief.flags };
                        again = true;
                    }
                }
                _ => return Err(unknown_refusal(&refusal.what)),
            }
        }
        match (conflict, gone, again) {
            (true, ..) => Ok(Verdict::Done(Outcome::Conflict)),
            (false, Some(error), _) => Err(error),
            (false, None, true) => Ok(Verdict::Again),
            (false, None, false) => Err(unknown_refusal("no reason")),
        }
    }

    /// Whether there is another place for the marker.
    fn deepen(&self, batch: &Batch, denied: &Marker) -> bool {
        let deleted = batch.ops.first().and_then(|op| plan::key_of(op).ok());
        let deeper = deleted.and_then(|key| marker(key, denied.depth + 1)).is_some();
        if deeper {
            self.depth.denied(denied.depth);
        }
        deeper
    }

    /// The outcome of a transaction that went through. Its results are found by key and number, never by position:
    /// deletions have none.
    async fn committed(&self, batch: &Batch, beliefs: &[Belief], writes: bool, answer: TxnAnswer) -> Result<Outcome> {
        let items: Vec<Item> = answer.results.unwrap_or_default().into_iter().map(|result| result.kv).collect();
        let mut revision = Revision::new(items.iter().map(|item| item.modify_index).max().unwrap_or(0));
        if !writes {
            // Nothing was written: the present revision, which what was looked at need not have.
            let key = batch.guards.first().map(Guard::key).or(batch.ops.first().and_then(|op| plan::key_of(op).ok()));
            revision = match (self.highest.get(), key) {
                (0, Some(key)) => self.item(key, "consistent").await?.1,
                (highest, _) => revision.max(Revision::new(highest)),
            };
        }
        let results = batch.ops.iter().zip(beliefs).map(|(op, belief)| {
            let key = plan::key_of(op)?;
            let of_key = || items.iter().filter(|item| item.key.as_bytes() == key.as_bytes());
            let wanted = matches!(op, Op::Put { previous: true, .. } | Op::Delete { previous: true, .. });
            let previous = || {
                let mut before = of_key().filter(|item| wanted && item.flags != belief.flags);
                // Checks answer the key too, without its value.
                let read = before.clone().find(|item| item.value.is_some()).or_else(|| before.next());
                read.cloned().map(Item::entry)
            };
            match op {
                Op::Put { value, lease, .. } => {
                    let written = of_key().rev().find(|item| item.flags == belief.flags).ok_or_else(mismatched)?;
                    let (created, modified) = (written.create_index, written.modify_index);
                    let entry = entry(key, value, lease.as_ref(), created, Revision::new(modified));
                    self.seen.note(&entry);
                    Ok(OpResult::Put { entry, previous: previous() })
                }
                _ => {
                    self.seen.forget(key);
                    Ok(OpResult::Deleted { removed: u64::from(belief.state != State::Absent), previous: previous() })
                }
            }
        });
        let results = results.collect::<Result<_>>()?;
        Ok(Outcome::Committed { revision, results })
    }
}

pub(crate) fn entry(key: &Key, value: &Bytes, lease: Option<&LeaseId>, created: u64, modified: Revision) -> Entry {
    Entry {
        key: key.clone(),
        value: value.clone(),
        created: Revision::new(created),
        modified,
        version: None,
        lease: lease.cloned(),
        ttl: None,
    }
}

/// The body of a transaction, within what the servers take.
fn encode(steps: Vec<Step<'_>>) -> Result<Vec<u8>> {
    let too_large = |size: usize, limit: usize, unit: &str| {
        let message = format!("the transaction has {size} {unit}, Consul takes {limit}");
        Err(Error::new(ErrorKind::TooLarge { limit }, message))
    };
    if steps.len() > TXN_OPS {
        return too_large(steps.len(), TXN_OPS, "operations, checks and reads included");
    }
    let ops: Vec<TxnOp<'_>> = steps.into_iter().map(|step| TxnOp { kv: step.op }).collect();
    let body = serde_json::to_vec(&ops).map_err(|source| garbled(Call::Read, source))?;
    if body.len() > BODY_BYTES {
        return too_large(body.len(), BODY_BYTES, "bytes once encoded");
    }
    Ok(body)
}

fn unknown_refusal(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("a transaction was refused for what nobody knows: {}", what.escape_debug()))
}

fn mismatched() -> Error {
    Error::new(ErrorKind::Internal, "the transaction's answer does not have its write").with_retry(Retry::Ambiguous)
}
