use std::collections::BTreeMap;
use std::num::ParseIntError;

use kvdb_core::prelude::*;
use kvdb_core::recipes::{PrefixState, PrefixWatch, watch_prefix};

use crate::help::{expect_kind, soon};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

/// Records of numbers by key.
pub(super) type Numbers = PrefixWatch<String, i64>;

pub(super) fn number(pair: &KvPair) -> Result<(String, i64), ParseIntError> {
    pair.text().unwrap_or_default().parse().map(|number| (pair.key.clone(), number))
}

pub(super) fn tree<const N: usize>(records: [(&str, i64); N]) -> BTreeMap<String, i64> {
    records.into_iter().map(|(key, number)| (key.to_owned(), number)).collect()
}

pub(super) fn keys<K, V>(state: &PrefixState<K, V>) -> Vec<&str> {
    state.invalid.iter().map(|(key, _)| key.as_str()).collect()
}

/// The next state, which must come.
pub(super) async fn next<K: Send + 'static, V: Send + 'static>(
    watch: &mut PrefixWatch<K, V>,
) -> Proof<PrefixState<K, V>> {
    let state = soon("the next state", watch.next()).await?;
    Ok(state.ok_or_else(|| Failure::new("the watch has ended"))??)
}

/// Reads states until one has this tree; each on the way there may be an older one.
pub(super) async fn until(watch: &mut Numbers, wanted: &BTreeMap<String, i64>) -> Proof<PrefixState<String, i64>> {
    loop {
        let state = next(watch).await?;
        if state.tree == *wanted {
            return Ok(state);
        }
    }
}

pub(super) async fn first(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut empty = watch_prefix(&kv, "d", number)?;
    let state = next(&mut empty).await?;
    ensure_eq!((state.tree.len(), state.invalid.len(), state.resynced), (0, 0, false));
    // A prefix is a directory: what only begins with its text is beside it, and so is its own name.
    for (key, value) in [("d", "1"), ("d2", "2"), ("d/a", "3"), ("d/b/c", "4"), ("d/bad", "x"), ("e", "5")] {
        kv.put(key, value).await?;
    }
    for prefix in ["d", "/d/"] {
        let mut watch = watch_prefix(&kv, prefix, number)?;
        let state = next(&mut watch).await?;
        ensure_eq!(state.tree, tree([("d/a", 3), ("d/b/c", 4)]));
        ensure_eq!(keys(&state), ["d/bad"]);
        ensure!(!state.invalid[0].1.is_empty() && !state.resynced, "{state:?}");
        let listed = kv.get("d/bad").await?.map(|pair| pair.modified_index);
        ensure!(Some(state.revision) >= listed, "as of {}", state.revision);
    }
    let mut whole = watch_prefix(&kv, "", number)?;
    ensure_eq!(next(&mut whole).await?.tree.len(), 5);
    let state = until(&mut empty, &tree([("d/a", 3), ("d/b/c", 4)])).await;
    ensure!(state.is_ok(), "the one that was empty: {state:?}");
    Ok(())
}

pub(super) async fn bad_records(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    kv.put("d/a", "1").await?;
    kv.put("d/b", "2").await?;
    let mut watch = watch_prefix(&kv, "d", number)?;
    ensure_eq!(next(&mut watch).await?.tree, tree([("d/a", 1), ("d/b", 2)]));
    // The value of before is not kept, and the others are.
    other.put("d/a", "bad").await?;
    let state = until(&mut watch, &tree([("d/b", 2)])).await?;
    ensure_eq!(keys(&state), ["d/a"]);
    other.put("d/c", "bad, too").await?;
    let state = next(&mut watch).await?;
    ensure_eq!((keys(&state), state.tree.len()), (vec!["d/a", "d/c"], 1));
    // Deleted, it is neither; written well, it is a record.
    other.delete("d/c").await?;
    ensure_eq!(keys(&next(&mut watch).await?), ["d/a"]);
    other.put("d/a", "3").await?;
    let state = until(&mut watch, &tree([("d/a", 3), ("d/b", 2)])).await?;
    ensure!(state.invalid.is_empty(), "{state:?}");
    Ok(())
}

pub(super) async fn changes(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let mut watch = watch_prefix(&kv, "d", number)?;
    let mut revision = next(&mut watch).await?.revision;
    let mut expected = BTreeMap::new();
    for n in 0..20_i64 {
        let key = format!("d/{}", n % 3);
        let last = if n % 5 == 4 && expected.remove(&key).is_some() {
            other.delete(&key).await?
        } else {
            expected.insert(key.clone(), n);
            other.put(&key, n.to_string()).await?
        };
        let state = until(&mut watch, &expected).await?;
        ensure!(state.revision >= last.modified_index, "as of {}, after {}", state.revision, last.modified_index);
        ensure!(state.revision > revision && !state.resynced, "as of {} after {revision}", state.revision);
        revision = state.revision;
    }
    // Deleting needs no old value: records may be named by what is in them.
    let by_value = |pair: &KvPair| pair.json::<i64>().map(|number| (number, ()));
    let mut named = watch_prefix(&kv, "n", by_value)?;
    next(&mut named).await?;
    other.put("n/a", "7").await?;
    other.put("n/b", "7").await?;
    while next(&mut named).await?.revision < other.get("n/b").await?.map_or(revision, |pair| pair.modified_index) {}
    other.delete("n/a").await?;
    ensure!(next(&mut named).await?.tree.contains_key(&7), "the other record of its name went with it");
    other.delete("n/b").await?;
    ensure!(next(&mut named).await?.tree.is_empty(), "a record without its key");
    Ok(())
}

pub(super) async fn ends(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for prefix in ["a/../b", "_kvdb", "a\nb"] {
        expect_kind(watch_prefix(&kv, prefix, number), &ErrorKind::InvalidArgument)?;
    }
    let (mut closed, mut told) = (watch_prefix(&kv, "d", number)?, watch_prefix(&kv, "d", number)?);
    next(&mut closed).await?;
    closed.close();
    kv.put("d/a", "1").await?;
    ensure!(soon("the end", closed.next()).await?.is_none(), "a state after the close");
    next(&mut told).await?;
    kv.close().await?;
    // What was told before the close may come first.
    let error = loop {
        match soon("the end", told.next()).await? {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => crate::fail!("it ended without an error"),
        }
    };
    ensure_eq!(*error.kind(), ErrorKind::Closed);
    ensure!(soon("the end", told.next()).await?.is_none(), "a state after the end");
    ensure!(soon("the end", told.next()).await?.is_none(), "a state after the end");
    expect_kind(watch_prefix(&kv, "d", number), &ErrorKind::Closed)?;
    Ok(())
}
