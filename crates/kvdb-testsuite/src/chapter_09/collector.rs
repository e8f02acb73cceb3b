use kvdb_core::prelude::*;
use kvdb_core::recipes::{Replay, ReplayCallback, UpdatesCollector};
use kvdb_core::{Error, Options};

use crate::help::{eventually, expect_error, expect_kind};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

/// One update, as a replay tells it.
type Told = (String, KvAction, Revision);

fn told(pair: &KvPair) -> Told {
    (pair.key.clone(), pair.action, pair.modified_index)
}

/// A callback that keeps what it gets.
fn kept(all: &mut Vec<Told>) -> ReplayCallback<'_> {
    Box::new(|pair| {
        all.push(told(pair));
        Ok(())
    })
}

/// Replays everything below a prefix above a revision.
fn replay(collector: &UpdatesCollector, prefix: &str, after: Revision) -> kvdb_core::Result<(Vec<Told>, Revision)> {
    let mut all = Vec::new();
    let callback = kept(&mut all);
    let reached = collector.replay(&mut [Replay { prefix: prefix.to_owned(), after, callback }])?;
    Ok((all, reached))
}

async fn collected(collector: &UpdatesCollector, count: usize) -> Proof<(Vec<Told>, Revision)> {
    eventually("the updates are collected", async || Ok(replay(collector, "", Revision::ZERO)?.0.len() >= count))
        .await?;
    Ok(replay(collector, "", Revision::ZERO)?)
}

pub(super) async fn from_its_base(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let before = other.put("d/before", "1").await?.modified_index;
    let collector = UpdatesCollector::new(&kv, "d", None).await?;
    let (none, base) = replay(&collector, "", Revision::ZERO)?;
    ensure!(none.is_empty() && base >= before, "{none:?} up to {base}, begun behind {before}");
    // Everything that is answered after `new` has returned is in it.
    let ordered = ctx.has(Capabilities::ORDERED_UPDATES);
    let mut expected = vec![told(&other.put("d/a", "1").await?)];
    for _ in 0..2 {
        if !ordered {
            // A stream of cuts leaves out what is written over within one (7.6).
            collected(&collector, expected.len()).await?;
        }
        if expected.len() == 1 {
            expected.push(told(&other.put("d/a", "2").await?));
        }
    }
    other.put("e", "beside").await?;
    expected.push(told(&other.delete("d/a").await?));
    let reply = other.txn().then(put("d/x", "1")).then(put("d/y", "1")).await?;
    expected.extend(reply.results.iter().filter_map(TxnResult::pair).map(told));
    let (mut found, reached) = collected(&collector, 5).await?;
    ensure!(reached >= reply.revision, "reached {reached}");
    if ordered {
        ensure!(found.is_sorted_by_key(|told| told.2), "not in order: {found:?}");
        found.sort_by(|a, b| (a.2, &a.0).cmp(&(b.2, &b.0)));
        ensure_eq!(found, expected);
    }
    // Any number of replays, also while it collects.
    let more = told(&other.put("d/more", "1").await?);
    let (again, reached) = collected(&collector, 6).await?;
    ensure_eq!((again.last(), reached), (Some(&more), more.2));
    ensure_eq!(again[..5].len(), 5);
    Ok(())
}

