//! If/then/else over an index: the store's own evaluation of a [`NativeTxn`].

use std::collections::BTreeSet;

use bytes::Bytes;

use super::index::Found;
use super::mvcc::Payload;
use super::stage::Stage;
use crate::{
    Batch, Comparison, Entry, Error, ErrorKind, Key, KeyRange, LeaseChange, Limits, NativeCompare, NativeOp,
    NativeReply, NativeResult, NativeSubject, NativeTxn, Op, OpResult, Page, Result, Revision, Scan,
};

/// What is kept while one transaction runs.
struct Run<F> {
    load: F,
    start: usize,
    written: BTreeSet<Key>,
    /// Which branch each transaction takes, the nested ones behind their own, as decided before the first write.
    branches: std::vec::IntoIter<bool>,
}

impl<V: Payload> Stage<'_, V> {
    /// Evaluates a transaction and stages what it writes, in one revision.
    ///
    /// # Errors
    /// `NotFound` when a put keeps the value or lease of an absent key, `InvalidArgument` when the run writes a key
    /// twice, `LeaseNotFound`, and what `load` answers; nothing is staged then.
    pub fn txn(&mut self, txn: &NativeTxn, mut load: impl FnMut(&Found<V>) -> Result<Bytes>) -> Result<NativeReply> {
        self.overlay_rows();
        let start = self.rows.len();
        let mut branches = Vec::new();
        self.decide(txn, &mut load, &mut branches)?;
        let mut run = Run { load, start, written: BTreeSet::new(), branches: branches.into_iter() };
        let reply = self.run(txn, &mut run);
        if reply.is_err() {
            self.withdraw(start);
            return reply;
        }
        self.close_batch(start);
        let revision = self.revision();
        reply.map(|reply| stamped(reply, revision))
    }

    fn decide(
        &self,
        txn: &NativeTxn,
        load: &mut impl FnMut(&Found<V>) -> Result<Bytes>,
        branches: &mut Vec<bool>,
    ) -> Result<()> {
        let mut succeeded = true;
        for compare in &txn.compares {
            succeeded = succeeded && self.compares(compare, load)?;
        }
        branches.push(succeeded);
        for op in branch(txn, succeeded) {
            if let NativeOp::Txn(nested) = op {
                self.decide(nested, load, branches)?;
            }
        }
        Ok(())
    }

    fn compares(&self, compare: &NativeCompare, load: &mut impl FnMut(&Found<V>) -> Result<Bytes>) -> Result<bool> {
        let keys = self.keys_of(&compare.range);
        if keys.is_empty() {
            return Ok(holds(compare.comparison, &compare.subject, None));
        }
        for key in keys {
            let entry = self.entry_now(&key, load)?;
            if !holds(compare.comparison, &compare.subject, entry.as_ref()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn run(&mut self, txn: &NativeTxn, run: &mut Run<impl FnMut(&Found<V>) -> Result<Bytes>>) -> Result<NativeReply> {
        let succeeded = run.branches.next().unwrap_or_default();
        let mut results = Vec::with_capacity(branch(txn, succeeded).len());
        for op in branch(txn, succeeded) {
            results.push(self.run_op(op, run)?);
        }
        Ok(NativeReply { succeeded, revision: Revision::ZERO, results })
    }

    fn run_op(&mut self, op: &NativeOp, run: &mut Run<impl FnMut(&Found<V>) -> Result<Bytes>>) -> Result<NativeResult> {
        Ok(match op {
            NativeOp::Put { key, value, lease, previous } => {
                let (value, lease) = self.kept(key, value.as_ref(), lease, run)?;
                let put = Op::Put { key: key.clone(), value, lease, previous: *previous };
                NativeResult::Written(self.write(&put, [key.clone()], run)?)
            }
            NativeOp::Delete { key, previous } => {
                let delete = Op::Delete { key: key.clone(), previous: *previous };
                NativeResult::Written(self.write(&delete, [key.clone()], run)?)
            }
            NativeOp::DeleteRange { range } => {
                let delete = Op::DeleteRange { range: range.clone() };
                NativeResult::Written(self.write(&delete, self.keys_of(range), run)?)
            }
            NativeOp::Get { key } => NativeResult::Get(self.entry_now(key, &mut run.load)?),
            NativeOp::List { range, scan } => NativeResult::List(self.page(range, scan, run)?),
            NativeOp::Txn(nested) => NativeResult::Txn(self.run(nested, run)?),
        })
    }

    /// The value and lease of a put, those it keeps included.
    fn kept(
        &self,
        key: &Key,
        value: Option<&Bytes>,
        lease: &LeaseChange,
        run: &mut Run<impl FnMut(&Found<V>) -> Result<Bytes>>,
    ) -> Result<(Bytes, Option<crate::LeaseId>)> {
        if let (Some(value), LeaseChange::Set(lease)) = (value, lease) {
            return Ok((value.clone(), lease.clone()));
        }
        let Some(entry) = self.entry_now(key, &mut run.load)? else {
            let message = "a put that keeps the value or lease needs a present key";
            return Err(Error::new(ErrorKind::NotFound, message).with_key(key.to_string()));
        };
        let lease = match lease {
            LeaseChange::Set(lease) => lease.clone(),
            LeaseChange::Keep => entry.lease,
        };
        Ok((value.cloned().unwrap_or(entry.value), lease))
    }

    fn write(
        &mut self,
        op: &Op,
        keys: impl IntoIterator<Item = Key>,
        run: &mut Run<impl FnMut(&Found<V>) -> Result<Bytes>>,
    ) -> Result<OpResult> {
        for key in keys {
            if let Some(key) = run.written.replace(key) {
                return Err(Error::invalid("the transaction writes the key twice").with_key(key.to_string()));
            }
        }
        let result = self.op(op, run.start, &mut run.load)?;
        // What follows in the transaction sees it.
        self.overlay_rows();
        Ok(result)
    }

    fn page(
        &self,
        range: &KeyRange,
        scan: &Scan,
        run: &mut Run<impl FnMut(&Found<V>) -> Result<Bytes>>,
    ) -> Result<Page> {
        let mut keys = self.keys_of(range);
        let count = keys.len() as u64;
        if scan.reverse {
            keys.reverse();
        }
        keys.truncate(scan.limit.unwrap_or(usize::MAX));
        let mut page = Page { count: (scan.total || scan.count_only).then_some(count), ..Page::default() };
        if scan.keys_only {
            page.names = keys;
        } else if !scan.count_only {
            for key in keys {
                page.entries.extend(self.entry_now(&key, &mut run.load)?);
            }
        }
        Ok(page)
    }
}

fn branch(txn: &NativeTxn, succeeded: bool) -> &[NativeOp] {
    if succeeded { &txn.then } else { &txn.otherwise }
}

/// Whether a compare holds for one key; see [`NativeCompare`] for an absent one.
pub(crate) fn holds(comparison: Comparison, subject: &NativeSubject, entry: Option<&Entry>) -> bool {
    match subject {
        NativeSubject::Value(value) => entry.is_some_and(|entry| comparison.holds(&entry.value, value)),
        NativeSubject::Created(revision) => {
            comparison.holds(&entry.map_or(Revision::ZERO, |entry| entry.created), revision)
        }
        NativeSubject::Modified(revision) => {
            comparison.holds(&entry.map_or(Revision::ZERO, |entry| entry.modified), revision)
        }
        NativeSubject::Version(version) => {
            comparison.holds(&entry.map_or(0, |entry| entry.version.unwrap_or_default()), version)
        }
        NativeSubject::Lease(lease) => comparison.holds(&entry.and_then(|entry| entry.lease.clone()), lease),
    }
}

/// The same revision in a reply and all replies inside it.
fn stamped(mut reply: NativeReply, revision: Revision) -> NativeReply {
    reply.revision = revision;
    for result in &mut reply.results {
        match result {
            NativeResult::Txn(nested) => *nested = stamped(std::mem::replace(nested, blank()), revision),
            NativeResult::List(page) => page.revision = revision,
            NativeResult::Written(_) | NativeResult::Get(_) => {}
        }
    }
    reply
}

const fn blank() -> NativeReply {
    NativeReply { succeeded: false, revision: Revision::ZERO, results: Vec::new() }
}

/// Checks a transaction against what a store can take, as [`super::check_batch`] does a batch: each branch by itself.
///
/// # Errors
/// `TooLarge` over a limit; `InvalidArgument` for a branch that writes a key twice.
pub fn check_txn(txn: &NativeTxn, limits: &Limits) -> Result<()> {
    for branch in [&txn.then, &txn.otherwise] {
        let mut ops = Vec::with_capacity(branch.len());
        for op in branch {
            match op {
                NativeOp::Put { key, value, lease, previous } => ops.push(Op::Put {
                    key: key.clone(),
                    value: value.clone().unwrap_or_default(),
                    lease: match lease {
                        LeaseChange::Set(lease) => lease.clone(),
                        LeaseChange::Keep => None,
                    },
                    previous: *previous,
                }),
                NativeOp::Delete { key, previous } => ops.push(Op::Delete { key: key.clone(), previous: *previous }),
                NativeOp::DeleteRange { range } => ops.push(Op::DeleteRange { range: range.clone() }),
                NativeOp::Txn(nested) => check_txn(nested, limits)?,
                NativeOp::Get { .. } | NativeOp::List { .. } => {}
            }
        }
        let guards = txn.compares.iter().filter_map(|compare| compare.range.as_single());
        let guards = guards.map(|key| crate::Guard::Present(key.clone())).collect();
        super::check_batch(&Batch { guards, ops }, limits)?;
    }
    Ok(())
}
