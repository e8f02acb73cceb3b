use std::time::{Duration, Instant};

use kvdb_core::prelude::*;
use kvdb_core::{CallOptions, Kvdb, Options};

use super::queued;
use crate::help::{eventually, expect_error, expect_kind, soon};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

/// A TTL whose end can be waited for.
pub(super) fn short(ctx: &Ctx) -> Duration {
    ctx.ttl(Duration::from_millis(1200))
}

pub(super) async fn frees_itself(ctx: Ctx) -> Proof {
    let (dying, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let ttl = short(&ctx);
    let began = Instant::now();
    let lock = dying.lock("job").ttl(ttl).id("dying").await?;
    // Alive it keeps the lock however long.
    expect_error(
        other.lock("job").wait(ttl * 2).await,
        "LockTimeout",
        |kind| matches!(kind, ErrorKind::LockTimeout { holder: Some(id) } if id == "dying"),
    )?;
    ensure!(lock.is_held() && began.elapsed() >= ttl * 2, "lost while it was kept alive");
    tap.faults.die();
    let died = Instant::now();
    let next = soon("the lock of a dead holder is free", other.lock("job").ttl(ttl).into_future()).await??;
    ensure!(
        next.fencing_token() > lock.fencing_token(),
        "token {} after {}",
        next.fencing_token(),
        lock.fencing_token()
    );
    // A second for being woken on a busy machine.
    let bound = ttl + ctx.limits().ttl_slack + Duration::from_secs(1);
    ensure!(died.elapsed() <= bound, "free after {:?}, promised {bound:?}", died.elapsed());
    Ok(())
}

pub(super) async fn runtime_gone(ctx: Ctx) -> Proof {
    let ttl = short(&ctx);
    let theirs = ctx.clone();
    // A runtime that is shut down under the holder: nothing of it runs any more, its guard is never dropped.
    let token = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let lock = runtime.block_on(async { theirs.open().await?.lock("job").ttl(ttl).await })?;
        runtime.shutdown_background();
        let token = lock.fencing_token();
        // On a plain thread and after its runtime, a drop must not panic either.
        drop(lock);
        Ok::<_, crate::Failure>(token)
    })
    .await??;
    let other = ctx.open().await?;
    let next = soon("the lock of a dead runtime is free", other.lock("job").ttl(ttl).into_future()).await??;
    ensure!(next.fencing_token() > token, "token {} after {token}", next.fencing_token());
    Ok(())
}

pub(super) async fn default_ttl(ctx: Ctx) -> Proof {
    let limits = ctx.limits();
    for (options, asked, expected) in [
        (Options::new(), None, 16),
        (Options::new().lock_ttl(Duration::from_secs(20)), None, 20),
        (Options::new().lock_ttl(Duration::from_secs(20)), Some(Duration::from_secs(25)), 25),
    ] {
        let expected = Duration::from_secs(expected);
        if expected < limits.ttl_min || limits.ttl_max.is_some_and(|max| expected > max) {
            continue;
        }
        let (kv, tap) = Tap::open(&ctx, options).await?;
        let lock = match asked {
            Some(ttl) => kv.lock("job").ttl(ttl).await?,
            None => kv.lock("job").await?,
        };
        let granted: Vec<_> = tap.record.grants().into_iter().map(|(_, ttl)| ttl).collect();
        ensure!(granted.len() == 1 && granted[0] >= expected, "granted {granted:?}, expected {expected:?}");
        ensure!(granted[0] < expected + limits.ttl_granularity.max(Duration::from_nanos(1)), "granted {granted:?}");
        lock.release().await?;
    }
    Ok(())
}