pub(super) async fn filters(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let collector = UpdatesCollector::new(&kv, "", None).await?;
    let mut all = Vec::new();
    for key in ["a/x", "a/y", "ab", "a", "b/x", "a/x", "b/x/y", "a/x"] {
        all.push(told(&kv.put(key, "1").await?));
        if !ctx.has(Capabilities::ORDERED_UPDATES) {
            // A stream of cuts leaves out what is written over within one (7.6).
            collected(&collector, all.len()).await?;
        }
    }
    collected(&collector, all.len()).await?;
    let below = |prefix: &str, after: Revision| -> Vec<Told> {
        all.iter().filter(|told| told.0.starts_with(prefix) && told.2 > after).cloned().collect()
    };
    let middle = all[3].2;
    for (asked, prefix) in
        [("a", "a/"), ("///a//", "a/"), ("b", "b/"), ("b/x", "b/x/"), ("", ""), ("nothing", "nothing/")]
    {
        for after in [Revision::ZERO, all[0].2, middle, all[7].2] {
            ensure_eq!(replay(&collector, asked, after)?.0, below(prefix, after), "below {asked:?} above {after}");
        }
    }
    // Several at once get each their own, update by update.
    let (mut one, mut two) = (Vec::new(), Vec::new());
    let mut replays = [
        Replay { prefix: "a".into(), after: Revision::ZERO, callback: kept(&mut one) },
        Replay { prefix: "b".into(), after: middle, callback: kept(&mut two) },
    ];
    let reached = collector.replay(&mut replays)?;
    drop(replays);
    ensure_eq!((one, two, reached), (below("a/", Revision::ZERO), below("b/", middle), all[7].2));
    // A callback's error ends the replay and is what it answers.
    let mut calls = 0;
    let callback = Box::new(|_: &KvPair| {
        calls += 1;
        if calls == 2 { Err(Error::new(ErrorKind::StorageFull, "enough")) } else { Ok(()) }
    });
    let answer = collector.replay(&mut [Replay { prefix: String::new(), after: Revision::ZERO, callback }]);
    expect_kind(answer, &ErrorKind::StorageFull)?;
    ensure_eq!(calls, 2, "calls until the error");
    ensure_eq!(replay(&collector, "", Revision::ZERO)?.0.len(), all.len(), "a failed replay took something away");
    Ok(())
}

pub(super) async fn from_the_past(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let start = kv.put("d/a", "1").await?.modified_index;
    let expected = [told(&kv.put("d/a", "2").await?), told(&kv.delete("d/a").await?)];
    let collector = UpdatesCollector::new(&kv, "d", Some(start)).await?;
    let (found, reached) = collected(&collector, 2).await?;
    ensure_eq!((found.as_slice(), reached >= expected[1].2), (&expected[..], true));
    let ahead = Revision::new(reached.get() + 1_000_000_000);
    let refused = UpdatesCollector::new(&kv, "d", Some(ahead)).await;
    expect_error(refused, "FutureRevision", |kind| matches!(kind, ErrorKind::FutureRevision { .. }))?;
    expect_kind(UpdatesCollector::new(&kv, "a/../b", None).await, &ErrorKind::InvalidArgument)?;
    Ok(())
}

pub(super) async fn stopped(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let collector = UpdatesCollector::new(&kv, "", None).await?;
    kv.put("a", "1").await?;
    let before = collected(&collector, 1).await?;
    collector.stop();
    collector.stop();
    eventually("the server's watch has ended", async || Ok(tap.record.open_feeds() == 0)).await?;
    let running = UpdatesCollector::new(&kv, "", None).await?;
    kv.put("b", "1").await?;
    collected(&running, 1).await?;
    ensure_eq!(replay(&collector, "", Revision::ZERO)?, before, "what a stopped collector has");
    // Dropping one ends its watch, too.
    drop(running);
    eventually("the server's watch has ended", async || Ok(tap.record.open_feeds() == 0)).await?;
    Ok(())
}

pub(super) async fn watch_error(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let other = ctx.open().await?;
    let collector = UpdatesCollector::new(&kv, "", None).await?;
    other.put("a", "1").await?;
    collected(&collector, 1).await?;
    kv.close().await?;
    eventually("the error is kept", async || Ok(replay(&collector, "", Revision::ZERO).is_err())).await?;
    // Every time, and no callback is called: what it has is not all.
    for _ in 0..3 {
        let mut calls = 0;
        let callback = Box::new(|_: &KvPair| {
            calls += 1;
            Ok(())
        });
        let answer = collector.replay(&mut [Replay { prefix: String::new(), after: Revision::ZERO, callback }]);
        let error = expect_kind(answer, &ErrorKind::Closed)?;
        ensure!(error.operation().is_some(), "{error:?} does not say what failed");
        ensure_eq!(calls, 0, "callbacks of a replay that lacks updates");
    }
    expect_kind(UpdatesCollector::new(&kv, "", None).await, &ErrorKind::Closed)?;
    Ok(())
}

