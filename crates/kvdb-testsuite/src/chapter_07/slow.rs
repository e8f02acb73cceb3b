use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kvdb_core::Options;
use kvdb_core::prelude::*;
use tokio::task::JoinSet;

use super::cuts::Cuts;
use crate::checker::Checker;
use crate::help::{eventually, expect_next_key, next_event, soon};
use crate::tap::Tap;
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

/// Far more than any backlog that may be kept for a reader.
const WRITES: usize = 20_000;
const WRITERS: usize = 100;
/// As many values as a stopped reader may keep alive.
const KEPT: usize = WRITES / 5;

/// Writes so many times below `s`, many at once so that a store can group them.
async fn write_many(kv: &Handle, writes: usize) -> Proof {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let kv = kv.clone();
        writers.spawn(async move {
            let key = format!("s/{}", writer % 30);
            for n in 0..writes / WRITERS {
                kv.put(&key, format!("{writer} {n}")).await?;
                // A store that answers at once would let no reader have its turn.
                tokio::task::yield_now().await;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(())
}

pub(super) async fn stopped_reader(ctx: Ctx) -> Proof {
    if !ctx.has(Capabilities::ORDERED_UPDATES) {
        return stopped_reader_of_cuts(ctx).await;
    }
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let mut stopped = kv.watch_tree("s").await?;
    let mut beside = kv.watch_tree("e").await?;
    // A reader of the same upstream that does read.
    let mut reading = kv.watch_tree("s").await?;
    let start = reading.revision();
    let read = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&read);
    let reader = tokio::spawn(async move {
        let mut checker = Checker::from_empty("s/", start);
        loop {
            let event = next_event(&mut reading).await?;
            checker.take(&event).map_err(Failure::new)?;
            told.store(checker.told().len(), Ordering::SeqCst);
            if event.pair().is_some_and(|pair| pair.key == "s/~end") {
                return Ok::<_, Failure>(checker);
            }
        }
    });
    // In parts, so that the one that reads is never further behind than a history goes, however busy the machine is.
    let writer = ctx.open().await?;
    for part in 1..=4 {
        write_many(&writer, WRITES / 4).await?;
        eventually("the reader beside a stopped one gets on", async || {
            Ok(reader.is_finished() || read.load(Ordering::SeqCst) >= part * WRITES / 4)
        })
        .await?;
    }
    kv.put("e/a", "1").await?;
    expect_next_key(&mut beside, "e/a").await?;
    kv.put("s/~end", "1").await?;
    let whole = soon("the reader beside a stopped one gets on", reader).await???;
    ensure!(whole.told().len() == WRITES + 1, "the reader was told {} events", whole.told().len());
    let kept = tap.record.most_values_held();
    ensure!(kept < KEPT, "{kept} of {WRITES} values were kept for a stopped reader");

    // The one that stopped gets everything in order, or its beginning and then the reason.
    let mut checker = Checker::from_empty("s/", start);
    loop {
        match soon("the stopped reader goes on", stopped.next()).await? {
            Some(Ok(event)) => {
                checker.take(&event).map_err(Failure::new)?;
                if event.pair().is_some_and(|pair| pair.key == "s/~end") {
                    ensure_eq!(checker.told(), whole.told());
                    break;
                }
            }
            Some(Err(error)) => {
                ensure!(matches!(error.kind(), ErrorKind::Compacted { .. }), "ended with {error:?}");
                ensure!(whole.told().starts_with(checker.told()), "a gap before the end was told");
                ensure!(stopped.next().await.is_none(), "something comes after the end");
                break;
            }
            None => crate::fail!("the watch ended without a reason"),
        }
    }
    let kept = tap.record.most_values_held();
    ensure!(kept < KEPT, "{kept} of {WRITES} values were kept for a late reader");
    Ok(())
}

/// The same where a stream is a series of cuts: whoever lies behind is told the last state of every key in fewer.
async fn stopped_reader_of_cuts(ctx: Ctx) -> Proof {
    const WRITES: usize = 4000;
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let mut stopped = kv.watch_tree("s").on_gap(OnGap::Fail).await?;
    let mut beside = kv.watch_tree("e").await?;
    let mut reading = kv.watch_tree("s").await?;
    let start = reading.revision();
    let reader = tokio::spawn(async move {
        let mut cuts = Cuts::from(start);
        while !cuts.state.contains_key("s/~end") {
            cuts.take(next_event(&mut reading).await?)?;
        }
        Ok::<_, Failure>(cuts)
    });
    write_many(&ctx.open().await?, WRITES).await?;
    kv.put("e/a", "1").await?;
    expect_next_key(&mut beside, "e/a").await?;
    kv.put("s/~end", "1").await?;
    let whole = soon("the reader beside a stopped one gets on", reader).await???;
    let mut late = Cuts::from(start);
    while !late.state.contains_key("s/~end") {
        late.take(next_event(&mut stopped).await?)?;
    }
    ensure!(late.count < whole.count, "{} cuts for a reader that stopped, {} for the other", late.count, whole.count);
    ensure_eq!(late.state, whole.state);
    let present = kv.list("s").await?.into_iter().map(|pair| (pair.key, pair.value));
    ensure_eq!(late.state, present.collect());
    let kept = tap.record.most_values_held();
    ensure!(kept < WRITES / 3, "{kept} of {WRITES} values were kept for a stopped reader");
    Ok(())
}

pub(super) async fn stopped_reader_resyncs(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    kv.put("s/gone", "1").await?;
    let mut stopped = kv.watch_tree("s").on_gap(OnGap::Resync).current().await?;
    let mut checker = Checker::from_current("s/");
    for _ in 0..2 {
        checker.take(&next_event(&mut stopped).await?).map_err(Failure::new)?;
    }
    let mut state = checker.state();
    write_many(&ctx.open().await?, 4000).await?;
    kv.delete("s/gone").await?;
    let last = kv.put("s/~end", "1").await?;
    if ctx.has(Capabilities::COMPACT) {
        kv.compact(last.modified_index).await?;
    }
    let (mut resynced, mut cut) = (false, false);
    loop {
        match next_event(&mut stopped).await? {
            Event::Put(pair) => drop(state.insert(pair.key, pair.value)),
            Event::Delete(pair) | Event::Expire(pair) => drop(state.remove(&pair.key)),
            Event::Resynced { revision, complete } => {
                ensure!(!complete, "what the reader had is thrown away");
                ensure!(revision >= last.modified_index, "resynced at {revision}");
                resynced = true;
            }
            // The last of a cut, behind its deletions.
            Event::Progress(revision) => cut = revision >= last.modified_index,
            event => crate::fail!("unasked {event:?}"),
        }
        let ended = state.contains_key("s/~end") && (cut || ctx.has(Capabilities::ORDERED_UPDATES));
        if ended && (resynced || !ctx.has(Capabilities::COMPACT)) {
            break;
        }
    }
    let listing = kv.list("s").await?;
    let names: Vec<_> = listing.iter().map(|pair| &pair.key).collect();
    ensure_eq!(state.keys().collect::<Vec<_>>(), names);
    for pair in &listing {
        ensure_eq!(state.get(&pair.key), Some(&pair.value), "last state of {}", pair.key);
    }
    kv.put("s/after", "1").await?;
    expect_next_key(&mut stopped, "s/after").await?;
    Ok(())
}
