use std::time::{Duration, Instant};

use kvdb_core::Options;
use kvdb_core::prelude::*;

use super::keep::short;
use super::queued;
use crate::help::{eventually, expect_error, expect_kind, soon};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn names_the_holder(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let held_by_me = ErrorKind::LockTimeout { holder: Some("me".to_owned()) };
    let lock = kv.lock("job").id("me").await?;
    ensure_eq!((lock.id(), lock.name()), ("me", "job"));
    for wait in [Duration::from_millis(1), Duration::from_millis(300)] {
        let began = Instant::now();
        let error = expect_kind(other.lock("job").wait(wait).await, &held_by_me)?;
        ensure!(began.elapsed() >= wait, "gave up after {:?} of {wait:?}", began.elapsed());
        ensure!(error.to_string().contains("me"), "the text does not name the holder: {error}");
    }
    // The same handle is no exception, and trying does not wait: its deadline is the call's, not the wait's.
    expect_kind(soon("try_lock", other.try_lock("job").into_future()).await?, &held_by_me)?;
    expect_kind(soon("try_lock", kv.try_lock("job").into_future()).await?, &held_by_me)?;
    eventually("the refused leave nothing", async || Ok(queued(&ctx, "job").await? == 1)).await?;
    // A waiter before us is not the holder.
    let waiter = {
        let other = other.clone();
        tokio::spawn(async move { other.lock("job").id("waiting").await })
    };
    eventually("the waiter is queued", async || Ok(queued(&ctx, "job").await? == 2)).await?;
    expect_kind(kv.try_lock("job").await, &held_by_me)?;
    lock.release().await?;
    let waited = soon("the waiter is served", waiter).await???;
    let theirs = ErrorKind::LockTimeout { holder: Some("waiting".to_owned()) };
    expect_kind(kv.try_lock("job").await, &theirs)?;
    waited.release().await?;
    let free = kv.try_lock("job").await?;
    // Without an id a random one is made up, and shown all the same.
    expect_kind(other.try_lock("job").await, &ErrorKind::LockTimeout { holder: Some(free.id().to_owned()) })?;
    Ok(())
}

pub(super) async fn default_wait(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    ensure_eq!(kv.lock_try_duration(), Duration::from_secs(300));
    let kv = ctx.open_with(Options::new().lock_wait(Duration::from_millis(200))).await?;
    ensure_eq!(kv.lock_try_duration(), Duration::from_millis(200));
    let _held = ctx.open().await?.lock("job").await?;
    let timeout = |kind: &ErrorKind| matches!(kind, ErrorKind::LockTimeout { .. });
    let began = Instant::now();
    expect_error(soon("the wait of the option", kv.lock("job").into_future()).await?, "LockTimeout", timeout)?;
    ensure!(began.elapsed() >= Duration::from_millis(200), "gave up after {:?}", began.elapsed());
    kv.set_lock_try_duration(Duration::from_millis(400));
    let began = Instant::now();
    expect_error(soon("the wait that was set", kv.lock("job").into_future()).await?, "LockTimeout", timeout)?;
    ensure!(began.elapsed() >= Duration::from_millis(400), "gave up after {:?}", began.elapsed());
    Ok(())
}

pub(super) async fn dead_store(ctx: Ctx) -> Proof {
    let deadline = Duration::from_millis(500);
    let _held = ctx.open().await?.lock("job").await?;
    // Dead from the beginning.
    let (kv, tap) = Tap::open(&ctx, Options::new().timeout(deadline)).await?;
    tap.faults.die();
    expect_kind(kv.lock("job").wait(short(&ctx)).await, &ErrorKind::Unavailable)?;
    expect_kind(kv.try_lock("job").await, &ErrorKind::Unavailable)?;
    // Dead while the waiter stands in the queue.
    for stalled in [false, true] {
        let (kv, tap) = Tap::open(&ctx, Options::new().timeout(deadline)).await?;
        let before = queued(&ctx, "job").await?;
        let waiter = tokio::spawn(async move { kv.lock("job").wait(Duration::from_millis(900)).await });
        // It watches, so its enqueue has been answered.
        eventually("the waiter waits", async || Ok(!tap.record.watches().is_empty())).await?;
        ensure!(queued(&ctx, "job").await? > before, "the waiter is not queued");
        if stalled {
            tap.faults.stall_all();
        } else {
            tap.faults.die();
        }
        expect_kind(soon("the waiter gives up", waiter).await??, &ErrorKind::Unavailable)?;
        // And what it could not take away is taken away once the store is back.
        tap.faults.revive();
        eventually("the waiter's key goes", async || Ok(queued(&ctx, "job").await? <= before)).await?;
    }
    Ok(())
}
