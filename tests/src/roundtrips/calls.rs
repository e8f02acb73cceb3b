//! Every verb on one key, and a transaction: one call each, what was there before included.

use kvdb::prelude::*;
use kvdb::{KvFlags, KvPair};
use kvdb_testsuite::{Proof, ensure, ensure_eq};
use libtest_mimic::Trial;

use super::etcd::{Counted, trial};

const TIMES: u64 = 1_000;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        absent("get of an absent key", async |kv, pair| {
            ensure_eq!(kv.get(&pair.key).await?, None);
            Ok(())
        }),
        present("get", async |kv, pair| {
            ensure_eq!(kv.get(&pair.key).await?.map(|found| found.modified_index), Some(pair.modified_index));
            Ok(())
        }),
        absent("put of an absent key", async |kv, pair| {
            ensure_eq!(kv.put(&pair.key, "2").await?.action, KvAction::Create);
            Ok(())
        }),
        present("put", async |kv, pair| {
            let written = kv.put(&pair.key, "2").await?;
            ensure_eq!((written.action, written.created_index), (KvAction::Set, pair.created_index));
            Ok(())
        }),
        present("put that answers the pair before", async |kv, pair| {
            let old = kv.put(&pair.key, "2").previous().await?.previous;
            ensure_eq!(old.map(|old| (old.value, old.modified_index)), Some((pair.value, pair.modified_index)));
            Ok(())
        }),
        absent("create", async |kv, pair| {
            ensure_eq!(kv.create(&pair.key, "2").await?.action, KvAction::Create);
            Ok(())
        }),
        present("update", async |kv, pair| {
            ensure_eq!(kv.update(&pair.key, "2").await?.created_index, pair.created_index);
            Ok(())
        }),
        present("compare and set by index", async |kv, pair| {
            let written = kv.compare_and_set(&with_value(&pair, "2"), KvFlags::MODIFIED_INDEX, None).await?;
            ensure!(written.modified_index > pair.modified_index);
            Ok(())
        }),
        present("compare and set by value", async |kv, pair| {
            let new = with_value(&pair, "2");
            let written = kv.compare_and_set(&new, KvFlags::empty(), Some(pair.value)).await?;
            ensure!(written.modified_index > pair.modified_index);
            Ok(())
        }),
        present("compare and delete by index", async |kv, pair| {
            let deleted = kv.compare_and_delete(&pair, KvFlags::MODIFIED_INDEX).await?;
            ensure_eq!((deleted.value, deleted.created_index), (pair.value, pair.created_index));
            Ok(())
        }),
        present("compare and delete by value", async |kv, pair| {
            let deleted = kv.compare_and_delete(&pair, KvFlags::empty()).await?;
            ensure_eq!((deleted.value, deleted.created_index), (pair.value, pair.created_index));
            Ok(())
        }),
        present("delete that answers the old pair", async |kv, pair| {
            let deleted = kv.delete(&pair.key).await?;
            ensure_eq!((deleted.value, deleted.created_index), (pair.value, pair.created_index));
            Ok(())
        }),
        present("transaction", async |kv, pair| {
            let txn = kv.txn().when(value(&pair.key).eq("1")).then(put(&pair.key, "2")).then(get("another"));
            ensure!(txn.otherwise(get(&pair.key)).await?.succeeded);
            Ok(())
        }),
        present("transaction whose other branch runs", async |kv, pair| {
            let txn = kv.txn().when(value(&pair.key).eq("3")).then(put(&pair.key, "2"));
            ensure!(!txn.otherwise(get(&pair.key)).await?.succeeded);
            Ok(())
        }),
    ]
}

fn with_value(pair: &KvPair, value: &'static str) -> KvPair {
    let mut pair = pair.clone();
    pair.value = value.into();
    pair
}

/// A thousand of `each`, on a key each that is not there.
fn absent<F: AsyncFn(&Handle, KvPair) -> Proof + Send + 'static>(what: &str, each: F) -> Trial {
    one_call(what, async |_| Ok(keys().map(|key| KvPair::new(key, "")).collect()), each)
}

/// A thousand of `each`, on a key each as it was written before: its value is `1`.
fn present<F: AsyncFn(&Handle, KvPair) -> Proof + Send + 'static>(what: &str, each: F) -> Trial {
    let write = async |counted: &Counted| {
        let mut pairs = Vec::new();
        for key in keys() {
            pairs.push(counted.kv.put(&key, "1").await?);
        }
        Ok(pairs)
    };
    one_call(what, write, each)
}

fn one_call<P, F>(what: &str, prepare: P, each: F) -> Trial
where
    P: AsyncFnOnce(&Counted) -> Proof<Vec<KvPair>> + Send + 'static,
    F: AsyncFn(&Handle, KvPair) -> Proof + Send + 'static,
{
    let name = format!("round trips: {TIMES} times {what} are {TIMES} calls");
    trial(&name, async move |counted| {
        let pairs = prepare(&counted).await?;
        let before = counted.calls()?;
        for pair in pairs {
            each(&counted.kv, pair).await?;
        }
        let calls = counted.calls()?.since(before);
        ensure_eq!(calls.all(), TIMES, "{calls:?}");
        Ok(())
    })
}

fn keys() -> impl Iterator<Item = String> {
    (0..TIMES).map(|n| format!("key-{n:04}"))
}