pub(super) async fn lost_by_the_store(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    // So long that only the store's word can come within the trial's time.
    let ttl = ctx.ttl(Duration::from_secs(600));
    let lock = kv.lock("job").ttl(ttl).await?;
    let beside = kv.lock("beside").ttl(ttl).await?;
    let lease = lock.lease.clone().expect("a lock has a lease");
    other.lease_revoke(&lease, CallOptions::default()).await?;
    for lock in [&lock, &beside] {
        let error = soon("the loss is told", lock.lost()).await?;
        ensure_eq!(*error.kind(), ErrorKind::LockLost);
        ensure!(!lock.is_held(), "lost and yet held");
        // Asked again it says the same.
        soon("the loss is told again", lock.lost()).await?;
    }
    // The handle takes locks again, with a new lease.
    let again = soon("the lock can be taken again", kv.lock("job").ttl(ttl).into_future()).await??;
    ensure!(again.fencing_token() > lock.fencing_token(), "token {}", again.fencing_token());
    // Its key alone is taken away, the lease lives.
    let key = ctx.absolute("_kvdb/lock/job/");
    let store = ctx.backend().await?;
    let batch = kvdb_core::Batch {
        guards: Vec::new(),
        ops: vec![kvdb_core::Op::DeleteRange { range: kvdb_core::KeyRange::prefix(key.as_bytes()) }],
    };
    if ctx.has(Capabilities::DELETE_RANGE) {
        store.commit(&batch).await?;
        ensure_eq!(queued(&ctx, "job").await?, 0);
        let error = soon("the loss of the key is told", again.lost()).await?;
        ensure_eq!(*error.kind(), ErrorKind::LockLost);
    }
    Ok(())
}

pub(super) async fn lost_by_deadline(ctx: Ctx) -> Proof {
    let ttl = short(&ctx);
    let other = ctx.open().await?;
    for stalled in [false, true] {
        let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
        let began = Instant::now();
        let lock = kv.lock("job").ttl(ttl).await?;
        ensure!(lock.is_held(), "a fresh lock is not held");
        if stalled {
            tap.faults.stall_all();
        } else {
            tap.faults.die();
        }
        // The next holder comes by the store's clock; by then the old one must know already.
        let next = other.lock("job").ttl(ttl).into_future();
        let mut lost = std::pin::pin!(lock.lost());
        tokio::select! {
            biased;
            error = &mut lost => ensure_eq!(*error.kind(), ErrorKind::LockLost),
            next = next => {
                let next = next?;
                ensure!(!lock.is_held(), "held beside the next holder with token {}", next.fencing_token());
                let error = soon("the loss is told", lost).await?;
                ensure_eq!(*error.kind(), ErrorKind::LockLost);
                next.release().await?;
            }
        }
        ensure!(!lock.is_held(), "lost and yet held");
        ensure!(began.elapsed() >= ttl, "given up after {:?} of {ttl:?}", began.elapsed());
        ensure!(began.elapsed() <= ttl * 2 + Duration::from_secs(1), "known only after {:?}", began.elapsed());
        let next = soon("the next holder", other.lock("job").ttl(ttl).into_future()).await??;
        expect_kind(other.put("data", "late").fenced_by(lock.fence()).await, &ErrorKind::LockLost)?;
        next.release().await?;
        tap.faults.revive();
    }
    Ok(())
}

pub(super) async fn one_lease(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let ttl = short(&ctx);
    // Many at the same time, and some later.
    let mut taking = tokio::task::JoinSet::new();
    for n in 0..8 {
        let kv = kv.clone();
        taking.spawn(async move { kv.lock(&format!("job/{n}")).ttl(ttl).await });
    }
    let mut locks = Vec::new();
    while let Some(lock) = taking.join_next().await {
        locks.push(lock??);
    }
    locks.push(kv.lock("later").ttl(ttl).await?);
    ensure_eq!(tap.record.grants().len(), 1, "leases for nine locks of one TTL");
    let lease = &tap.record.grants()[0].0.clone();
    ensure!(locks.iter().all(|lock| lock.lease.as_ref() == Some(lease)), "a lock has another lease");
    let other_ttl = kv.lock("other").ttl(ttl * 8).await?;
    ensure_eq!(tap.record.grants().len(), 2, "leases for two TTLs");
    // It is one stream of keep-alives for all nine, and it keeps them for more than twice their TTL.
    let (before, began) = (tap.record.keep_alives(), Instant::now());
    eventually("keep-alives", async || Ok(began.elapsed() > ttl * 2)).await?;
    let sent = tap.record.keep_alives() - before;
    ensure!((2..=16).contains(&sent), "{sent} keep-alives for two leases in {:?}", began.elapsed());
    ensure!(locks.iter().all(LockGuard::is_held) && other_ttl.is_held(), "lost while it was kept alive");
    for lock in locks {
        lock.release().await?;
    }
    // A lock right after is carried by the same lease still.
    kv.lock("again").ttl(ttl).await?.release().await?;
    ensure_eq!(tap.record.grants().len(), 2, "leases in all");
    eventually("the lease that nobody uses ends", async || Ok(tap.record.revokes().contains(lease))).await
}