pub(super) async fn compacted(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let start = other.put("a", "1").await?.modified_index;
    let collector = UpdatesCollector::new(&kv, "", Some(start)).await?;
    other.put("a", "2").await?;
    collected(&collector, 1).await?;
    // Its feed breaks, and what it needs to go on is gone when the store is back.
    tap.faults.die();
    let mut last = start;
    for n in 0..10 {
        last = other.put("a", format!("{n}")).await?.modified_index;
    }
    other.compact(last).await?;
    tap.faults.revive();
    let gone = |kind: &ErrorKind| matches!(kind, ErrorKind::Compacted { .. });
    eventually("the error is kept", async || Ok(replay(&collector, "", Revision::ZERO).is_err())).await?;
    expect_error(replay(&collector, "", Revision::ZERO), "Compacted", gone)?;
    expect_error(UpdatesCollector::new(&kv, "", Some(start)).await, "Compacted", gone)?;
    Ok(())
}

pub(super) async fn no_history(ctx: Ctx) -> Proof {
    let (kv, _tap) = Tap::without(ctx.backend().await?, Capabilities::WATCH_RESUME).serve(&ctx, Options::new())?;
    let other = ctx.open().await?;
    other.put("d/gone", "1").await?;
    let start = other.put("d/stays", "1").await?.modified_index;
    other.delete("d/gone").await?;
    other.put("d/stays", "2").await?;
    // The store can say what is there now, and not that a key was deleted since: that is no list of updates.
    let gone = |kind: &ErrorKind| matches!(kind, ErrorKind::Compacted { .. });
    match UpdatesCollector::new(&kv, "d", Some(start)).await {
        Err(error) => drop(expect_error(Err::<(), _>(error), "Compacted", gone)?),
        Ok(collector) => {
            eventually("the error is kept", async || Ok(replay(&collector, "", Revision::ZERO).is_err())).await?;
            expect_error(replay(&collector, "", Revision::ZERO), "Compacted", gone)?;
        }
    }
    Ok(())
}

pub(super) async fn overflow(ctx: Ctx) -> Proof {
    const KEPT: usize = 64 << 20;
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let collector = UpdatesCollector::new(&kv, "big", None).await?;
    let size = ctx.limits().value_bytes.min(8 << 20);
    let value = Bytes::from(vec![b'x'; size]);
    let fit = (KEPT - 1024) / size;
    for put in 1..=fit {
        kv.put("big/one", value.clone()).await?;
        kv.put("beside", "1").await?;
        if !ctx.has(Capabilities::ORDERED_UPDATES) {
            collected(&collector, put).await?;
        }
    }
    let (found, _) = collected(&collector, fit).await?;
    ensure_eq!(found.len(), fit, "updates that are within the bound");
    kv.put("big/one", value).await?;
    eventually("the overflow is an error", async || Ok(replay(&collector, "", Revision::ZERO).is_err())).await?;
    let too_large = |kind: &ErrorKind| matches!(kind, ErrorKind::TooLarge { .. });
    expect_error(replay(&collector, "", Revision::ZERO), "TooLarge", too_large)?;
    // It lets go of what it had and of its watch.
    eventually("the server's watch has ended", async || Ok(tap.record.open_feeds() == 0)).await?;
    Ok(())
}

pub(super) async fn with_a_snapshot(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let writers = super::writers::Writers::start(&other, 40);
    writers.have_done(20).await?;
    let collector = UpdatesCollector::new(&kv, "w", None).await?;
    writers.have_done(60).await?;
    let snapshot = kv.snapshot(&["w"]).await?;
    writers.finish().await?;
    let end = other.put("w/~end", "1").await?.modified_index;
    eventually("everything is collected", async || Ok(replay(&collector, "", Revision::ZERO)?.1 >= end)).await?;
    let mut state: std::collections::BTreeMap<String, Bytes> =
        snapshot.list("w").await?.into_iter().map(|pair| (pair.key, pair.value)).collect();
    let callback = Box::new(|pair: &KvPair| {
        match pair.action {
            KvAction::Delete | KvAction::Expire => drop(state.remove(&pair.key)),
            _ => drop(state.insert(pair.key.clone(), pair.value.clone())),
        }
        Ok(())
    });
    let reached = collector.replay(&mut [Replay { prefix: "w".into(), after: snapshot.revision(), callback }])?;
    ensure!(reached >= end, "reached {reached} of {end}");
    let present = kv.list("w").await?.into_iter().map(|pair| (pair.key, pair.value));
    ensure_eq!(state, present.collect(), "the snapshot at {} and what came since", snapshot.revision());
    Ok(())
}
