use std::collections::BTreeMap;

use kvdb_core::Options;
use kvdb_core::prelude::*;

use super::writers::{Writers, expect_state, state_at};
use crate::checker::Checker;
use crate::decorate::Without;
use crate::help::{expect_error, expect_next_key, next_event, soon};
use crate::tap::Tap;
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

const ROUNDS: usize = 40;
const END: &str = "w/~end";

pub(super) async fn by_history(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let copied = ctx.open_over(Options::new(), Without::pins).await?;
    let writers = Writers::start(&kv, ROUNDS);
    let mut watches = Vec::new();
    for at in [1, 60, 160] {
        writers.have_done(at).await?;
        for reader in [&kv, &copied] {
            let snapshot = reader.snapshot(&["w"]).await?;
            // Some begin at once, some when much has happened since.
            let begun = if at == 60 { None } else { Some(reader.watch_tree("w").from(&snapshot).await?) };
            watches.push((snapshot, begun));
        }
    }
    let truth = writers.finish().await?;
    let end = kv.put(END, "end").await?;
    for (snapshot, begun) in watches {
        let start = snapshot.revision();
        let mut watch = match begun {
            Some(watch) => watch,
            None => kv.watch_tree("w").from(&snapshot).await?,
        };
        let mut checker = Checker::from_the_middle("w/", start);
        loop {
            let event = next_event(&mut watch).await?;
            if event.pair().is_some_and(|pair| pair.modified_index == end.modified_index) {
                break;
            }
            checker.take(&event).map_err(Failure::new)?;
        }
        checker.finish(&truth).map_err(Failure::new)?;
        // Snapshot and changes together are the present.
        let mut state: BTreeMap<_, _> =
            snapshot.list("w").await?.into_iter().map(|pair| (pair.key, pair.value)).collect();
        for told in checker.told() {
            match &told.value {
                Some(value) => drop(state.insert(told.key.clone(), value.clone())),
                None => drop(state.remove(&told.key)),
            }
        }
        let present = kv.list("w").await?.into_iter().filter(|pair| pair.key != END);
        ensure_eq!(state, present.map(|pair| (pair.key, pair.value)).collect(), "from the snapshot at {start} on");
    }
    // What was laid over a snapshot is not the store's.
    let snapshot = kv.snapshot(&["w"]).await?;
    snapshot.snap_put(&KvPair::new("w/laid/over", "x"))?;
    let mut watch = kv.watch_tree("w").from(&snapshot).await?;
    kv.put("w/next", "1").await?;
    expect_next_key(&mut watch, "w/next").await?;
    Ok(())
}

pub(super) async fn by_differences(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::without(ctx.backend().await?, Capabilities::WATCH_RESUME).serve(&ctx, Options::new())?;
    let other = ctx.open().await?;
    let writers = Writers::start(&other, ROUNDS);
    let mut watches = Vec::new();
    for at in [1, 60, 160] {
        writers.have_done(at).await?;
        let snapshot = kv.snapshot(&["w"]).await?;
        let begun = if at == 60 { None } else { Some(kv.watch_tree("w").previous().from(&snapshot).await?) };
        watches.push((snapshot, begun));
    }
    let truth = writers.finish().await?;
    for (snapshot, begun) in watches {
        let start = snapshot.revision();
        expect_state(&snapshot.list("w").await?, &state_at(&truth, start, "w/"), "a snapshot without history")?;
        let late = begun.is_none();
        let mut watch = match begun {
            Some(watch) => watch,
            None => kv.watch_tree("w").previous().from(&snapshot).await?,
        };
        // Written now, so that it comes behind the differences, of which deletions are the last.
        let end = other.put(END, format!("{start}")).await?;
        let mut state: BTreeMap<_, _> =
            snapshot.list("w").await?.into_iter().map(|pair| (pair.key, (pair.value, pair.modified_index))).collect();
        let mut told = 0;
        loop {
            match next_event(&mut watch).await? {
                Event::Put(pair) => {
                    ensure!(pair.modified_index > start, "{} of {} comes again", pair.key, pair.modified_index);
                    let before = pair.previous.map(|pair| (pair.value, pair.modified_index));
                    ensure_eq!(before, state.get(&pair.key).cloned(), "what was there before {}", pair.key);
                    let known = state.insert(pair.key.clone(), (pair.value, pair.modified_index));
                    ensure!(known.is_none_or(|known| known.1 < pair.modified_index), "{} comes again", pair.key);
                    told += 1;
                    if pair.modified_index == end.modified_index && ctx.has(Capabilities::ORDERED_UPDATES) {
                        break;
                    }
                }
                // Deletions are the last of a cut.
                Event::Progress(revision) if revision >= end.modified_index => break,
                Event::Delete(pair) => {
                    ensure!(pair.modified_index > start, "the deletion of {} lies before the snapshot", pair.key);
                    ensure!(state.remove(&pair.key).is_some(), "{} is deleted and was not there", pair.key);
                    told += 1;
                }
                Event::Progress(revision) => ensure!(revision >= start, "Progress({revision}) before {start}"),
                event => return Err(Failure::new(format_args!("unasked {event:?}"))),
            }
        }
        ensure!(!late || told < 60, "{told} events are no differences");
        let present = other.list("w").await?.into_iter().map(|pair| (pair.key, (pair.value, pair.modified_index)));
        ensure_eq!(state, present.collect(), "from the snapshot at {start} on");
    }
    // What was laid over a snapshot is not the store's: its absence is no deletion.
    let snapshot = kv.snapshot(&["w"]).await?;
    snapshot.snap_put(&KvPair::new("w/laid/over", "x"))?;
    let mut watch = kv.watch_tree("w").from(&snapshot).await?;
    other.put("w/next", "1").await?;
    expect_next_key(&mut watch, "w/next").await?;
    // It goes on over a break of its feed.
    tap.faults.break_feeds();
    other.put("w/last", "1").await?;
    expect_next_key(&mut watch, "w/last").await?;
    Ok(())
}

