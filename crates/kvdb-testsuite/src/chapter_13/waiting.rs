use std::time::Duration;

use futures_util::FutureExt;
use kvdb_core::Options;
use kvdb_core::prelude::*;
use kvdb_core::recipes::{Condition, wait_for, wait_for_within};

use crate::help::{eventually, expect_kind, soon};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

/// How long what never comes is waited for.
const A_WHILE: Duration = Duration::from_millis(300);

/// A wait in a task of its own.
fn waiting(kv: &Handle, condition: Condition) -> tokio::task::JoinHandle<Result<Option<KvPair>>> {
    let kv = kv.clone();
    tokio::spawn(async move { wait_for(&kv, "a", condition).await })
}

pub(super) async fn holds_already(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    ensure_eq!(soon("absent", wait_for(&kv, "a", Condition::Absent)).await??, None);
    let before = kv.put("before", "1").await?;
    let put = kv.put("a", "1").await?;
    for condition in [
        Condition::Exists,
        Condition::Value("1".into()),
        Condition::Above(before.modified_index),
        Condition::Above(Revision::ZERO),
    ] {
        let found = soon("it holds already", wait_for(&kv, "//a/", condition.clone())).await??;
        let found = found.map(|pair| (pair.key, pair.value, pair.modified_index));
        ensure_eq!(found, Some(("a".to_owned(), put.value.clone(), put.modified_index)), "{condition:?}");
    }
    // A key beside it, or below it, is another one.
    kv.delete("a").await?;
    kv.put("ab", "1").await?;
    kv.put("a/b", "1").await?;
    ensure_eq!(soon("absent", wait_for(&kv, "a", Condition::Absent)).await??, None);
    Ok(())
}

pub(super) async fn comes_later(ctx: Ctx) -> Proof {
    let ((kv, tap), other) = (Tap::open(&ctx, Options::new()).await?, ctx.open().await?);
    let waits = waiting(&kv, Condition::Exists);
    eventually("it watches", async || Ok(tap.record.open_feeds() > 0)).await?;
    ensure!(!waits.is_finished(), "an absent key exists: {:?}", waits.now_or_never());
    let first = other.put("a", "1").await?;
    let found = soon("the key", waits).await???;
    ensure_eq!(found.map(|pair| pair.modified_index), Some(first.modified_index));

    let value = waiting(&kv, Condition::Value("3".into()));
    let above = waiting(&kv, Condition::Above(first.modified_index));
    let gone = waiting(&kv, Condition::Absent);
    eventually("they watch", async || Ok(tap.record.open_feeds() > 0)).await?;
    ensure!(!value.is_finished() && !above.is_finished() && !gone.is_finished(), "a condition that does not hold");
    let second = other.put("a", "2").await?;
    let found = soon("a later write", above).await???;
    ensure_eq!(found.map(|pair| pair.modified_index), Some(second.modified_index));
    ensure!(!value.is_finished() && !gone.is_finished(), "a condition that does not hold");
    let third = other.put("a", "3").await?;
    let found = soon("the value", value).await???;
    ensure_eq!(found.map(|pair| pair.modified_index), Some(third.modified_index));
    ensure!(!gone.is_finished(), "a present key is absent");
    other.delete("a").await?;
    ensure_eq!(soon("the deletion", gone).await???, None);
    Ok(())
}

pub(super) async fn reconnects(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let seen = other.put("a", "1").await?;
    // Out of reach from the beginning.
    tap.faults.die();
    let waits = [
        waiting(&kv, Condition::Absent),
        waiting(&kv, Condition::Value("2".into())),
        waiting(&kv, Condition::Above(seen.modified_index)),
    ];
    for _ in 0..3 {
        tap.faults.revive();
        eventually("they watch", async || Ok(tap.record.open_feeds() > 0)).await?;
        tap.faults.die();
        eventually("the watch is broken", async || Ok(tap.record.open_feeds() == 0)).await?;
        ensure!(waits.iter().all(|wait| !wait.is_finished()), "a break of the watch is taken for success");
    }
    // What happens meanwhile is found afterwards.
    let second = other.put("a", "2").await?;
    tap.faults.revive();
    let [gone, value, above] = waits;
    for wait in [value, above] {
        let found = soon("the write while out of reach", wait).await???;
        ensure_eq!(found.map(|pair| pair.modified_index), Some(second.modified_index));
    }
    ensure!(!gone.is_finished(), "a present key is absent");
    tap.faults.die();
    other.delete("a").await?;
    tap.faults.revive();
    ensure_eq!(soon("the deletion while out of reach", gone).await???, None);
    Ok(())
}

pub(super) async fn no_false_success(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    kv.put("a", "1").await?;
    let waits = [waiting(&kv, Condition::Absent), waiting(&kv, Condition::Value("2".into()))];
    eventually("they watch", async || Ok(tap.record.open_feeds() > 0)).await?;
    kv.close().await?;
    for wait in waits {
        expect_kind(soon("the close", wait).await??, &ErrorKind::Closed)?;
    }
    expect_kind(wait_for(&kv, "a", Condition::Exists).await, &ErrorKind::Closed)?;
    let kv = ctx.open().await?;
    for key in ["", "a/../b", "_kvdb/x"] {
        expect_kind(wait_for(&kv, key, Condition::Absent).await, &ErrorKind::InvalidArgument)?;
    }
    Ok(())
}

pub(super) async fn bounded_and_dropped(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let waited = wait_for_within(&kv, "a", Condition::Exists, A_WHILE).await;
    expect_kind(waited, &ErrorKind::Timeout)?;
    kv.put("a", "1").await?;
    let within = Duration::from_secs(30);
    ensure!(wait_for_within(&kv, "a", Condition::Exists, within).await?.is_some(), "nothing found");
    // Dropped at any moment it leaves no watch.
    for polls in 0..6 {
        let left = crate::help::drop_after(wait_for(&kv, "a", Condition::Absent), polls);
        let ended = tokio::time::timeout(A_WHILE, left).await;
        ensure!(!matches!(ended, Ok(Some(_))), "a present key is absent: {ended:?}");
    }
    eventually("no watch is left", async || Ok(tap.record.open_feeds() == 0)).await
}
