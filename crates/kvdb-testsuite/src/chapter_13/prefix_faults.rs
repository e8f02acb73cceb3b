use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::recipes::watch_prefix;
use kvdb_core::{Bytes, Options};

use super::prefix::{next, number, tree, until};
use crate::help::{eventually, soon};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn slow_reader(ctx: Ctx) -> Proof {
    const WRITES: usize = 3000;
    const WRITERS: usize = 50;
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let writer = ctx.open().await?;
    // The records are the values themselves, so that each one that is kept is counted.
    let decode = |pair: &KvPair| Ok::<_, Error>((pair.key.clone(), pair.value.clone()));
    let mut slow = watch_prefix(&kv, "s", decode)?;
    next(&mut slow).await?;
    let mut beside = watch_prefix(&kv, "s", decode)?;
    let mut writing = tokio::task::JoinSet::new();
    for n in 0..WRITERS {
        let writer = writer.clone();
        writing.spawn(async move {
            for turn in 0..WRITES / WRITERS {
                writer.put(&format!("s/{n}"), turn.to_string()).await?;
                tokio::task::yield_now().await;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = writing.join_next().await {
        ended??;
    }
    let last = writer.put("s/~end", "1").await?;
    // A reader beside it is not hindered; by then the slow one's task has been told the same.
    let newest = loop {
        let state = next(&mut beside).await?;
        if state.revision >= last.modified_index {
            break state.tree;
        }
    };
    let mut reads = 0;
    let state = loop {
        reads += 1;
        let state = next(&mut slow).await?;
        if state.revision >= last.modified_index {
            break state;
        }
    };
    // Its task may be in the middle of the last changes when it is read first.
    ensure!(reads <= 20, "{reads} states for {WRITES} changes that nobody read");
    ensure_eq!(state.tree, newest);
    ensure_eq!(state.tree.len(), WRITERS + 1);
    ensure!(!state.resynced || !ctx.has(Capabilities::WATCH_RESUME), "resynced without a gap");
    let value = Bytes::from((WRITES / WRITERS - 1).to_string());
    ensure!(state.tree.iter().all(|(key, found)| key == "s/~end" || *found == value), "not the newest: {state:?}");
    let kept = tap.record.most_values_held();
    ensure!(kept < WRITES / 2 + 2 * WRITERS, "{kept} of {WRITES} values were kept");
    Ok(())
}

pub(super) async fn resynced(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    // A store that forgets: what happens while it is out of reach is a gap.
    let forgets = Capabilities::WATCH_RESUME | Capabilities::ORDERED_UPDATES;
    let (kv, tap) = Tap::without(ctx.backend().await?, forgets).serve(&ctx, Options::new())?;
    for (key, value) in [("d/stays", "1"), ("d/goes", "2"), ("d/changes", "3"), ("d/bad", "x")] {
        other.put(key, value).await?;
    }
    let mut watch = watch_prefix(&kv, "d", number)?;
    let first = next(&mut watch).await?;
    ensure!(!first.resynced && first.tree.len() == 3, "{first:?}");
    for round in 1..=3_i64 {
        tap.faults.die();
        other.delete("d/goes").await?;
        other.put("d/changes", round.to_string()).await?;
        let last = other.put("d/bad", "y").await?;
        tap.faults.revive();
        let state = next(&mut watch).await?;
        ensure!(state.resynced, "the gap is not told: {state:?}");
        ensure_eq!(state.tree, tree([("d/stays", 1), ("d/changes", round)]));
        ensure!(state.invalid.len() == 1 && state.revision >= last.modified_index, "{state:?}");
        // Told once; and changes go on.
        other.put("d/goes", "2").await?;
        let state = until(&mut watch, &tree([("d/stays", 1), ("d/changes", round), ("d/goes", 2)])).await?;
        ensure!(!state.resynced, "told again: {state:?}");
    }
    Ok(())
}

pub(super) async fn reconnects(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    // It may be out of reach from the beginning, and nothing is waited for.
    tap.faults.die();
    let mut watch = watch_prefix(&kv, "d", number)?;
    other.put("d/a", "1").await?;
    tap.faults.revive();
    ensure_eq!(next(&mut watch).await?.tree, tree([("d/a", 1)]));
    for n in 2..5 {
        tap.faults.die();
        other.put("d/a", n.to_string()).await?;
        tap.faults.revive();
        let state = until(&mut watch, &tree([("d/a", n)])).await?;
        ensure!(!state.resynced || !ctx.has(Capabilities::WATCH_RESUME), "history was there: {state:?}");
    }
    drop(watch);
    eventually("the server's watch has ended", async || Ok(tap.record.open_feeds() == 0)).await
}

pub(super) async fn whole_transactions(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    // Decoding takes its time, so that a reader that was woken too soon is there between two keys.
    let slowly = |pair: &KvPair| {
        std::thread::sleep(Duration::from_millis(1));
        number(pair)
    };
    let mut watch = watch_prefix(&kv, "d", slowly)?;
    ensure!(next(&mut watch).await?.tree.is_empty(), "not empty");
    const LAST: i64 = 100;
    let writing = tokio::spawn(async move {
        for n in 0..=LAST {
            let text = n.to_string();
            // Three keys move together; the last of them comes and goes.
            let third = if n % 2 == 0 { put("d/c", &*text) } else { delete("d/c") };
            other.txn().then(put("d/a", &*text)).then(put("d/b", &*text)).then(third).await?;
        }
        Ok::<_, Error>(())
    });
    let read_all = async move {
        loop {
            let state = next(&mut watch).await?;
            let of = |key: &str| state.tree.get(key).copied();
            let (a, third) = (of("d/a"), of("d/c"));
            ensure!(a.is_some() && a == of("d/b"), "half a transaction: {state:?}");
            ensure_eq!(third, a.filter(|n| n % 2 == 0), "half a transaction: {state:?}");
            if a == Some(LAST) {
                return Proof::Ok(());
            }
        }
    };
    // On a thread of its own: a worker that decodes would not let the reader have its turn.
    let runtime = tokio::runtime::Handle::current();
    let reading = tokio::task::spawn_blocking(move || runtime.block_on(read_all));
    soon("the reader", reading).await???;
    soon("the writer", writing).await???;
    Ok(())
}
