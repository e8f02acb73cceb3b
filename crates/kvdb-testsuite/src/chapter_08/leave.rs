use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{CallOptions, Kvdb, Options};

use super::queued;
use crate::help::{drop_after, eventually, expect_error, expect_kind, soon};
use crate::tap::{Call, Tap};
use crate::{Ctx, Proof, ensure};

/// Drops a call after so many polls, or when it has nothing to do for a while.
async fn give_up<F: Future>(call: F, polls: usize) {
    let dropped = drop_after(call, polls);
    drop(tokio::time::timeout(Duration::from_millis(30), dropped).await);
}

/// Wants the lock to be free for another handle, and nothing left in its queue afterwards.
async fn free_for(other: &Handle, ctx: &Ctx, what: &str) -> Proof {
    let lock = soon(what, other.lock("job").id("next").into_future()).await??;
    lock.release().await?;
    eventually("nothing is left in the queue", async || Ok(queued(ctx, "job").await? == 0)).await
}

pub(super) async fn gives_up(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let holder = other.lock("job").await?;
    for n in 0..5 {
        let result = kv.lock("job").wait(Duration::from_millis(20 * n)).await;
        expect_error(result, "LockTimeout", |kind| matches!(kind, ErrorKind::LockTimeout { .. }))?;
    }
    eventually("the holder alone is left", async || Ok(queued(&ctx, "job").await? == 1)).await?;
    // One that gave up between two others breaks no chain.
    let last = {
        let other = other.clone();
        let kv = kv.clone();
        let middle = tokio::spawn(async move { kv.lock("job").wait(Duration::from_secs(2)).await.map(drop) });
        eventually("the middle one is queued", async || Ok(queued(&ctx, "job").await? == 2)).await?;
        let last = tokio::spawn(async move { other.lock("job").await });
        eventually("the last one is queued", async || Ok(queued(&ctx, "job").await? == 3)).await?;
        ensure!(middle.await?.is_err(), "the lock was given twice");
        last
    };
    eventually("the middle one has left", async || Ok(queued(&ctx, "job").await? == 2)).await?;
    ensure!(!last.is_finished(), "the lock was given twice");
    holder.release().await?;
    soon("the last one is served", last).await???.release().await?;
    free_for(&kv, &ctx, "the lock after waiters that gave up").await
}

pub(super) async fn dropped_at_any_await(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    for polls in 0..10 {
        // While it is free: the dropped call may have got it, then it gives it back.
        give_up(kv.lock("job").into_future(), polls).await;
        free_for(&other, &ctx, &format!("the lock after a call dropped at poll {polls}")).await?;
        // While it is held.
        let holder = other.lock("job").await?;
        give_up(kv.lock("job").into_future(), polls).await;
        give_up(kv.try_lock("job").into_future(), polls).await;
        holder.release().await?;
        free_for(&other, &ctx, &format!("the lock after a waiter dropped at poll {polls}")).await?;
    }
    // Dropped after it has surely waited.
    let holder = other.lock("job").await?;
    let waiting = kv.clone();
    let waiter = tokio::spawn(async move { waiting.lock("job").await.map(drop) });
    eventually("the waiter is queued", async || Ok(queued(&ctx, "job").await? == 2)).await?;
    waiter.abort();
    eventually("the aborted waiter leaves", async || Ok(queued(&ctx, "job").await? == 1)).await?;
    holder.release().await?;
    free_for(&other, &ctx, "the lock after an aborted waiter").await
}

pub(super) async fn dropped_in_flight(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    // The call is dropped while the store has not answered: before it has done its part, and after.
    for call in [Call::Grant, Call::GrantReply, Call::Commit, Call::CommitReply] {
        let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
        tap.faults.stall(&[call]);
        give_up(kv.lock("job").into_future(), 2).await;
        tap.faults.heal(&[call]);
        free_for(&other, &ctx, &format!("the lock after a call dropped at {call:?}")).await?;
    }
    Ok(())
}

pub(super) async fn lost_reply(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for call in [Call::CommitReply, Call::Commit] {
        let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
        tap.faults.refuse_next(call, 1);
        match soon("the lock is taken or refused", kv.lock("job").into_future()).await? {
            Ok(lock) => {
                expect_error(other.try_lock("job").await, "LockTimeout", |kind| {
                    matches!(kind, ErrorKind::LockTimeout { .. })
                })?;
                lock.release().await?;
            }
            Err(error) => ensure!(call == Call::CommitReply, "what was not sent is not tried again: {error:?}"),
        }
        free_for(&other, &ctx, &format!("the lock after a fault at {call:?}")).await?;
    }
    Ok(())
}

pub(super) async fn loses_lease(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let holder = other.lock("job").await?;
    let waiting = kv.clone();
    let waiter = tokio::spawn(async move { waiting.lock("job").await });
    eventually("the waiter is queued", async || Ok(queued(&ctx, "job").await? == 2)).await?;
    let third = ctx.open().await?;
    let last = tokio::spawn(async move { third.lock("job").await });
    eventually("the last one is queued", async || Ok(queued(&ctx, "job").await? == 3)).await?;
    let lease = tap.record.grants()[0].0.clone();
    // Through its own handle: also where leases are not shared.
    kv.lease_revoke(&lease, CallOptions::default()).await?;
    eventually("the waiter's key is gone", async || Ok(queued(&ctx, "job").await? == 2)).await?;
    holder.release().await?;
    soon("the one behind is served", last).await???.release().await?;
    expect_kind(soon("the waiter is told", waiter).await??, &ErrorKind::LockLost)?;
    free_for(&other, &ctx, "the lock after a waiter that lost its lease").await
}
