//! A buffered transaction: reads are remembered, writes are kept back, and one guarded batch commits both (contract
//! 4.5 to 4.7).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::engine::{Deadline, normalize};
use crate::{
    CallOptions, Compare, Comparison, Error, ErrorKind, GetOptions, IntoValue, KvAction, KvPair, Kvdb, Result,
    Revision, Txn, TxnOp,
};

/// A transaction that is built up by reading and writing, then committed in one step.
///
/// It reads its own writes; a key that was read answers the same until the end. The commit is one batch guarded by all
/// that was read, so transactions are serializable: it fails with `Modified` if another writer changed what was read.
/// Cloning is cheap and every clone is the same transaction; dropping it without a commit leaves nothing.
pub struct Tx<'a, K: ?Sized> {
    kv: &'a K,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    reads: BTreeMap<String, Option<KvPair>>,
    writes: BTreeMap<String, Write>,
    ended: bool,
    /// Its commit met another writer.
    conflicted: bool,
}

#[derive(Clone, Debug)]
enum Write {
    Put { value: Bytes, ttl: Option<Duration> },
    Delete,
}

impl<K: ?Sized> Clone for Tx<'_, K> {
    fn clone(&self) -> Self {
        Self { kv: self.kv, state: Arc::clone(&self.state) }
    }
}

impl<K: ?Sized> fmt::Debug for Tx<'_, K> {
    /// Names only: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Tx")
            .field("reads", &state.reads.keys())
            .field("writes", &state.writes.keys())
            .field("ended", &state.ended)
            .finish_non_exhaustive()
    }
}

impl<K: ?Sized> Tx<'_, K> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of a transaction that has not ended.
    fn open(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.ended {
            return Err(Error::invalid("the transaction has ended; begin a new one"));
        }
        Ok(state)
    }
}

impl<'a, K: Kvdb + ?Sized> Tx<'a, K> {
    pub(crate) fn new(kv: &'a K) -> Self {
        Self { kv, state: Arc::default() }
    }

    /// Reads a key as this transaction sees it: its own write, else the store as it was when it was first read.
    ///
    /// # Errors
    /// Those of a read; `InvalidArgument` after the end.
    pub async fn get(&self, key: &str) -> Result<Option<KvPair>> {
        let key = normalize(key)?.into_owned();
        if let Some(known) = self.known(&key)? {
            return Ok(known);
        }
        let found = self.kv.get_opts(&key, GetOptions::default()).await?;
        let mut state = self.open()?;
        state.reads.entry(key.clone()).or_insert(found);
        drop(state);
        // Another clone may have read or written it meanwhile: the first answer stands.
        Ok(self.known(&key)?.flatten())
    }

