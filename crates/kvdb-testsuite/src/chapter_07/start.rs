use futures_util::StreamExt;
use kvdb_core::prelude::*;
use kvdb_core::{Changes, KeyRange, WatchSpec};

use super::writers::{MARKER, Writers, mark, read_to_marker};
use crate::checker::Checker;
use crate::help::{expect_error, expect_next_key, next_event, next_pair, soon};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

pub(super) async fn now(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let before = kv.put("d/a", "1").await?;
    let mut watch = kv.watch_tree("d").await?;
    ensure!(watch.revision() >= before.modified_index, "began at {}", watch.revision());
    kv.put("d/b", "1").await?;
    expect_next_key(&mut watch, "d/b").await?;
    Ok(())
}

pub(super) async fn after(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let start = kv.put("outside", "1").await?;
    let mut pairs = Vec::new();
    for n in 0..10 {
        pairs.push(kv.put(&format!("d/{}", n % 4), format!("{n}")).await?);
    }
    let deleted = kv.delete("d/0").await?;
    for (n, pair) in pairs.iter().enumerate() {
        let mut watch = kv.watch_tree("d").after(pair.modified_index).await?;
        for expected in &pairs[n + 1..] {
            let told = next_pair(&mut watch).await?;
            ensure_eq!(
                (&told.key, &told.value, told.modified_index),
                (&expected.key, &expected.value, expected.modified_index)
            );
            ensure_eq!(told.action, expected.action);
        }
        let told = next_pair(&mut watch).await?;
        ensure_eq!((told.action, told.modified_index), (KvAction::Delete, deleted.modified_index));
        // And it goes on in the present.
        let end = kv.put("d/end", format!("{n}")).await?;
        let mut told = next_pair(&mut watch).await?;
        while told.modified_index < end.modified_index {
            ensure_eq!(told.key, "d/end");
            told = next_pair(&mut watch).await?;
        }
        ensure_eq!(told.modified_index, end.modified_index);
    }
    // One key of it, and everything there is.
    let mut one = kv.watch_key("d/3").after(start.modified_index).await?;
    ensure_eq!(next_pair(&mut one).await?.text(), Some("3"));
    ensure_eq!(next_pair(&mut one).await?.text(), Some("7"));
    let mut all = kv.watch_tree("").after(start.modified_index).await?;
    ensure_eq!(next_pair(&mut all).await?.modified_index, pairs[0].modified_index);
    // The future cannot be watched from.
    let ahead = deleted.modified_index.get() + 1_000_000_000;
    let future =
        |kind: &ErrorKind| matches!(kind, ErrorKind::FutureRevision { current } if *current >= deleted.modified_index);
    expect_error(kv.watch_tree("d").after(ahead).await, "FutureRevision", future)?;
    Ok(())
}

/// The same of the store itself: what it tells once too often an engine may pass over, another user of it does not.
pub(super) async fn after_of_the_store(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let store = ctx.backend().await?;
    let mut written = Vec::new();
    for n in 0..6 {
        written.push(kv.put("d/a", format!("{n}")).await?.modified_index);
        // What lies beside the range moves the store on, and is not told.
        kv.put("e", "1").await?;
    }
    let range = KeyRange::prefix(ctx.absolute("d/").as_bytes());
    for (n, after) in written.iter().enumerate() {
        let mut feed = store.watch(&WatchSpec::new(range.clone(), Some(*after), false)).await?;
        ensure!(feed.revision >= written[5], "the feed began at {}", feed.revision);
        let mut told = Vec::new();
        // Once all history is told it says so, at the revision of its registration or above.
        loop {
            match soon("the feed goes on", feed.changes.next()).await?.transpose()? {
                Some(Changes::Batch { revision, changes }) => told.push((revision, changes.len())),
                Some(Changes::Progress(revision)) if revision >= feed.revision => break,
                Some(Changes::Progress(_)) => {}
                other => crate::fail!("the feed tells {other:?}"),
            }
        }
        let expected: Vec<_> = written[n + 1..].iter().map(|revision| (*revision, 1)).collect();
        ensure_eq!(told, expected, "told after {after}");
    }
    Ok(())
}

