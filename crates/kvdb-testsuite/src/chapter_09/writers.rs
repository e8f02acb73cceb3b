//! Eight writers that note what they were answered, and the state that follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kvdb_core::prelude::*;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::checker::Truth;
use crate::help::soon;
use crate::{Failure, Proof, ensure_eq};

const WRITERS: usize = 8;
/// How many writes they may be ahead of what is waited for, so that some are always under way.
const AHEAD: usize = 60;

/// Writers at work below `w/`.
#[derive(Debug)]
pub(super) struct Writers {
    tasks: JoinSet<Proof>,
    truth: Arc<Truth>,
    done: Arc<watch::Sender<usize>>,
    permits: Arc<Semaphore>,
}

impl Writers {
    /// Starts the writers: puts, deletions and transactions on keys that they share.
    pub(super) fn start(kv: &Handle, rounds: usize) -> Self {
        let (truth, done) = (Arc::<Truth>::default(), Arc::new(watch::Sender::new(0)));
        let permits = Arc::new(Semaphore::new(AHEAD));
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let (kv, truth, done, permits) = (kv.clone(), Arc::clone(&truth), Arc::clone(&done), Arc::clone(&permits));
            tasks.spawn(async move {
                for round in 0..rounds {
                    permits.acquire().await.map_err(Failure::new)?.forget();
                    write(&kv, writer, round, &truth).await?;
                    done.send_modify(|done| *done += 1);
                }
                Ok(())
            });
        }
        Self { tasks, truth, done, permits }
    }

    /// Waits until so many writes were answered.
    pub(super) async fn have_done(&self, writes: usize) -> Proof {
        self.permits.add_permits(writes.saturating_sub(*self.done.borrow()));
        let mut done = self.done.subscribe();
        soon("the writers get on", async { done.wait_for(|done| *done >= writes).await.map(drop) }).await??;
        Ok(())
    }

    /// Waits for the last write.
    pub(super) async fn finish(mut self) -> Proof<Arc<Truth>> {
        self.permits.add_permits(Semaphore::MAX_PERMITS / 2);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(self.truth)
    }
}

async fn write(kv: &Handle, writer: usize, round: usize, truth: &Truth) -> Proof {
    let key = |n: usize| format!("w/{}/{}", n % 3, (writer * 5 + round + n) % 7);
    let text = format!("{writer}-{round}");
    match (writer + round) % 4 {
        0 => match kv.delete(&key(0)).await {
            Ok(pair) => truth.deleted(&pair),
            Err(error) if *error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        },
        1 => {
            let reply = kv.txn().then(put(key(0), text.clone())).then(put(key(1), text)).then(delete(key(2))).await?;
            for result in &reply.results {
                match result {
                    TxnResult::Put(pair) => truth.put(pair),
                    TxnResult::Deleted(Some(pair)) => truth.deleted(pair),
                    _ => {}
                }
            }
        }
        _ => truth.put(&kv.put(&key(round), text).await?),
    }
    // A store that answers at once would let nobody else have a turn.
    tokio::task::yield_now().await;
    Ok(())
}

/// A pair as far as a state tells it: value, created and modified index.
pub(super) type Known = (Bytes, Revision, Revision);

/// The state at a revision below a prefix, by what the writers were answered.
pub(super) fn state_at(truth: &Truth, at: Revision, prefix: &str) -> BTreeMap<String, Known> {
    let mut state = BTreeMap::new();
    for told in truth.above(Revision::ZERO, |key| key.starts_with(prefix)) {
        if told.revision > at {
            break;
        }
        match told.value {
            Some(value) => drop(state.insert(told.key, (value, told.created, told.revision))),
            None => drop(state.remove(&told.key)),
        }
    }
    state
}

/// Wants pairs to be exactly a state, in order.
pub(super) fn expect_state(pairs: &[KvPair], state: &BTreeMap<String, Known>, what: &str) -> Proof {
    let found: Vec<_> = pairs.iter().map(|pair| pair.key.as_str()).collect();
    let expected: Vec<_> = state.keys().map(String::as_str).collect();
    ensure_eq!(found, expected, "keys of {what}");
    for (pair, (key, known)) in pairs.iter().zip(state) {
        let found = (pair.value.clone(), pair.created_index, pair.modified_index);
        ensure_eq!(found, *known, "{key} in {what}");
    }
    Ok(())
}
