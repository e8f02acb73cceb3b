use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{CallOptions, Kvdb, Options};

use super::queued;
use crate::help::{eventually, expect_kind, soon};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

/// Wants this lock to be held still, by the store's word.
async fn still_holds(kv: &Handle, lock: &LockGuard) -> Proof {
    let holder = kv.lock_holder("job").await?;
    ensure_eq!(holder.map(|holder| (holder.id, holder.token)), Some((lock.id().to_owned(), lock.fencing_token())));
    ensure!(lock.is_held(), "not held any more");
    kv.put("data", "1").fence(lock).await?;
    Ok(())
}

pub(super) async fn only_ours(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let lock = kv.lock("job").await?;
    lock.release().await?;
    ensure!(!lock.is_held(), "released and yet held");
    lock.release().await?;
    let next = other.lock("job").id("next").await?;
    lock.release().await?;
    kv.unlock_opts(&lock, CallOptions::default()).await?;
    drop(lock);
    still_holds(&other, &next).await?;
    next.release().await?;
    // After loss: the next holder is another handle's, then this very handle's.
    for same_handle in [false, true] {
        let owner = if same_handle { &kv } else { &other };
        let lost = kv.lock("job").await?;
        let lease = lost.lease.clone().expect("a lock has a lease");
        kv.lease_revoke(&lease, CallOptions::default()).await?;
        let next = soon("the lock after a loss", owner.lock("job").id("next").into_future()).await??;
        lost.release().await?;
        still_holds(owner, &next).await?;
        drop(lost);
        // Something else that goes through the background, so that the drop had its turn.
        drop(kv.lock("turn").await?);
        eventually("the background has had its turn", async || Ok(queued(&ctx, "turn").await? == 0)).await?;
        still_holds(owner, &next).await?;
        next.release().await?;
    }
    // One that is not told of its loss: its release goes to the store and finds the next holder there.
    let stale = kv.lock("job").await?;
    let range = kvdb_core::KeyRange::prefix(ctx.absolute("_kvdb/lock/job/").as_bytes());
    tap.faults.refuse_from_now(&[crate::tap::Call::Watch, crate::tap::Call::Get]);
    tap.faults.break_feeds();
    remove(&ctx, &range).await?;
    let next = other.lock("job").id("next").await?;
    ensure!(stale.is_held(), "told of its loss, so that this proves nothing");
    stale.release().await?;
    still_holds(&other, &next).await
}

/// Deletes the keys of a range one by one, behind every handle's back.
async fn remove(ctx: &Ctx, range: &kvdb_core::KeyRange) -> Proof {
    use futures_util::StreamExt;
    let store = ctx.backend().await?;
    let mut pages = store.list(range, &kvdb_core::Scan::default());
    while let Some(page) = pages.next().await {
        let ops = page?.entries.into_iter().map(|entry| kvdb_core::Op::Delete { key: entry.key, previous: false });
        store.commit(&kvdb_core::Batch { guards: Vec::new(), ops: ops.collect() }).await?;
    }
    Ok(())
}

pub(super) async fn by_drop(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let ttl = ctx.ttl(Duration::from_secs(600));
    let lock = kv.lock("job").ttl(ttl).await?;
    drop(lock);
    let next = soon("the lock after a drop", other.lock("job").into_future()).await??;
    next.release().await?;
    // From a thread that has no runtime.
    let lock = kv.lock("job").ttl(ttl).await?;
    tokio::task::spawn_blocking(|| std::thread::spawn(move || drop(lock)).join().expect("no panic")).await?;
    soon("the lock after a drop on a plain thread", other.lock("job").into_future()).await??.release().await?;
    // A release that is given up at any await is a release.
    for polls in 1..5 {
        let lock = kv.lock("job").ttl(ttl).await?;
        drop(tokio::time::timeout(Duration::from_millis(30), crate::help::drop_after(lock.release(), polls)).await);
        soon("the lock after a dropped release", other.lock("job").into_future()).await??.release().await?;
    }
    // With the last handle gone, too.
    let lock = kv.lock("job").ttl(ttl).await?;
    drop(kv);
    drop(lock);
    soon("the lock after its handle", other.lock("job").into_future()).await??.release().await?;
    Ok(())
}

pub(super) async fn made_up_for(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new().timeout(Duration::from_millis(300))).await?;
    let other = ctx.open().await?;
    let ttl = ctx.ttl(Duration::from_secs(600));
    let lock = kv.lock("job").ttl(ttl).await?;
    tap.faults.die();
    expect_kind(lock.release().await, &ErrorKind::Unavailable)?;
    ensure!(!lock.is_held(), "given up and yet held");
    tap.faults.revive();
    soon("the release is made up for", other.lock("job").into_future()).await??.release().await?;
    Ok(())
}
