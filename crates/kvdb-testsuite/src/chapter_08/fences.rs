use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{CallOptions, Kvdb, Options};

use crate::help::{eventually, expect_kind, whenever_read};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

/// Wants every kind of write under this lock's fence to be refused and to change nothing.
async fn refused(kv: &Handle, stale: &LockGuard) -> Proof {
    let before = whenever_read(kv.list("").await?);
    let lost = ErrorKind::LockLost;
    expect_kind(kv.put("data/a", "stale").fence(stale).await, &lost)?;
    expect_kind(kv.put("data/a", "stale").fenced_by(stale.fence()).await, &lost)?;
    expect_kind(kv.update("data/a", "stale").fence(stale).await, &lost)?;
    expect_kind(kv.create("data/new", "stale").fence(stale).await, &lost)?;
    expect_kind(kv.put("data/a", "stale").if_unchanged(&before[0]).fence(stale).await, &lost)?;
    expect_kind(kv.put("data/a", "stale").if_value("now").fence(stale).await, &lost)?;
    expect_kind(kv.delete("data/a").fence(stale).await, &lost)?;
    expect_kind(kv.delete("data/a").if_value("now").fence(stale).await, &lost)?;
    expect_kind(kv.delete_tree("data").fence(stale).await, &lost)?;
    if kv.capabilities().contains(Capabilities::TTL) {
        let ttl = kv.limits().ttl_min.max(Duration::from_secs(60));
        expect_kind(kv.put("data/a", "stale").ttl(ttl).fence(stale).await, &lost)?;
    }
    ensure_eq!(whenever_read(kv.list("").await?), before, "the data after refused writes");
    Ok(())
}

pub(super) async fn stale(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    kv.put("data/a", "now").await?;
    let mut released: Vec<LockGuard> = Vec::new();
    for n in 0..4 {
        let owner = if n % 2 == 0 { &kv } else { &other };
        let lock = owner.lock("job").await?;
        ensure_eq!(lock.fence().token(), lock.fencing_token());
        for old in &released {
            ensure!(lock.fencing_token() > old.fencing_token(), "token {}", lock.fencing_token());
            // Passed on, seen from either handle.
            refused(&kv, old).await?;
            refused(&other, old).await?;
        }
        // The present holder may, from wherever the fence has been carried.
        let put = owner.put("data/a", "now").fence(&lock).await?;
        ensure_eq!(put.action, KvAction::Set);
        kv.create("data/b", "1").fenced_by(lock.fence()).await?;
        other.put("data/b", "2").if_value("1").fenced_by(lock.fence()).await?;
        kv.delete("data/b").fence(&lock).await?;
        owner.put("data/sub/c", "1").await?;
        ensure_eq!(owner.delete_tree("data/sub").fence(&lock).await?, 1);
        lock.release().await?;
        // Released and not yet taken by anybody.
        refused(&kv, &lock).await?;
        released.push(lock);
    }
    Ok(())
}

pub(super) async fn lost(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    kv.put("data/a", "now").await?;
    let lock = kv.lock("job").await?;
    let fence = lock.fence();
    kv.lease_revoke(&tap.record.grants()[0].0, CallOptions::default()).await?;
    eventually("the lock is free", async || Ok(other.lock_holder("job").await?.is_none())).await?;
    refused(&kv, &lock).await?;
    let next = other.lock("job").await?;
    ensure!(next.fencing_token() > fence.token(), "token {}", next.fencing_token());
    refused(&kv, &lock).await?;
    refused(&other, &lock).await?;
    other.put("data/a", "now").fence(&next).await?;
    // The lock of another name is no leave for this one.
    let beside = kv.lock("beside").await?;
    beside.release().await?;
    expect_kind(kv.put("data/a", "x").fence(&beside).await, &ErrorKind::LockLost)?;
    Ok(())
}

pub(super) async fn with_conditions(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let present = kv.put("data/a", "now").await?;
    let lock = kv.lock("job").await?;
    expect_kind(kv.create("data/a", "x").fence(&lock).await, &ErrorKind::AlreadyExists)?;
    expect_kind(kv.update("data/b", "x").fence(&lock).await, &ErrorKind::NotFound)?;
    expect_kind(kv.put("data/a", "x").if_value("other").fence(&lock).await, &ErrorKind::ValueMismatch)?;
    expect_kind(kv.delete("data/b").fence(&lock).await, &ErrorKind::NotFound)?;
    let newer = kv.put("data/a", "newer").if_unchanged(&present).fence(&lock).await?;
    expect_kind(kv.put("data/a", "x").if_unchanged(&present).fence(&lock).await, &ErrorKind::Modified)?;
    ensure_eq!(kv.get("data/a").await?.map(|pair| pair.modified_index), Some(newer.modified_index));
    ensure!(lock.is_held(), "a refused write has cost the lock");
    Ok(())
}
