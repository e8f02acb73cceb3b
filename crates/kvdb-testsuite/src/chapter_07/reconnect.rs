use std::sync::Arc;

use kvdb_core::Options;
use kvdb_core::prelude::*;

use super::writers::{Writers, mark, read_to_marker};
use crate::checker::Checker;
use crate::help::{eventually, expect_next_key, next_event, next_pair};
use crate::tap::{Call, Tap};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

pub(super) async fn under_writers(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let start = kv.put("start", "1").await?.modified_index;
    let mut plain = kv.watch_tree("w").await?;
    let mut rich = kv.watch_tree("w").previous().await?;
    let (other, mut truth) = (ctx.open().await?, Arc::default());
    let mut late = Vec::new();
    for round in 1..=8 {
        let opened = tap.record.watches().len();
        let writers = Writers::go_on(&other, 6, 12, truth);
        writers.have_done(20).await?;
        // Every other break finds the store away for a while.
        if round % 2 == 0 {
            tap.faults.refuse_from_now(&[Call::Watch]);
        }
        tap.faults.break_feeds();
        if round % 2 == 0 {
            writers.have_done(40).await?;
            tap.faults.heal(&[Call::Watch]);
        }
        if round == 3 {
            late.push(kv.watch_tree("w").after(start).await?);
        }
        truth = writers.finish().await?;
        eventually("both feeds are open again", async || Ok(tap.record.watches().len() >= opened + 2)).await?;
    }
    mark(&kv).await?;
    let fresh = Checker::from_empty("w/", start);
    let mut checkers = [fresh, Checker::from_empty("w/", start).with_previous(), Checker::from_empty("w/", start)];
    for (watch, checker) in [&mut plain, &mut rich].into_iter().chain(&mut late).zip(&mut checkers) {
        read_to_marker(watch, checker).await?;
        checker.finish(&truth).map_err(Failure::new)?;
    }
    Ok(())
}

pub(super) async fn away(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new().timeout(std::time::Duration::from_millis(500))).await?;
    let other = ctx.open().await?;
    other.put("d/old", "1").await?;
    let mut tree = kv.watch_tree("d").await?;
    let mut key = kv.watch_key("d/3").await?;
    other.put("d/before", "1").await?;
    expect_next_key(&mut tree, "d/before").await?;
    tap.faults.die();
    let before = tap.record.watches().len();
    let mut written = Vec::new();
    for n in 0..20 {
        written.push(other.put(&format!("d/{}", n % 5), format!("{n}")).await?);
    }
    written.push(other.delete("d/old").await?);
    tap.faults.revive();
    for expected in &written {
        let told = next_pair(&mut tree).await?;
        ensure_eq!((&told.key, told.modified_index), (&expected.key, expected.modified_index));
        ensure_eq!(told.value, expected.value);
    }
    for expected in written.iter().filter(|pair| pair.key == "d/3") {
        ensure_eq!(next_pair(&mut key).await?.modified_index, expected.modified_index);
    }
    other.put("d/end", "1").await?;
    expect_next_key(&mut tree, "d/end").await?;
    ensure!(tap.record.watches().len() > before, "the feeds were not opened anew, this proves nothing");
    Ok(())
}

pub(super) async fn without_history(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::without(ctx.backend().await?, Capabilities::WATCH_RESUME).serve(&ctx, Options::new())?;
    let other = ctx.open().await?;
    for key in ["d/changed", "d/gone", "d/same"] {
        other.put(key, "1").await?;
    }
    let mut watch = kv.watch_tree("d").await?;
    let mut failing = kv.watch_tree("d").on_gap(OnGap::Fail).await?;
    let mut whole = kv.watch_tree("d").current().await?;
    for _ in 0..4 {
        next_event(&mut whole).await?;
    }
    tap.faults.die();
    let changed = other.put("d/changed", "2").await?;
    let created = other.put("d/new", "2").await?;
    other.delete("d/gone").await?;
    other.put("d/fleeting", "2").await?;
    let last = other.delete("d/fleeting").await?;
    tap.faults.revive();
    for watch in [&mut watch, &mut whole] {
        let mut deleted = Vec::new();
        let mut put = Vec::new();
        let resynced = loop {
            match next_event(watch).await? {
                Event::Put(pair) => put.push((pair.key, pair.modified_index)),
                Event::Delete(pair) => deleted.push(pair.key),
                Event::Resynced { revision, complete: false } => break revision,
                Event::Progress(_) => {}
                event => crate::fail!("{event:?} among the differences"),
            }
        };
        let expected = [&changed, &created].map(|pair| (pair.key.clone(), pair.modified_index));
        ensure_eq!(put, expected, "changed and created keys, by revision");
        ensure_eq!(deleted, ["d/gone"]);
        ensure!(resynced >= last.modified_index, "resynced at {resynced}, behind {}", last.modified_index);
        let key = format!("d/end-{}", rand::random::<u32>());
        other.put(&key, "1").await?;
        eventually_told(watch, &key).await?;
    }
    crate::help::expect_error(
        loop {
            match failing.next().await {
                Some(Ok(Event::Progress(_))) => {}
                Some(result) => break result,
                None => crate::fail!("the watch ended without a reason"),
            }
        },
        "Compacted",
        |kind| matches!(kind, ErrorKind::Compacted { .. }),
    )?;
    ensure!(failing.next().await.is_none(), "something comes after the end");
    eventually("the ended watch lets go of its feed", async || Ok(tap.record.open_feeds() <= 2)).await
}

/// Passes over what another reader's marker makes.
async fn eventually_told(watch: &mut Watch, key: &str) -> Proof {
    while next_pair(watch).await?.key != key {}
    Ok(())
}
