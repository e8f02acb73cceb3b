//! If/then/else in one atomic step (contract 4.1): natively where the store evaluates it itself, else read, choose, and
//! commit guarded by all that was read.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::deadline::Deadline;
use super::read::action_of;
use super::write::mismatched_answer;
use super::write_native::compare_bytes;
use crate::{
    CallOptions, Capabilities, Compare, Comparison, Error, ErrorKind, KeyRange, KvAction, LeaseChange, LeaseId,
    NativeCompare, NativeOp, NativeReply, NativeResult, NativeSubject, NativeTxn, Note, OpResult, Result, Retry,
    Revision, Txn, TxnOp, TxnReply, TxnResult,
};

impl Shared {
    pub(super) async fn txn(self: &Arc<Self>, txn: Txn, options: CallOptions) -> Result<TxnReply> {
        self.ensure_open()?;
        let ttls: BTreeSet<Duration> = txn.then.iter().chain(&txn.otherwise).filter_map(ttl_of).collect();
        if ttls.is_empty() {
            let native = self.lower(txn, &HashMap::new())?;
            return self.run(&native, &mut self.deadline(options.timeout)).await;
        }
        self.require(Capabilities::TTL)?;
        ttls.iter().try_for_each(|ttl| self.check_ttl(*ttl))?;
        // Grants and transaction run to their end together, as for a put.
        let shared = Arc::clone(self);
        let task = self.runtime.spawn(async move { shared.txn_with_ttls(txn, ttls, options).await });
        task.await.map_err(|source| {
            Error::new(ErrorKind::Internal, "the transaction's task ended early")
                .with_retry(Retry::Ambiguous)
                .with_source(source)
        })?
    }

    async fn txn_with_ttls(&self, txn: Txn, ttls: BTreeSet<Duration>, options: CallOptions) -> Result<TxnReply> {
        // What is wrong with the transaction itself is told before anything is granted.
        self.lower(txn.clone(), &HashMap::new())?;
        let brought = txn.then.iter().chain(&txn.otherwise).any(|op| matches!(op, TxnOp::Put { lease: Some(_), .. }));
        let mut deadline = self.deadline(options.timeout);
        loop {
            match self.txn_under_leases(txn.clone(), &ttls, &mut deadline).await {
                // As for a put: the TTL was shorter than the way to the store, and nothing was written.
                Err(error) if *error.kind() == ErrorKind::LeaseNotFound && !brought => deadline.pause(error).await?,
                result => return result,
            }
        }
    }

    async fn txn_under_leases(&self, txn: Txn, ttls: &BTreeSet<Duration>, deadline: &mut Deadline) -> Result<TxnReply> {
        let mut leases: HashMap<Duration, (LeaseId, Duration)> = HashMap::new();
        let mut result = async {
            for ttl in ttls {
                leases.insert(*ttl, self.grant(*ttl, deadline).await?);
            }
            let ids = leases.iter().map(|(ttl, (lease, _))| (*ttl, lease.clone())).collect();
            let native = self.lower(txn, &ids)?;
            self.run(&native, deadline).await
        }
        .await;
        let mut used: BTreeSet<LeaseId> = BTreeSet::new();
        if let Ok(reply) = &mut result {
            for written in &mut reply.results {
                let TxnResult::Put(pair) = written else { continue };
                let lease = leases.values().find(|(lease, _)| pair.lease.as_ref() == Some(lease));
                if let Some((lease, granted)) = lease {
                    pair.ttl = Some(*granted);
                    used.insert(lease.clone());
                }
            }
        }
        // The leases of a write that may stand are left to run out.
        if !result.as_ref().is_err_and(|error| error.retry() == Retry::Ambiguous) {
            leases
                .into_values()
                .filter(|(lease, _)| !used.contains(lease))
                .for_each(|(lease, _)| self.janitor.revoke(lease));
        }
        result
    }

    /// Absolute keys and checks; `leases` carries the TTLs of puts.
    fn lower(&self, txn: Txn, leases: &HashMap<Duration, LeaseId>) -> Result<NativeTxn> {
        let compares = txn.when.into_iter().map(|compare| self.lower_compare(compare)).collect::<Result<Vec<_>>>()?;
        let then = self.lower_branch(txn.then, txn.note, leases, &compares)?;
        let otherwise = self.lower_branch(txn.otherwise, None, leases, &compares)?;
        Ok(NativeTxn { compares, then, otherwise })
    }

    fn lower_compare(&self, compare: Compare) -> Result<NativeCompare> {
        let (key, comparison, subject) = match compare {
            Compare::Exists(key, true) => (key, Comparison::NotEqual, NativeSubject::Created(Revision::ZERO)),
            Compare::Exists(key, false) => (key, Comparison::Equal, NativeSubject::Created(Revision::ZERO)),
            Compare::Value(key, comparison, value) => (key, comparison, NativeSubject::Value(value)),
            Compare::Created(key, comparison, revision) => (key, comparison, NativeSubject::Created(revision)),
            Compare::Modified(key, comparison, revision) => (key, comparison, NativeSubject::Modified(revision)),
            Compare::Version(key, comparison, version) => {
                self.require(Capabilities::KEY_VERSION)?;
                (key, comparison, NativeSubject::Version(version))
            }
            Compare::Lease(key, comparison @ (Comparison::Equal | Comparison::NotEqual), lease) => {
                (key, comparison, NativeSubject::Lease(lease))
            }
            Compare::Lease(key, ..) => {
                return Err(Error::invalid("leases have no order; compare them by `=` or `!=`").with_key(key));
            }
            Compare::Held(fence) => {
                return Ok(NativeCompare {
                    range: KeyRange::single(fence.key),
                    comparison: Comparison::Equal,
                    subject: NativeSubject::Modified(fence.token),
                });
            }
        };
        let absolute = self.domain.key(&key).map_err(|error| error.with_key(key))?;
        self.check_key_size(&absolute)?;
        Ok(NativeCompare { range: KeyRange::single(absolute), comparison, subject })
    }