    /// Reads a key as JSON.
    ///
    /// # Errors
    /// Those of [`Tx::get`]; `Serialization` naming the key.
    pub async fn get_val<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.get(key).await?.map(|pair| pair.json()).transpose()
    }

    /// Writes a key when the transaction commits.
    ///
    /// # Errors
    /// `InvalidArgument` for a key that cannot be, or after the end.
    pub fn put(&self, key: &str, value: impl IntoValue) -> Result<()> {
        self.write(key, Write::Put { value: value.into_value(), ttl: None })
    }

    /// Writes a key when the transaction commits, to be deleted after `ttl`.
    ///
    /// # Errors
    /// `InvalidArgument` for a key that cannot be, or after the end.
    pub fn put_ttl(&self, key: &str, value: impl IntoValue, ttl: Duration) -> Result<()> {
        self.write(key, Write::Put { value: value.into_value(), ttl: Some(ttl) })
    }

    /// Writes a key as JSON when the transaction commits.
    ///
    /// # Errors
    /// `Serialization`; `InvalidArgument` for a key that cannot be, or after the end.
    pub fn put_val<T: serde::Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<()> {
        let value = serde_json::to_vec(value).map_err(|source| {
            Error::new(ErrorKind::Serialization, "the value has no JSON form").with_key(key).with_source(source)
        })?;
        self.put(key, value)
    }

    /// Deletes a key when the transaction commits; an absent one is no error.
    ///
    /// # Errors
    /// `InvalidArgument` for a key that cannot be, or after the end.
    pub fn delete(&self, key: &str) -> Result<()> {
        self.write(key, Write::Delete)
    }

    fn write(&self, key: &str, write: Write) -> Result<()> {
        let key = normalize(key)?.into_owned();
        if key.is_empty() {
            return Err(Error::invalid("the key is empty"));
        }
        self.open()?.writes.insert(key, write);
        Ok(())
    }

    /// Checks that the commit would not fail now: what was read is unchanged, and the store takes what is written.
    ///
    /// # Errors
    /// `Modified` when what was read was changed; what the store would say to the writes.
    pub async fn prepare(&self) -> Result<()> {
        let txn = self.build(&*self.open()?);
        let (size, limit) = (txn.when.len() + txn.then.len(), self.kv.limits().batch_ops);
        if size > limit {
            let message = format!("the transaction has {size} reads and writes, the store takes {limit}");
            return Err(Error::new(ErrorKind::TooLarge { limit }, message));
        }
        // Refuses sizes and keys, and touches nothing: the branch that writes cannot run. Its compare takes a place that
        // the commit has for a write.
        for part in txn.then.chunks(limit.saturating_sub(1).max(1)) {
            let never = Compare::Value("prepare".to_owned(), Comparison::Less, Bytes::new());
            let refused = Txn { when: vec![never], then: part.to_vec(), ..Txn::default() };
            self.kv.txn_opts(refused, CallOptions::default()).await?;
        }
        self.check(Txn { then: Vec::new(), ..txn }).await.map(drop)
    }

    /// Commits everything in one step and ends the transaction; answers the revision of its writes.
    ///
    /// # Errors
    /// `Modified` when what was read was changed meanwhile: nothing is then written; `Ambiguous` when the store did not
    /// say. The transaction has ended either way.
    pub async fn commit(&self) -> Result<Revision> {
        let txn = {
            let mut state = self.open()?;
            state.ended = true;
            self.build(&state)
        };
        let committed = self.check(txn).await;
        self.lock().conflicted = committed.as_ref().is_err_and(|error| *error.kind() == ErrorKind::Modified);
        committed
    }

    /// Ends the transaction; nothing is written.
    ///
    /// # Errors
    /// `InvalidArgument` after the end.
    pub fn abort(&self) -> Result<()> {
        self.open()?.ended = true;
        Ok(())
    }

    async fn check(&self, txn: Txn) -> Result<Revision> {
        if txn.when.is_empty() && txn.then.is_empty() {
            return Ok(Revision::ZERO);
        }
        let reply = self.kv.txn_opts(txn, CallOptions::default()).await?;
        if reply.succeeded {
            return Ok(reply.revision);
        }
        Err(Error::new(ErrorKind::Modified, "another writer changed what the transaction read; run it again"))
    }

    /// The guards of all reads, then all writes.
    fn build(&self, state: &State) -> Txn {
        let reads = state.reads.iter().filter(|(key, _)| {
            // Writes that lie on what was read would hide it: the others are what a skew needs.
            !cfg!(kvdb_mutant = "tx_guards_written_keys_only") || state.writes.contains_key(*key)
        });
        let when = reads.map(|(key, pair)| match pair {
            Some(pair) => Compare::Modified(key.clone(), Comparison::Equal, pair.modified_index),
            None => Compare::Exists(key.clone(), false),
        });
        let then = state.writes.iter().map(|(key, write)| match write {
            Write::Put { value, ttl } => TxnOp::Put { key: key.clone(), value: value.clone(), ttl: *ttl, lease: None },
            Write::Delete => TxnOp::Delete { key: key.clone() },
        });
        Txn { when: when.collect(), then: then.collect(), ..Txn::default() }
    }

    /// What the transaction knows of a key; `None` if nothing.
    fn known(&self, key: &str) -> Result<Option<Option<KvPair>>> {
        let state = self.open()?;
        let read = state.reads.get(key);
        Ok(match state.writes.get(key) {
            Some(Write::Delete) => Some(None),
            Some(Write::Put { value, ttl }) => {
                let mut pair = read.cloned().flatten().unwrap_or_else(|| KvPair::new(key, Bytes::new()));
                pair.value = value.clone();
                pair.ttl = *ttl;
                pair.lease = None;
                pair.action = KvAction::Unknown;
                Some(Some(pair))
            }
            None => read.cloned(),
        })
    }
}

/// Runs the closure until its transaction commits.
pub(crate) async fn transact<'a, K, T, F, R>(kv: &'a K, closure: F, time: Duration) -> Result<T>
where
    K: Kvdb + ?Sized,
    F: Fn(Tx<'a, K>) -> R + Send + Sync,
    R: Future<Output = Result<T>> + Send,
{
    let mut deadline = Deadline::from_now(time);
    loop {
        let tx = Tx::new(kv);
        let outcome = closure(tx.clone()).await;
        let conflict = match outcome {
            Ok(answer) => {
                if tx.lock().ended {
                    return Ok(answer);
                }
                match tx.commit().await {
                    Ok(_) => return Ok(answer),
                    Err(error) => error,
                }
            }
            // It committed by itself, and has passed on what came of it.
            Err(error) if tx.lock().conflicted => {
                Error::new(ErrorKind::Modified, "the transaction's own commit met another writer").with_source(error)
            }
            // It may have failed over reads that do not belong together: only a confirmed failure counts.
            Err(error) => match tx.prepare().await {
                Err(stale) if *stale.kind() == ErrorKind::Modified => stale,
                _ => return Err(error),
            },
        };
        if *conflict.kind() != ErrorKind::Modified {
            return Err(conflict);
        }
        let contention =
            Error::new(ErrorKind::Contention, "others kept writing what the transaction read").with_source(conflict);
        deadline.pause(contention).await?;
    }
}
