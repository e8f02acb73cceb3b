use std::sync::Arc;

use kvdb_core::Options;
use kvdb_core::prelude::*;

use crate::help::{expect_error, expect_next_key, next_event, soon};
use crate::tap::{Call, Tap};
use crate::{Ctx, Proof, ensure, ensure_eq};

fn is_compacted(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::Compacted { .. })
}

/// Makes changes behind the back of a handle whose feeds are broken, and takes the history of them away.
async fn lose_history(other: &Handle, tap: &Tap, changes: impl AsyncFnOnce() -> Proof<Revision>) -> Proof<Revision> {
    tap.faults.refuse_from_now(&[Call::Watch]);
    tap.faults.break_feeds();
    let last = changes().await?;
    other.compact(last).await?;
    tap.faults.heal(&[Call::Watch]);
    Ok(last)
}

pub(super) async fn compacted(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let mut pairs = Vec::new();
    for n in 0..6 {
        pairs.push(other.put("d/a", format!("{n}")).await?.modified_index);
    }
    other.compact(pairs[3]).await?;
    // From history that is gone: refused at once, or as the first thing.
    let refused = match kv.watch_tree("d").after(pairs[0]).await {
        Err(error) => error,
        Ok(mut watch) => {
            let first = soon("the end of the watch", watch.next()).await?;
            let error = expect_error(first.transpose(), "Compacted", is_compacted)?;
            ensure!(watch.next().await.is_none(), "something comes after the end");
            error
        }
    };
    let ErrorKind::Compacted { oldest } = *refused.kind() else { crate::fail!("{refused:?}") };
    ensure!(oldest > pairs[0] && oldest <= pairs[3].next(), "oldest is {oldest}, compacted {}", pairs[3]);
    // From the compacted revision on everything is there.
    let mut watch = kv.watch_tree("d").after(pairs[3]).await?;
    for expected in &pairs[4..] {
        ensure_eq!(expect_next_key(&mut watch, "d/a").await?.modified_index, *expected);
    }
    // A running stream that cannot resume.
    let last = lose_history(&other, &tap, async || {
        other.put("d/b", "1").await?;
        Ok(other.put("d/b", "2").await?.modified_index)
    })
    .await?;
    let ended = soon("the end of the watch", watch.next()).await?;
    let error = expect_error(ended.transpose(), "Compacted", is_compacted)?;
    let ErrorKind::Compacted { oldest } = *error.kind() else { crate::fail!("{error:?}") };
    ensure!(oldest > pairs[5] && oldest <= last.next(), "oldest is {oldest}, compacted {last}");
    ensure!(soon("the stream stays ended", watch.next()).await?.is_none(), "something comes after the end");
    Ok(())
}

pub(super) async fn differences(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    for key in ["d/changed", "d/gone", "d/recreated", "d/same", "dd"] {
        other.put(key, "1").await?;
    }
    let mut now = kv.watch_tree("d").on_gap(OnGap::Resync).await?;
    let mut rich = kv.watch_tree("d").on_gap(OnGap::Resync).previous().await?;
    let mut current = kv.watch_tree("d").on_gap(OnGap::Resync).current().await?;
    for _ in 0..5 {
        next_event(&mut current).await?;
    }
    let last = lose_history(&other, &tap, async || {
        other.put("d/changed", "2").await?;
        other.put("d/new", "2").await?;
        other.delete("d/gone").await?;
        other.delete("d/recreated").await?;
        other.put("d/recreated", "2").await?;
        other.delete("dd").await?;
        Ok(other.put("outside", "2").await?.modified_index)
    })
    .await?;
    for (watch, previous) in [(&mut now, false), (&mut rich, true), (&mut current, false)] {
        let (mut put, mut deleted) = (Vec::new(), Vec::new());
        let at = loop {
            match next_event(watch).await? {
                Event::Put(pair) => put.push(pair),
                Event::Delete(pair) => deleted.push(pair),
                Event::Resynced { revision, complete } => {
                    ensure!(!complete, "differences are not the whole state");
                    break revision;
                }
                event => crate::fail!("{event:?} among the differences"),
            }
        };
        let names = |pairs: &[KvPair]| pairs.iter().map(|pair| pair.key.clone()).collect::<Vec<_>>();
        ensure_eq!(names(&put), ["d/changed", "d/new", "d/recreated"]);
        ensure_eq!(names(&deleted), ["d/gone"]);
        ensure!(put.iter().all(|pair| pair.text() == Some("2")), "old values: {put:?}");
        ensure!(at >= last, "resynced at {at}, the history is gone up to {last}");
        if previous {
            let before = |pair: &KvPair| pair.previous.as_ref().and_then(|old| old.text().map(str::to_owned));
            ensure_eq!(put.iter().map(before).collect::<Vec<_>>(), [Some("1".into()), None, Some("1".into())]);
            ensure_eq!(before(&deleted[0]).as_deref(), Some("1"));
        }
    }
    // And all of them go on.
    other.delete("d/same").await?;
    for watch in [&mut now, &mut rich, &mut current] {
        ensure_eq!(expect_next_key(watch, "d/same").await?.action, KvAction::Delete);
    }
    Ok(())
}

