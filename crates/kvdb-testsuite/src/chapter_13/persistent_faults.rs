use std::time::{Duration, Instant};

use kvdb_core::Options;
use kvdb_core::prelude::*;
use kvdb_core::recipes::{PersistentLease, PersistentState};

use super::persistent::{is_back, long, short};
use crate::help::{SOON, eventually, soon};
use crate::tap::{Call, Tap};
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn set_while_away(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    for stalled in [false, true] {
        if stalled {
            tap.faults.stall_all();
        } else {
            tap.faults.die();
        }
        let held = PersistentLease::new(&kv, "a", "0", long(&ctx)).await?;
        let began = Instant::now();
        for n in 1..=100 {
            held.set_value(n.to_string())?;
        }
        ensure!(began.elapsed() < Duration::from_secs(5), "setting values took {:?}", began.elapsed());
        ensure_eq!(held.state(), PersistentState::Pending);
        ensure_eq!(other.get("a").await?, None);
        tap.faults.revive();
        ensure_eq!(soon("the last value is put", held.ready()).await??.text(), Some("100"));
        // Once more with the key at the store.
        if stalled {
            tap.faults.stall_all();
        } else {
            tap.faults.die();
        }
        held.set_value("101")?;
        held.set_value("102")?;
        ensure_eq!(other.get("a").await?.and_then(|pair| pair.text().map(str::to_owned)), Some("100".to_owned()));
        tap.faults.revive();
        ensure_eq!(soon("the last value is put", held.ready()).await??.text(), Some("102"));
        held.close().await?;
        ensure_eq!(other.get("a").await?, None);
    }
    Ok(())
}

pub(super) async fn partition(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let held = PersistentLease::new(&kv, "a", "1", short(&ctx)).await?;
    let first = soon("the key is put", held.ready()).await??;
    tap.faults.die();
    let gone = async || Ok(other.get("a").await?.is_none());
    eventually("the key is gone with its lease", gone).await?;
    ensure_eq!(soon("the loss", held.changed(PersistentState::Present)).await?, PersistentState::Lost);
    held.set_value("2")?;
    tap.faults.revive();
    let back = is_back(&other, "a", "2", "the key is back").await?;
    ensure!(back.lease != first.lease, "back under the lost lease");
    soon("it is told", held.ready()).await??;
    ensure_eq!(held.state(), PersistentState::Present);
    held.close().await?;
    ensure_eq!(other.get("a").await?, None);
    Ok(())
}

pub(super) async fn local_deadline(ctx: Ctx) -> Proof {
    let options = short(&ctx);
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let began = Instant::now();
    let held = PersistentLease::new(&kv, "a", "1", options.clone()).await?;
    soon("the key is put", held.ready()).await??;
    // No word of the store comes through, neither answers nor events.
    tap.faults.hold_feeds(true);
    tap.faults.stall_all();
    ensure_eq!(soon("the loss", held.changed(PersistentState::Present)).await?, PersistentState::Lost);
    ensure!(began.elapsed() >= options.ttl, "given up after {:?} of {:?}", began.elapsed(), options.ttl);
    let bound = options.ttl * 2 + Duration::from_secs(1);
    ensure!(began.elapsed() <= bound, "known only after {:?}", began.elapsed());
    tap.faults.hold_feeds(false);
    tap.faults.revive();
    soon("the key is back", held.ready()).await??;
    held.close().await?;
    Ok(())
}

pub(super) async fn restart(ctx: Ctx) -> Proof {
    let options = short(&ctx);
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let held = PersistentLease::new(&kv, "a", "before", options.clone()).await?;
    let before = soon("the key is put", held.ready()).await??;
    // As if the process had ended: nothing is given up, and nothing comes from it any more.
    tap.faults.hold_feeds(true);
    tap.faults.stall_all();
    std::mem::forget(held);
    drop(kv);
    ctx.restart().await?;
    let kv = ctx.open().await?;
    let held = PersistentLease::new(&kv, "a", "after", options.clone()).await?;
    let after = soon("the key is put anew", held.ready()).await??;
    ensure!(after.lease != before.lease && after.text() == Some("after"), "{after:?} after {before:?}");
    // What is left of the first lease ends without its key.
    let began = Instant::now();
    eventually("twice the TTL", async || Ok(began.elapsed() > options.ttl * 2)).await?;
    ensure_eq!(kv.get("a").await?.map(|pair| pair.modified_index), Some(after.modified_index));
    held.close().await?;
    ensure_eq!(kv.get("a").await?, None);
    Ok(())
}

pub(super) async fn servers_restart(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let held = PersistentLease::new(&kv, "a", "before", short(&ctx)).await?;
    soon("the key is put", held.ready()).await??;
    ctx.restart().await?;
    // Whether its lease has outlived the restart or not.
    held.set_value("after")?;
    soon("the new value is put", held.ready()).await??;
    let other = ctx.open().await?;
    is_back(&other, "a", "after", "the key is back").await?;
    eventually("a deletion goes through", async || Ok(other.delete("a").await.is_ok())).await?;
    is_back(&other, "a", "after", "the deleted key is back").await?;
    held.close().await?;
    ensure_eq!(other.get("a").await?, None);
    Ok(())
}

pub(super) async fn close_while_away(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new().timeout(Duration::from_millis(300))).await?;
    let other = ctx.open().await?;
    let held = PersistentLease::new(&kv, "a", "1", long(&ctx)).await?;
    soon("the key is put", held.ready()).await??;
    tap.faults.stall_all();
    let began = Instant::now();
    let closed = soon("the close ends", held.close()).await?;
    ensure!(closed.is_err(), "a store that was not reached has removed the key");
    ensure!(began.elapsed() < SOON / 2, "closing took {:?}", began.elapsed());
    ensure_eq!(held.state(), PersistentState::Closed);
    ensure!(held.close().await.is_err(), "the second close hides what the first told");
    ensure!(other.get("a").await?.is_some(), "the key is gone though no call came through");
    tap.faults.revive();
    eventually("the key is removed in the background", async || Ok(other.get("a").await?.is_none())).await
}

pub(super) async fn lost_reply(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    for call in [Call::GrantReply, Call::CommitReply, Call::Watch, Call::Get, Call::Commit, Call::Grant] {
        tap.faults.refuse_next(call, 2);
        let held = PersistentLease::new(&kv, "a", "1", long(&ctx)).await?;
        soon("the key is put", held.ready()).await??;
        ensure_eq!(other.get("a").await?.and_then(|pair| pair.text().map(str::to_owned)), Some("1".to_owned()));
        tap.faults.heal(&[call]);
        held.close().await?;
        ensure_eq!(other.get("a").await?, None, "{call:?}");
    }
    Ok(())
}