pub(super) async fn compacted(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    other.put("d/a", "1").await?;
    other.put("d/b", "1").await?;
    let snapshot = kv.snapshot(&["d"]).await?;
    let present = kv.snapshot(&["d"]).await?;
    ensure_eq!(present.revision(), snapshot.revision());
    // Nothing happened since: a compaction of what is past takes nothing away.
    let mut open = kv.watch_tree("d").from(&snapshot).await?;
    let mut last = snapshot.revision();
    for n in 0..5 {
        last = other.put("d/a", format!("{n}")).await?.modified_index;
        expect_next_key(&mut open, "d/a").await?;
    }
    other.delete("d/b").await?;
    last = last.max(other.put("d/end", "1").await?.modified_index);
    expect_next_key(&mut open, "d/b").await?;
    expect_next_key(&mut open, "d/end").await?;
    other.compact(last).await?;
    let gone = |kind: &ErrorKind| matches!(kind, ErrorKind::Compacted { oldest } if *oldest >= last);
    // Refused at once, or as the first thing.
    match kv.watch_tree("d").from(&snapshot).await {
        Err(error) => drop(expect_error(Err::<(), _>(error), "Compacted", gone)?),
        Ok(mut watch) => {
            let first = soon("the end of the watch", watch.next()).await?;
            expect_error(first.transpose(), "Compacted", gone)?;
            ensure!(watch.next().await.is_none(), "something comes after the end");
        }
    }
    // With on_gap(Resync) the differences to it come instead, or the whole state: what was not sent is not there.
    let mut watch = kv.watch_tree("d").on_gap(OnGap::Resync).from(&snapshot).await?;
    let mut state: BTreeMap<_, _> = snapshot.list("d").await?.into_iter().map(|pair| (pair.key, pair.value)).collect();
    let mut sent = Vec::new();
    loop {
        match next_event(&mut watch).await? {
            Event::Put(pair) => {
                sent.push(pair.key.clone());
                state.insert(pair.key, pair.value);
            }
            Event::Delete(pair) => drop(state.remove(&pair.key)),
            Event::Progress(_) => {}
            Event::Resynced { complete, .. } => {
                state.retain(|key, _| !complete || sent.contains(key));
                break;
            }
            event => return Err(Failure::new(format_args!("unasked {event:?}"))),
        }
    }
    let present = other.list("d").await?.into_iter().map(|pair| (pair.key, pair.value));
    ensure_eq!(state, present.collect(), "the snapshot and what came instead of its history");
    // The watch that was open all along lives.
    other.put("d/later", "1").await?;
    expect_next_key(&mut open, "d/later").await?;
    Ok(())
}