pub(super) async fn whole_state(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let old = kv.put("d/a", "1").await?;
    kv.put("d/gone", "1").await?;
    kv.put("d/b", "1").await?;
    kv.delete("d/gone").await?;
    let last = kv.put("d/a", "2").await?;
    kv.compact(last.modified_index).await?;
    let watch = kv.watch_tree("d").after(old.modified_index).on_gap(OnGap::Resync).await?;
    whole(watch, &kv, last.modified_index).await
}

/// Everything that is there, then `Resynced { complete: true }`, then what comes.
async fn whole(mut watch: Watch, kv: &Handle, last: Revision) -> Proof {
    let mut state = Vec::new();
    let at = loop {
        match next_event(&mut watch).await? {
            Event::Put(pair) => state.push((pair.key.clone(), pair.value)),
            Event::Resynced { revision, complete } => {
                ensure!(complete, "the whole state is told as differences");
                break revision;
            }
            Event::Progress(_) => {}
            event => crate::fail!("{event:?} in the whole state"),
        }
    };
    state.sort();
    ensure_eq!(state, [("d/a".to_owned(), Bytes::from("2")), ("d/b".to_owned(), Bytes::from("1"))]);
    ensure!(at >= last, "resynced at {at}, behind {last}");
    kv.put("d/end", "1").await?;
    expect_next_key(&mut watch, "d/end").await?;
    Ok(())
}

/// A handle over the store as one that keeps no history.
async fn forgetful(ctx: &Ctx) -> Proof<(Handle, Arc<Tap>)> {
    Ok(Tap::without(ctx.backend().await?, Capabilities::WATCH_RESUME).serve(ctx, Options::new())?)
}

pub(super) async fn unchanged_without_history(ctx: Ctx) -> Proof {
    let (kv, _) = forgetful(&ctx).await?;
    kv.put("d/a", "1").await?;
    let last = kv.put("d/b", "1").await?;
    for on_gap in [OnGap::Fail, OnGap::Resync] {
        let last = kv.put("d/b", "2").await?.modified_index.max(last.modified_index);
        let mut watch = kv.watch_tree("d").after(last).on_gap(on_gap).await?;
        let written = kv.put("d/end", "1").await?;
        ensure_eq!(expect_next_key(&mut watch, "d/end").await?.modified_index, written.modified_index);
    }
    Ok(())
}

pub(super) async fn changed_without_history(ctx: Ctx) -> Proof {
    let (kv, _) = forgetful(&ctx).await?;
    let old = kv.put("d/a", "1").await?;
    kv.put("d/gone", "1").await?;
    kv.put("d/b", "1").await?;
    kv.delete("d/gone").await?;
    let last = kv.put("d/a", "2").await?;
    let failed = match kv.watch_tree("d").after(old.modified_index).on_gap(OnGap::Fail).await {
        Ok(mut watch) => soon("the end of the watch", watch.next()).await?.transpose(),
        Err(error) => Err(error),
    };
    expect_error(failed, "Compacted", is_compacted)?;
    // Resync is the default here.
    let watch = kv.watch_tree("d").after(old.modified_index).await?;
    whole(watch, &kv, last.modified_index).await
}