pub(super) async fn after_under_writers(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let start = kv.put("start", "1").await?.modified_index;
    let writers = Writers::start(&kv, 6, 60);
    writers.have_done(60).await?;
    // In the middle of the writing: from the beginning, and from wherever the writers are.
    let mut early = kv.watch_tree("w").after(start).await?;
    let middle = writers.truth.last();
    let mut late = kv.watch_tree("w").after(middle).await?;
    let truth = writers.finish().await?;
    mark(&kv).await?;
    let mut whole = Checker::from_empty("w/", start);
    read_to_marker(&mut early, &mut whole).await?;
    whole.finish(&truth).map_err(Failure::new)?;
    let mut rest = Checker::from_the_middle("w/", middle);
    read_to_marker(&mut late, &mut rest).await?;
    rest.finish(&truth).map_err(Failure::new)?;
    whole.resume(&rest).map_err(Failure::new)?;
    Ok(())
}

pub(super) async fn current(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for n in 0..300 {
        kv.put(&format!("d/{n:03}"), format!("{n}")).await?;
    }
    kv.delete("d/007").await?;
    kv.put("d", "outside").await?;
    let last = kv.put("dd", "outside").await?;
    let mut watch = kv.watch_tree("d").current().await?;
    // Written while the state is told: behind Synced, not in it.
    let during = kv.put("d/during", "1").await?;
    let mut state = Vec::new();
    let synced = loop {
        match next_event(&mut watch).await? {
            Event::Put(pair) => state.push(pair),
            Event::Synced(revision) => break revision,
            event => crate::fail!("{event:?} in the present state"),
        }
    };
    let in_state = synced >= during.modified_index;
    ensure!(synced >= last.modified_index, "synced at {synced}, behind {}", last.modified_index);
    ensure_eq!(state.len(), 299 + usize::from(in_state));
    ensure!(state.is_sorted_by(|a, b| a.key < b.key), "the state is not in order, or a key is told twice");
    ensure!(!state.iter().any(|pair| pair.key == "d/007"), "a deleted key is in the state");
    if !in_state {
        ensure_eq!(expect_next_key(&mut watch, "d/during").await?.modified_index, during.modified_index);
    }
    kv.put("d/end", "1").await?;
    expect_next_key(&mut watch, "d/end").await?;
    Ok(())
}

pub(super) async fn current_as_of_the_call(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    kv.put("d/old", "1").await?;
    let mut watch = kv.watch_tree("d").current().await?;
    // Nobody has read the watch yet: what comes and goes now must be told as changes.
    let made = kv.put("d/new", "2").await?;
    let gone = kv.delete("d/new").await?;
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(match next_event(&mut watch).await? {
            Event::Put(pair) => (pair.key, pair.modified_index),
            Event::Delete(pair) => (format!("-{}", pair.key), pair.modified_index),
            Event::Synced(revision) => {
                ensure!(revision < made.modified_index, "synced at {revision}, after the call had returned");
                ("synced".to_owned(), made.modified_index)
            }
            event => crate::fail!("{event:?} is neither state nor change"),
        });
    }
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    ensure_eq!(names, ["d/old", "synced", "d/new", "-d/new"]);
    ensure_eq!(told[3].1, gone.modified_index);
    Ok(())
}

pub(super) async fn current_under_writers(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let writers = Writers::start(&kv, 6, 60);
    let mut watches = Vec::new();
    for done in [0, 60, 120, 240] {
        writers.have_done(done).await?;
        watches.push(kv.watch_tree("w").current().await?);
    }
    let truth = writers.finish().await?;
    let marker = mark(&kv).await?;
    let listing = kv.list("w").await?;
    for mut watch in watches {
        // One that is read after the marker was written has it in its state, and nothing comes behind it.
        let mut checker = Checker::from_current("w/");
        loop {
            let event = next_event(&mut watch).await?;
            let end = event.pair().is_some_and(|pair| pair.key == MARKER);
            checker.take(&event).map_err(Failure::new)?;
            if end && checker.told().last().is_some_and(|told| told.key == MARKER) {
                break;
            }
            if matches!(event, Event::Synced(revision) if revision >= marker.modified_index) {
                break;
            }
        }
        let noted = kv.get(MARKER).await?;
        noted.iter().for_each(|pair| truth.put(pair));
        checker.finish(&truth).map_err(Failure::new)?;
        ensure_eq!(checker.state().len(), listing.len());
        for pair in &listing {
            ensure_eq!(checker.state().get(&pair.key), Some(&pair.value), "state of {}", pair.key);
        }
        ensure!(checker.start() > Revision::ZERO, "never synced");
    }
    Ok(())
}
