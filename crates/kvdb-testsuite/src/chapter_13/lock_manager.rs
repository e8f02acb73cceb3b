use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use kvdb_core::prelude::*;
use kvdb_core::recipes::{LockLoss, LockManager};
use kvdb_core::{CallOptions, Kvdb, Op, Options};

use crate::chapter_08::queued;
use crate::decorate::{self, Fault, Faulty};
use crate::help::{drop_after, eventually, expect_error, expect_kind, soon};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

/// A manager of locks below `root`, under a TTL that only the store's word can end within a trial.
fn manager(ctx: &Ctx, kv: &Handle, value: &str) -> Proof<LockManager> {
    Ok(LockManager::new(kv, "root", value, ctx.ttl(Duration::from_secs(600)))?)
}

pub(super) async fn takes_turns(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let (lock, theirs) = (manager(&ctx, &kv, "mine")?.create("job"), manager(&ctx, &other, "theirs")?.create("job"));
    ensure!(!lock.is_locked() && lock.fence().is_none(), "held before it was taken");
    let loss = soon("the lock", lock.acquire()).await??;
    ensure!(lock.is_locked() && !loss.is_told(), "a fresh lock is not held");
    // The manager's value is what others see.
    let holder = other.lock_holder("root/job").await?.map(|holder| holder.value);
    ensure_eq!(holder, Some(Bytes::from_static(b"mine")));
    expect_kind(soon("a second time", lock.acquire()).await?, &ErrorKind::LockHeld)?;
    let waits = tokio::spawn(async move { theirs.acquire().await.map(|loss| (theirs, loss)) });
    eventually("the other one waits", async || Ok(queued(&ctx, "root/job").await? == 2)).await?;
    let fence = lock.fence().ok_or_else(|| crate::Failure::new("a held lock without a fence"))?;
    kv.put("data", "mine").fenced_by(fence.clone()).await?;
    soon("unlock", lock.unlock()).await??;
    ensure!(!lock.is_locked() && loss.is_told(), "unlocked and not told");
    soon("the loss", loss.told()).await?;
    let (theirs, their_loss) = soon("the other one", waits).await???;
    // A second one is Ok and takes nothing from anybody.
    soon("unlock", lock.unlock()).await??;
    ensure!(theirs.is_locked() && !their_loss.is_told(), "unlocked by another one");
    expect_kind(kv.put("data", "stale").fenced_by(fence).await, &ErrorKind::LockLost)?;
    // Another name is another lock.
    let beside = manager(&ctx, &kv, "mine")?.create("beside");
    soon("another lock", beside.acquire()).await??;
    theirs.unlock().await?;
    // It can be taken again, and a drop is a release.
    let again = soon("the lock again", lock.acquire()).await??;
    drop(lock);
    soon("the loss by a drop", again.told()).await?;
    eventually("the dropped one leaves", async || Ok(queued(&ctx, "root/job").await? == 0)).await
}

pub(super) async fn told_before(ctx: Ctx) -> Proof {
    // At each deletion that the engine asks for: whether the loss was told by then.
    let watched: Arc<Mutex<Option<LockLoss>>> = Arc::default();
    let seen: Arc<Mutex<Vec<bool>>> = Arc::default();
    let (loss_of, saw) = (Arc::clone(&watched), Arc::clone(&seen));
    let faults = move |call: &decorate::Call| {
        let deletes = matches!(call, decorate::Call::Commit(batch) if matches!(&batch.ops[..], [Op::Delete { .. }]));
        if let (true, Some(loss)) = (deletes, &*loss_of.lock().unwrap_or_else(PoisonError::into_inner)) {
            // Whoever waits for it hears it in this moment, whatever else this task has used up of its budget.
            let told = tokio::task::unconstrained(loss.told()).now_or_never().is_some();
            saw.lock().unwrap_or_else(PoisonError::into_inner).push(told && loss.is_told());
        }
        Fault::None
    };
    let kv = ctx.open_over(Options::new(), |inner| Faulty::new(inner, faults)).await?;
    for by_drop in [false, true] {
        let lock = manager(&ctx, &kv, "")?.create("job");
        let loss = soon("the lock", lock.acquire()).await??;
        *watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(loss.clone());
        if by_drop {
            drop(lock);
        } else {
            lock.unlock().await?;
        }
        eventually("the key goes", async || Ok(queued(&ctx, "root/job").await? == 0)).await?;
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(!seen.is_empty() && seen.iter().all(|told| *told), "told by the deletions: {seen:?}");
    }
    Ok(())
}

pub(super) async fn loss(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let (one, two) = (manager(&ctx, &kv, "")?.create("one"), manager(&ctx, &kv, "")?.create("two"));
    let losses = [soon("a lock", one.acquire()).await??, soon("a lock", two.acquire()).await??];
    // One lease carries both, and another one the next locks.
    ensure_eq!(tap.record.grants().len(), 1, "leases for two locks");
    kv.lease_revoke(&tap.record.grants()[0].0, CallOptions::default()).await?;
    for loss in &losses {
        soon("the loss", loss.told()).await?;
        ensure!(loss.is_told(), "told and yet not");
    }
    ensure!(!one.is_locked() && !two.is_locked(), "lost and yet held");
    let theirs = manager(&ctx, &other, "")?.create("one");
    soon("the lock after the loss", theirs.acquire()).await??;
    soon("unlock after the loss", one.unlock()).await??;
    ensure!(theirs.is_locked(), "unlocked by one that had lost it");
    let again = soon("a lock that was lost", two.acquire()).await??;
    ensure!(two.is_locked() && !again.is_told() && losses[1].is_told(), "a loss of before is this one's");
    // By the local deadline, with the store out of reach.
    let ttl = ctx.ttl(Duration::from_millis(1200));
    let short = LockManager::new(&kv, "root", "", ttl)?.create("short");
    let loss = soon("a lock", short.acquire()).await??;
    tap.faults.die();
    soon("the loss of one that is cut off", loss.told()).await?;
    ensure!(!short.is_locked(), "lost and yet held");
    tap.faults.revive();
    // And a close tells it.
    kv.close().await?;
    ensure!(again.is_told() && !two.is_locked(), "closed and yet held");
    soon("the loss by a close", again.told()).await?;
    Ok(())
}

pub(super) async fn gives_up(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let (lock, theirs) = (manager(&ctx, &kv, "")?.create("job"), manager(&ctx, &other, "")?.create("job"));
    for polls in 0..8 {
        soon("the lock", theirs.acquire()).await??;
        let dropped = drop_after(lock.acquire(), polls);
        drop(tokio::time::timeout(Duration::from_millis(30), dropped).await);
        ensure!(theirs.is_locked() && !lock.is_locked(), "a call that was given up took the lock");
        theirs.unlock().await?;
        eventually("nothing is left", async || Ok(queued(&ctx, "root/job").await? == 0)).await?;
    }
    // What cannot be is refused by the manager already.
    let bad = |root: &str, ttl| LockManager::new(&kv, root, "", ttl);
    expect_kind(bad("a/..", ctx.ttl(Duration::from_secs(60))), &ErrorKind::InvalidArgument)?;
    expect_error(bad("root", Duration::ZERO), "TtlNotSupported", |kind| {
        matches!(kind, ErrorKind::TtlNotSupported { .. })
    })?;
    expect_kind(manager(&ctx, &kv, "")?.create("..").acquire().await, &ErrorKind::InvalidArgument)?;
    Ok(())
}