    fn lower_branch(
        &self,
        branch: Vec<TxnOp>,
        note: Option<Note>,
        leases: &HashMap<Duration, LeaseId>,
        compares: &[NativeCompare],
    ) -> Result<Vec<NativeOp>> {
        let limits = self.backend.limits();
        let mut written = BTreeSet::new();
        let mut attached: BTreeSet<LeaseId> = BTreeSet::new();
        let mut bytes: usize = compares.iter().map(compare_bytes).sum();
        let mut lowered = Vec::with_capacity(branch.len());
        for op in branch {
            let name = op.key().to_owned();
            let key = self.domain.key(&name).map_err(|error| error.with_key(&name))?;
            self.check_key_size(&key).map_err(|error| error.with_key(&name))?;
            bytes += key.len();
            if !matches!(op, TxnOp::Get { .. }) && !written.insert(key.clone()) {
                return Err(Error::invalid("a transaction's branch writes a key only once").with_key(name));
            }
            lowered.push(match op {
                TxnOp::Put { value, ttl, lease, .. } => {
                    self.check_put_size(&key, &value).map_err(|error| error.with_key(&name))?;
                    bytes += value.len();
                    if ttl.is_some() && lease.is_some() {
                        return Err(Error::invalid("a put takes a TTL or a lease, not both").with_key(name));
                    }
                    let lease = lease.or_else(|| leases.get(&ttl?).cloned());
                    attached.extend(lease.clone());
                    NativeOp::Put { key, value: Some(value), lease: LeaseChange::Set(lease), previous: false }
                }
                TxnOp::Delete { .. } => NativeOp::Delete { key, previous: true },
                TxnOp::Get { .. } => NativeOp::Get { key },
            });
        }
        if let Some(Note { key, value }) = note {
            bytes += key.len() + value.len();
            lowered.push(NativeOp::Put { key, value: Some(value), lease: LeaseChange::Set(None), previous: false });
        }
        let too_large = |what: &str, size: usize, limit: usize| {
            Err(Error::new(
                ErrorKind::TooLarge { limit },
                format!("the transaction has {size} {what}, the store takes {limit}"),
            ))
        };
        if lowered.len() + compares.len() > limits.batch_ops {
            return too_large("compares and operations", lowered.len() + compares.len(), limits.batch_ops);
        }
        if bytes > limits.batch_bytes {
            return too_large("bytes", bytes, limits.batch_bytes);
        }
        if attached.len() > limits.leases_per_batch {
            return Err(Error::invalid(format!(
                "the transaction attaches keys to {} leases, the store takes {} at once",
                attached.len(),
                limits.leases_per_batch
            )));
        }
        Ok(lowered)
    }

    async fn run(&self, txn: &NativeTxn, deadline: &mut Deadline) -> Result<TxnReply> {
        let reply = if self.require(Capabilities::NATIVE_TXN).is_ok() {
            self.run_natively(txn, deadline).await?
        } else {
            self.emulate(txn, deadline).await?
        };
        self.reply(txn, reply)
    }

    /// One that writes in neither branch is a read. The others are never sent twice: what became of the first would
    /// have to be known for every key that chose its branch.
    async fn run_natively(&self, txn: &NativeTxn, deadline: &mut Deadline) -> Result<NativeReply> {
        let writes = txn.then.iter().chain(&txn.otherwise).any(|op| !matches!(op, NativeOp::Get { .. }));
        let ask = || self.backend.native_txn(txn);
        let reply = if writes { deadline.write(ask).await? } else { deadline.read(ask).await? };
        self.seen.note(reply.revision);
        Ok(reply)
    }

    /// What the user sees of a reply.
    fn reply(&self, txn: &NativeTxn, reply: NativeReply) -> Result<TxnReply> {
        let branch = if reply.succeeded { &txn.then } else { &txn.otherwise };
        if branch.len() != reply.results.len() {
            return Err(mismatched_answer());
        }
        let revision = reply.revision;
        let told = branch.iter().zip(reply.results).filter(|(op, _)| !self.is_note(op));
        let results = told.map(|(op, result)| match (op, result) {
            (_, NativeResult::Written(OpResult::Put { entry, .. })) => {
                let action = action_of(&entry);
                self.pair(entry, action, revision).map(TxnResult::Put).ok_or_else(mismatched_answer)
            }
            (NativeOp::Delete { key, .. }, NativeResult::Written(OpResult::Deleted { previous, .. })) => {
                let pair = previous.and_then(|old| self.deleted_pair(key, Some(old), revision, KvAction::Delete));
                Ok(TxnResult::Deleted(pair))
            }
            (_, NativeResult::Get(entry)) => {
                Ok(TxnResult::Get(entry.and_then(|entry| self.pair(entry, KvAction::Get, revision))))
            }
            _ => Err(mismatched_answer()),
        });
        Ok(TxnReply { succeeded: reply.succeeded, revision, results: results.collect::<Result<_>>()? })
    }
}

impl Shared {
    /// Whether users know nothing of an operation: it writes where they cannot.
    fn is_note(&self, op: &NativeOp) -> bool {
        matches!(op, NativeOp::Put { key, .. } if self.domain.relative(key).is_none())
    }
}

fn ttl_of(op: &TxnOp) -> Option<Duration> {
    match op {
        TxnOp::Put { ttl, .. } => *ttl,
        _ => None,
    }
}
