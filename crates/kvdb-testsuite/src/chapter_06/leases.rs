use std::time::{Duration, Instant};

use kvdb_core::CallOptions;
use kvdb_core::prelude::*;

use super::ttl::at_least;
use crate::help::{eventually, expect_kind, next_event};
use crate::{Ctx, Proof, ensure, ensure_eq};

fn default() -> CallOptions {
    CallOptions::default()
}

pub(super) async fn moved(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let long = at_least(&ctx, Duration::from_secs(300));
    let (one, other, shorter) = (kv.lease(long).await?, kv.lease(long).await?, kv.lease(long / 2).await?);
    let made = kv.put("changing", "0").await?;
    let mut before = made.clone();
    for (value, lease) in [("1", Some(&one)), ("2", Some(&shorter)), ("3", Some(&one)), ("4", None)] {
        let put = kv.put("changing", value);
        let pair = match lease {
            Some(lease) => put.lease(&lease.id).await?,
            None => put.await?,
        };
        ensure_eq!(pair.lease.as_ref(), lease.map(|lease| &lease.id));
        let (created, version) = match ctx.store().leases_make_anew() {
            true => (pair.modified_index, before.version.map(|_| 1)),
            false => (made.created_index, before.version.map(|version| version + 1)),
        };
        ensure_eq!((pair.created_index, pair.version), (created, version), "the put of {value}");
        ensure_eq!(kv.get("changing").await?.map(|found| found.created_index), Some(created));
        before = pair;
    }
    kv.delete("changing").await?;
    let first = kv.put("moved", "1").lease(&one.id).await?;
    kv.put("cleared", "1").lease(&one.id).await?;
    kv.put("stays", "1").lease(&one.id).await?;
    let moved = kv.put("moved", "2").lease(&other.id).await?;
    ensure_eq!((moved.lease.as_ref(), moved.created_index), (Some(&other.id), first.created_index));
    let cleared = kv.put("cleared", "2").await?;
    ensure_eq!(cleared.lease, None);
    kv.lease_revoke(&one.id, default()).await?;
    ensure_eq!(kv.list("").names().await?, ["cleared", "moved"]);
    kv.lease_revoke(&other.id, default()).await?;
    ensure_eq!(kv.list("").names().await?, ["cleared"]);
    // A key that was deleted and made anew without the lease does not go with it.
    let third = kv.lease(long).await?;
    kv.put("anew", "1").lease(&third.id).await?;
    kv.delete("anew").await?;
    kv.create("anew", "2").await?;
    kv.lease_revoke(&third.id, default()).await?;
    ensure_eq!(kv.list("").names().await?, ["anew", "cleared"]);
    Ok(())
}

pub(super) async fn kept_and_revoked(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let ttl = at_least(&ctx, Duration::from_millis(800));
    let lease = kv.lease(ttl).await?;
    ensure!(lease.ttl >= ttl, "granted {:?} for {ttl:?}", lease.ttl);
    let mut watch = kv.watch_tree("").await?;
    kv.put("a", "1").lease(&lease.id).await?;
    kv.put("b", "2").lease(&lease.id).await?;
    kv.put("free", "3").await?;
    // Kept for three times its life: here the time that passes is what is tested.
    let began = Instant::now();
    while began.elapsed() < lease.ttl * 3 {
        ensure_eq!(kv.lease_keep_alive(&lease.id, default()).await?, lease.ttl);
        tokio::time::sleep(lease.ttl / 8).await;
    }
    ensure_eq!(kv.list("").names().await?, ["a", "b", "free"]);
    kv.lease_revoke(&lease.id, default()).await?;
    ensure_eq!(kv.list("").names().await?, ["free"]);
    let mut deleted = Vec::new();
    while deleted.len() < 2 {
        match next_event(&mut watch).await? {
            Event::Delete(pair) => deleted.push(pair.key),
            Event::Expire(pair) => crate::fail!("a revocation is told as an expiry of {}", pair.key),
            _ => {}
        }
    }
    deleted.sort();
    ensure_eq!(deleted, ["a", "b"]);
    expect_kind(kv.lease_keep_alive(&lease.id, default()).await, &ErrorKind::LeaseNotFound)?;
    expect_kind(kv.lease_revoke(&lease.id, default()).await, &ErrorKind::LeaseNotFound)?;
    expect_kind(kv.put("c", "1").lease(&lease.id).await, &ErrorKind::LeaseNotFound)?;
    ensure_eq!(kv.list("").names().await?, ["free"]);
    Ok(())
}

