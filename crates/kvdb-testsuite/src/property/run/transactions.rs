//! The steps about transactions.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use kvdb_core::{
    Compare, Comparison, ErrorKind, KvAction, KvdbExt, Revision, TxnOp, TxnReply, TxnResult, delete, get, put,
};

use super::{Check, Run, Stop, same};
use crate::property::model::bytes_of;
use crate::property::step::{Aim, Do, Step, Test, What};

/// What a comparison means, in the model's own words.
fn is<T: Ord + ?Sized>(comparison: Comparison, found: &T, wanted: &T) -> bool {
    let order = found.cmp(wanted);
    match comparison {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        _ => order == Ordering::Greater,
    }
}

fn op_of(operation: Do) -> TxnOp {
    match operation {
        Do::Put(key, value) => put(key, bytes_of(value)),
        Do::Delete(key) => delete(key),
        Do::Get(key) => get(key),
    }
}

/// Whether the branch writes a key twice.
fn twice(branch: &[Do]) -> bool {
    let mut written = BTreeSet::new();
    branch.iter().any(|operation| match operation {
        Do::Put(key, _) | Do::Delete(key) => !written.insert(key),
        Do::Get(_) => false,
    })
}

impl Run<'_> {
    pub(super) async fn transaction(&mut self, step: Step) -> Check {
        self.shares.transactions += 1;
        match step {
            Step::Txn { tests, count, then, otherwise } => self.txn(&tests[..count], &then, &otherwise).await,
            Step::Tx { reads, writes, meddle } => self.tx(reads, writes, meddle).await,
            step => Err(Stop::Wrong(format!("{step:?} is no transaction"))),
        }
    }

    /// The compare that a test asks for, and whether it holds.
    fn resolved(&self, test: Test) -> (Compare, bool) {
        let Test { key, what, comparison, aim } = test;
        let (known, last, name) = (self.model.keys.get(key), self.model.last(key), key.to_owned());
        let right = aim == Aim::Right;
        let number = |found: u64| if right { found } else { found + 1 };
        match what {
            What::Exists => (Compare::Exists(name, known.is_some() == right), right),
            What::Value => {
                let there = last.map_or_else(Vec::new, |last| last.value.clone());
                let wanted = if right { there } else { b"v3x".to_vec() };
                // On an absent key it is false, also !=.
                let holds = known.is_some_and(|known| is(comparison, &known.value, &wanted));
                (Compare::Value(name, comparison, wanted.into()), holds)
            }
            What::Created => {
                let found = known.map_or(0, |known| known.created);
                let wanted = number(found);
                (Compare::Created(name, comparison, Revision::new(wanted)), is(comparison, &found, &wanted))
            }
            What::Modified => {
                let found = known.map_or(0, |known| known.modified);
                let wanted = number(found);
                (Compare::Modified(name, comparison, Revision::new(wanted)), is(comparison, &found, &wanted))
            }
            What::Version => {
                let found = known.map_or(0, |known| known.version);
                let wanted = number(found);
                (Compare::Version(name, comparison, wanted), is(comparison, &found, &wanted))
            }
        }
    }

    async fn txn(&mut self, tests: &[Test], then: &[Do], otherwise: &[Do]) -> Check {
        let mut txn = self.kv.txn();
        let mut succeeds = true;
        for test in tests {
            let (compare, holds) = self.resolved(*test);
            txn = txn.when(compare);
            succeeds &= holds;
        }
        for operation in then {
            txn = txn.then(op_of(*operation));
        }
        for operation in otherwise {
            txn = txn.otherwise(op_of(*operation));
        }
        let answer = txn.await;
        if twice(then) || twice(otherwise) {
            return match answer {
                Err(error) if *error.kind() == ErrorKind::InvalidArgument => Ok(()),
                answer => Err(Stop::Wrong(format!("a branch that writes a key twice answers {answer:?}"))),
            };
        }
        let reply = answer?;
        same!(reply.succeeded, succeeds, "branch of the transaction");
        self.carried_out(if succeeds { then } else { otherwise }, &reply).await
    }

    /// Compares what a branch answered, op by op, and what a watch tells of it.
    async fn carried_out(&mut self, branch: &[Do], reply: &TxnReply) -> Check {
        same!(reply.results.len(), branch.len(), "results of the branch");
        let changes = self.changes(branch);
        let revision = self.revision_of(changes, reply.revision)?;
        for (operation, result) in branch.iter().zip(&reply.results) {
            match (operation, result) {
                (Do::Put(key, value), TxnResult::Put(pair)) => {
                    let (known, action, _) = self.model.put(revision, key, bytes_of(*value), None);
                    same!(pair.action, action, "action of {key}");
                    self.compare(pair, key, &known)?;
                }
                (Do::Delete(key), TxnResult::Deleted(pair)) => {
                    let known = self.model.keys.get(*key).cloned();
                    let found = pair.as_ref().map(|pair| (pair.value.to_vec(), pair.created_index.get()));
                    same!(found, known.map(|known| (known.value, known.created)), "deleted {key}");
                    same!(pair.as_ref().is_none_or(|pair| pair.modified_index == revision), true, "revision of {key}");
                    if pair.is_some() {
                        self.model.remove(revision, &[(*key).to_owned()], KvAction::Delete);
                    }
                }
                (Do::Get(key), TxnResult::Get(pair)) => {
                    self.got(pair.clone(), key, self.model.keys.get(*key).cloned())?;
                }
                other => return Err(Stop::Wrong(format!("a result of another kind: {other:?}"))),
            }
        }
        self.told(changes).await.map(drop)
    }

    /// How many keys a branch changes.
    fn changes(&self, branch: &[Do]) -> usize {
        let changes = branch.iter().filter(|operation| match operation {
            Do::Put(..) => true,
            Do::Delete(key) => self.model.keys.contains_key(*key),
            Do::Get(_) => false,
        });
        changes.count()
    }

    /// The revision of a transaction, which takes one only if it changes something.
    fn revision_of(&self, changes: usize, found: Revision) -> Check<u64> {
        if changes > 0 {
            return self.next_revision(found.get());
        }
        if self.exact {
            same!(found.get(), self.model.revision, "revision of a transaction that changes nothing");
        }
        Ok(self.model.revision)
    }

    async fn tx(&mut self, reads: [&'static str; 2], writes: [Do; 2], meddle: Option<(&'static str, u16)>) -> Check {
        let tx = self.kv.tx();
        let mut read = BTreeSet::from(reads);
        for key in reads {
            let found = tx.get(key).await?;
            self.got(found, key, self.model.keys.get(key).cloned())?;
        }
        // By name: the last write of a key counts.
        let mut written: BTreeMap<&'static str, Option<u16>> = BTreeMap::new();
        for operation in writes {
            match operation {
                Do::Put(key, value) => {
                    tx.put(key, bytes_of(value))?;
                    written.insert(key, Some(value));
                }
                Do::Delete(key) => {
                    tx.delete(key)?;
                    written.insert(key, None);
                }
                Do::Get(key) => {
                    let found = tx.get(key).await?.map(|pair| pair.value.to_vec());
                    let known = self.model.keys.get(key).map(|known| known.value.clone());
                    let expected = written.get(key).map_or(known, |own| own.map(bytes_of));
                    same!(found, expected, "{key} as a Tx reads it");
                    if !written.contains_key(key) {
                        read.insert(key);
                    }
                }
            }
        }
        tx.prepare().await?;
        if let Some((key, value)) = meddle {
            self.put(key, value, false).await?;
        }
        let answer = tx.commit().await;
        if meddle.is_some_and(|(key, _)| read.contains(key)) {
            self.shares.conflict += 1;
            return match answer {
                Err(error) if *error.kind() == ErrorKind::Modified => Ok(()),
                answer => {
                    Err(Stop::Wrong(format!("{meddle:?} after reading {read:?}, and the commit answers {answer:?}")))
                }
            };
        }
        let committed = answer?;
        let branch: Vec<Do> = written
            .into_iter()
            .map(|(key, value)| value.map_or(Do::Delete(key), |value| Do::Put(key, value)))
            .collect();
        let changes = self.changes(&branch);
        let revision = self.revision_of(changes, committed)?;
        for operation in branch {
            match operation {
                Do::Put(key, value) => drop(self.model.put(revision, key, bytes_of(value), None)),
                Do::Delete(key) | Do::Get(key) => self.model.remove(revision, &[key.to_owned()], KvAction::Delete),
            }
        }
        self.told(changes).await.map(drop)
    }
}
