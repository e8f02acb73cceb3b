use std::time::{Duration, Instant};

use kvdb_core::prelude::*;
use kvdb_core::recipes::{OnConflict, PersistentLease, PersistentState};
use kvdb_core::{CallOptions, Kvdb, Options};

use super::persistent::{is_back, long, short};
use crate::help::{eventually, expect_kind, soon};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

/// Waits until it is in this state.
async fn is_in(held: &PersistentLease, wanted: PersistentState) -> Proof {
    eventually(&format!("it is {wanted:?}"), async || Ok(held.state() == wanted)).await
}

async fn text(kv: &Handle, key: &str) -> Proof<Option<String>> {
    Ok(kv.get(key).await?.and_then(|pair| pair.text().map(str::to_owned)))
}

pub(super) async fn yields(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let options = long(&ctx).on_conflict(OnConflict::Yield);
    // Somebody is there already.
    other.put("a", "theirs").await?;
    let held = PersistentLease::new(&kv, "a", "ours", options.clone()).await?;
    is_in(&held, PersistentState::Yielded).await?;
    held.set_value("our second")?;
    ensure_eq!(text(&other, "a").await?.as_deref(), Some("theirs"));
    other.delete("a").await?;
    ensure_eq!(soon("it is ready", held.ready()).await??.text(), Some("our second"));
    // A deletion is no other value.
    other.delete("a").await?;
    is_back(&other, "a", "our second", "the deleted key is back").await?;
    soon("it is ready", held.ready()).await??;
    // Somebody comes later.
    other.put("a", "theirs again").await?;
    is_in(&held, PersistentState::Yielded).await?;
    ensure_eq!(text(&other, "a").await?.as_deref(), Some("theirs again"));
    held.close().await?;
    ensure_eq!(text(&other, "a").await?.as_deref(), Some("theirs again"));
    // Its own lost lease is nobody else.
    other.delete("a").await?;
    let held = PersistentLease::new(&kv, "a", "ours", options).await?;
    let pair = soon("it is ready", held.ready()).await??;
    let lease = pair.lease.clone().expect("it has a lease");
    kv.lease_revoke(&lease, CallOptions::default()).await?;
    let back = is_back(&other, "a", "ours", "the key is back").await?;
    ensure!(back.modified_index > pair.modified_index, "the key of a revoked lease stayed");
    held.close().await?;
    ensure_eq!(other.get("a").await?, None);
    Ok(())
}

pub(super) async fn own_lost_lease(ctx: Ctx) -> Proof {
    let ((kv, tap), other) = (Tap::open(&ctx, Options::new()).await?, ctx.open().await?);
    for on_conflict in [OnConflict::Yield, OnConflict::Fail] {
        let held = PersistentLease::new(&kv, "a", "ours", short(&ctx).on_conflict(on_conflict)).await?;
        let first = soon("it is ready", held.ready()).await??;
        let lost = first.lease.clone().expect("it has a lease");
        // The store still has the lease after its owner gave it up by its own clock.
        let keeping = tokio::spawn({
            let (other, lost, pause) = (other.clone(), lost.clone(), short(&ctx).ttl / 8);
            async move {
                while other.lease_keep_alive(&lost, CallOptions::default()).await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
            }
        });
        tap.faults.hold_feeds(true);
        tap.faults.stall_all();
        is_in(&held, PersistentState::Lost).await?;
        ensure_eq!(other.get("a").await?.and_then(|pair| pair.lease), Some(lost.clone()));
        tap.faults.hold_feeds(false);
        tap.faults.revive();
        let back = soon("it is ready again", held.ready()).await??;
        ensure!(back.lease.is_some() && back.lease != Some(lost), "{back:?} after {first:?}");
        held.close().await?;
        ensure_eq!(other.get("a").await?, None);
        soon("its leases are ended, the lost one, too", keeping).await??;
    }
    Ok(())
}

pub(super) async fn fails(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let options = long(&ctx).on_conflict(OnConflict::Fail);
    other.put("a", "theirs").await?;
    let refused = PersistentLease::new(&kv, "a", "ours", options.clone()).await?;
    expect_kind(soon("it answers", refused.ready()).await?, &ErrorKind::AlreadyExists)?;
    is_in(&refused, PersistentState::Failed).await?;
    expect_kind(refused.set_value("2"), &ErrorKind::AlreadyExists)?;
    refused.close().await?;
    ensure_eq!(text(&other, "a").await?.as_deref(), Some("theirs"));
    other.delete("a").await?;
    let held = PersistentLease::new(&kv, "a", "ours", options).await?;
    soon("it is ready", held.ready()).await??;
    other.delete("a").await?;
    is_back(&other, "a", "ours", "a deletion is no other value").await?;
    soon("it is ready", held.ready()).await??;
    other.put("a", "theirs").await?;
    is_in(&held, PersistentState::Failed).await?;
    drop(held);
    other.put("marker", "1").await?;
    ensure_eq!(text(&other, "a").await?.as_deref(), Some("theirs"));
    Ok(())
}

pub(super) async fn fight(ctx: Ctx) -> Proof {
    let (one, other, third) = (ctx.open().await?, ctx.open().await?, ctx.open().await?);
    let first = PersistentLease::new(&one, "a", "one", short(&ctx)).await?;
    soon("the first is ready", first.ready()).await??;
    let second = PersistentLease::new(&other, "a", "other", short(&ctx)).await?;
    soon("the second is ready", second.ready()).await??;
    // Here the time that passes is what is tested: each puts its value at growing intervals.
    let (began, mut watch, mut puts) = (Instant::now(), third.watch_key("a").await?, 0);
    let counting = async {
        while let Some(event) = watch.next().await {
            puts += usize::from(event?.pair().is_some());
        }
        Proof::Ok(())
    };
    let time = Duration::from_secs(4);
    if let Ok(ended) = tokio::time::timeout(time, counting).await {
        ended?;
    }
    ensure!(puts < 120, "{puts} writes within {:?}", began.elapsed());
    first.close().await?;
    is_back(&third, "a", "other", "the other one's key").await?;
    second.close().await?;
    ensure_eq!(third.get("a").await?, None);
    Ok(())
}