pub(super) async fn lives_by_keep_alive_alone(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let ttl = at_least(&ctx, Duration::from_millis(400));
    let began = Instant::now();
    let lease = kv.lease(ttl).await?;
    // Neither the open handle, nor reading, nor writing under it keeps it.
    eventually("the lease ends though it is used", async || match kv.put("a", "1").lease(&lease.id).await {
        Ok(_) => Ok(false),
        Err(error) if *error.kind() == ErrorKind::LeaseNotFound => Ok(true),
        Err(error) => Err(error.into()),
    })
    .await?;
    ensure!(began.elapsed() >= lease.ttl, "ended after {:?} of {:?}", began.elapsed(), lease.ttl);
    eventually("its key is gone", async || Ok(kv.get("a").await?.is_none())).await
}

pub(super) async fn unsupported(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let unsupported = ErrorKind::Unsupported(Capabilities::LEASES);
    let lease = LeaseId::Number(1);
    expect_kind(kv.lease(Duration::from_secs(60)).await, &unsupported)?;
    expect_kind(kv.lease_keep_alive(&lease, default()).await, &unsupported)?;
    expect_kind(kv.lease_revoke(&lease, default()).await, &unsupported)?;
    expect_kind(kv.put("a", "1").lease(&lease).await, &unsupported)?;
    ensure_eq!(kv.get("a").await?, None);
    Ok(())
}

pub(super) async fn shared(ctx: Ctx) -> Proof {
    let (owner, other) = (ctx.open().await?, ctx.open().await?);
    let lease = owner.lease(at_least(&ctx, Duration::from_secs(60))).await?;
    let attached = other.put("a", "1").lease(&lease.id).await;
    if !ctx.has(Capabilities::SHARED_LEASES) {
        ensure!(attached.is_err(), "the lease of another handle was taken, yet SHARED_LEASES is not told");
        return Ok(());
    }
    ensure_eq!(attached?.lease, Some(lease.id.clone()));
    // As an id travels between processes: by its text.
    let id: LeaseId = lease.id.to_string().parse()?;
    ensure_eq!(other.lease_keep_alive(&id, default()).await?, lease.ttl);
    ensure_eq!(owner.get("a").await?.and_then(|pair| pair.lease), Some(lease.id.clone()));
    // Closing the handle that merely used it does not end it.
    other.close().await?;
    ensure_eq!(owner.lease_keep_alive(&lease.id, default()).await?, lease.ttl);
    ensure!(owner.get("a").await?.is_some(), "the key went with a handle that did not grant the lease");
    let third = ctx.open().await?;
    third.lease_revoke(&id, default()).await?;
    ensure_eq!(owner.get("a").await?, None);
    Ok(())
}

pub(super) async fn info(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let began = Instant::now();
    let lease = kv.lease(at_least(&ctx, Duration::from_secs(60))).await?;
    let empty = kv.lease_info(&lease.id, default()).await?;
    ensure_eq!((empty.granted, empty.keys.len()), (lease.ttl, 0));
    for key in ["d/é", "b", "a/b/c"] {
        kv.put(key, "1").lease(&lease.id).await?;
    }
    kv.put("none", "1").await?;
    let elsewhere = ctx.open_in(&format!("{}-elsewhere", ctx.domain())).await?;
    if ctx.has(Capabilities::SHARED_LEASES) {
        elsewhere.put("hidden", "1").lease(&lease.id).await?;
    }
    let info = kv.lease_info(&lease.id, default()).await?;
    ensure_eq!(info.keys, ["a/b/c", "b", "d/é"]);
    ensure!(info.remaining <= empty.remaining, "{:?} left, {:?} before", info.remaining, empty.remaining);
    ensure!(info.remaining <= info.granted, "{:?} left of {:?}", info.remaining, info.granted);
    ensure!(
        info.remaining + began.elapsed() >= info.granted - ctx.limits().ttl_granularity,
        "{:?} left too soon",
        info.remaining
    );
    kv.delete("b").await?;
    ensure_eq!(kv.lease_info(&lease.id, default()).await?.keys, ["a/b/c", "d/é"]);
    let before = kv.lease_info(&lease.id, default()).await?.remaining;
    let kept = Instant::now();
    kv.lease_keep_alive(&lease.id, default()).await?;
    let after = kv.lease_info(&lease.id, default()).await?.remaining;
    ensure!(after + kept.elapsed() >= before, "{before:?} left before a keep-alive, {after:?} after");
    kv.lease_revoke(&lease.id, default()).await?;
    expect_kind(kv.lease_info(&lease.id, default()).await, &ErrorKind::LeaseNotFound)?;
    Ok(())
}

pub(super) async fn info_unsupported(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let unsupported = ErrorKind::Unsupported(Capabilities::LEASE_INFO);
    expect_kind(kv.lease_info(&LeaseId::Number(1), default()).await, &unsupported)?;
    Ok(())
}
