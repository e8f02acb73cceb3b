use std::time::{Duration, Instant};

use kvdb_core::prelude::*;
use kvdb_core::recipes::{PersistentLease, PersistentLeaseOptions, PersistentState};
use kvdb_core::{CallOptions, Kvdb};

use crate::help::{eventually, expect_error, expect_kind, soon};
use crate::{Ctx, Proof, ensure, ensure_eq};

/// A TTL whose end can be waited for.
pub(super) fn short(ctx: &Ctx) -> PersistentLeaseOptions {
    PersistentLeaseOptions::default().ttl(ctx.ttl(Duration::from_millis(1200)))
}

/// A TTL that does not end within a trial.
pub(super) fn long(ctx: &Ctx) -> PersistentLeaseOptions {
    PersistentLeaseOptions::default().ttl(ctx.ttl(Duration::from_secs(600)))
}

pub(super) async fn ready(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let options = short(&ctx);
    let began = Instant::now();
    let held = PersistentLease::new(&kv, "/a//b", "1", options.clone()).await?;
    ensure_eq!(held.key(), "a/b");
    let pair = soon("the key is put", held.ready()).await??;
    ensure_eq!((pair.key.as_str(), &pair.value[..]), ("a/b", &b"1"[..]));
    let read = other.get("a/b").await?;
    ensure_eq!(read.as_ref().map(|read| read.modified_index), Some(pair.modified_index));
    ensure!(pair.lease.is_some(), "put without a lease: {pair:?}");
    ensure_eq!(held.state(), PersistentState::Present);
    // Here the time that passes is what is tested.
    eventually("twice its TTL", async || Ok(began.elapsed() > options.ttl * 2)).await?;
    ensure_eq!(other.get("a/b").await?.map(|read| read.modified_index), Some(pair.modified_index));
    ensure_eq!(soon("it is ready still", held.ready()).await??, pair);
    held.close().await?;
    Ok(())
}

pub(super) async fn close(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let held = PersistentLease::new(&kv, "a", "1", long(&ctx)).await?;
    soon("the key is put", held.ready()).await??;
    // Others hear of it, whatever the one that closes is doing meanwhile.
    held.set_value("2")?;
    held.close().await?;
    ensure_eq!(other.get("a").await?, None);
    ensure_eq!(held.state(), PersistentState::Closed);
    held.close().await?;
    expect_kind(held.set_value("3"), &ErrorKind::Closed)?;
    expect_kind(held.ready().await, &ErrorKind::Closed)?;
    // Nothing puts it back, and a successor's key is not touched.
    other.create("a", "other").await?;
    held.close().await?;
    drop(held);
    kv.close().await?;
    ensure_eq!(other.get("a").await?.map(|pair| pair.value), Some("other".into()));
    // One that is closed before it was ready leaves nothing either.
    let kv = ctx.open().await?;
    let held = PersistentLease::new(&kv, "b", "1", long(&ctx)).await?;
    held.close().await?;
    ensure_eq!(other.get("b").await?, None);
    ensure_eq!(held.state(), PersistentState::Closed);
    Ok(())
}

pub(super) async fn dropped(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let held = PersistentLease::new(&kv, "a", "1", long(&ctx)).await?;
    soon("the key is put", held.ready()).await??;
    let mut states = held.states();
    drop(held);
    eventually("the key is gone long before its TTL", async || Ok(other.get("a").await?.is_none())).await?;
    let told = soon("the end is told", async { while states.next().await.is_some() {} });
    told.await?;
    // Dropped at any moment before it was ready.
    for _ in 0..20 {
        drop(PersistentLease::new(&kv, "b", "1", long(&ctx)).await?);
        tokio::task::yield_now().await;
    }
    eventually("nothing is left", async || Ok(other.list("").await?.is_empty())).await
}

pub(super) async fn handle_closed(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let held = PersistentLease::new(&kv, "a", "1", long(&ctx)).await?;
    soon("the key is put", held.ready()).await??;
    kv.close().await?;
    // At once, not only once its task has heard of it.
    ensure_eq!(held.state(), PersistentState::Closed);
    expect_kind(held.ready().await, &ErrorKind::Closed)?;
    ensure_eq!(other.get("a").await?, None);
    ensure_eq!(soon("its end", held.changed(PersistentState::Present)).await?, PersistentState::Closed);
    held.close().await?;
    expect_kind(held.ready().await, &ErrorKind::Closed)?;
    expect_kind(held.set_value("2"), &ErrorKind::Closed)?;
    expect_kind(PersistentLease::new(&kv, "a", "1", long(&ctx)).await, &ErrorKind::Closed)?;
    Ok(())
}

pub(super) async fn latest_wins(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let held = PersistentLease::new(&kv, "a", "0", long(&ctx)).await?;
    let first = soon("the key is put", held.ready()).await??;
    for n in 1..=200 {
        held.set_value(n.to_string())?;
    }
    let last = soon("the last value is put", held.ready()).await??;
    ensure_eq!(last.text(), Some("200"));
    ensure_eq!(last.lease, first.lease);
    let read = kv.get("a").await?;
    ensure_eq!(read.as_ref().map(|read| (read.text(), &read.lease)), Some((Some("200"), &first.lease)));
    held.close().await?;
    ensure_eq!(other.get("a").await?, None);
    Ok(())
}

pub(super) async fn refused(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let limits = ctx.limits();
    let too_short = limits.ttl_min / 2;
    let with = |ttl| PersistentLeaseOptions::default().ttl(ttl);
    for ttl in [Some(Duration::ZERO), Some(too_short), limits.ttl_max.map(|max| max + Duration::from_secs(1))] {
        let Some(ttl) = ttl.filter(|ttl| *ttl < limits.ttl_min || *ttl > Duration::from_secs(1)) else { continue };
        let refused = PersistentLease::new(&kv, "a", "1", with(ttl)).await;
        expect_error(refused, "TtlNotSupported", |kind| matches!(kind, ErrorKind::TtlNotSupported { .. }))?;
    }
    for key in ["", "/", "a/../b", "_kvdb/x"] {
        expect_kind(PersistentLease::new(&kv, key, "1", long(&ctx)).await, &ErrorKind::InvalidArgument)?;
    }
    let large = vec![0; limits.value_bytes + 1];
    let is_large = |kind: &ErrorKind| matches!(kind, ErrorKind::TooLarge { .. });
    expect_error(PersistentLease::new(&kv, "a", &large, long(&ctx)).await, "TooLarge", is_large)?;
    let held = PersistentLease::new(&kv, "a", "1", long(&ctx)).await?;
    expect_error(held.set_value(&large), "TooLarge", is_large)?;
    ensure_eq!(soon("the key is put", held.ready()).await??.text(), Some("1"));
    Ok(())
}

pub(super) async fn unsupported(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let made = PersistentLease::new(&kv, "a", "1", PersistentLeaseOptions::default()).await;
    expect_kind(made, &ErrorKind::Unsupported(Capabilities::LEASES))?;
    ensure_eq!(kv.get("a").await?, None);
    Ok(())
}

/// Waits until the key is there with this value and a lease.
pub(super) async fn is_back(kv: &Handle, key: &str, value: &str, what: &str) -> Proof<KvPair> {
    eventually(what, async || {
        let found = kv.get(key).await?;
        Ok(found.is_some_and(|pair| pair.text() == Some(value) && pair.lease.is_some()))
    })
    .await?;
    kv.get(key).await?.ok_or_else(|| crate::Failure::new(format_args!("gone again: {what}")))
}

pub(super) async fn heals(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let other = if ctx.has(Capabilities::SHARED_LEASES) { ctx.open().await? } else { kv.clone() };
    let held = PersistentLease::new(&kv, "a", "1", long(&ctx)).await?;
    let first = soon("the key is put", held.ready()).await??;
    other.delete("a").await?;
    let back = is_back(&other, "a", "1", "the deleted key is back").await?;
    ensure!(back.created_index > first.created_index && back.lease == first.lease, "{back:?} after {first:?}");
    // Another value, and the same value without our lease.
    for value in ["theirs", "1"] {
        other.put("a", value).await?;
        let back = is_back(&other, "a", "1", "the overwritten key is back").await?;
        ensure_eq!(back.lease, first.lease);
    }
    other.lease_revoke(first.lease.as_ref().expect("it has a lease"), CallOptions::default()).await?;
    let back = is_back(&other, "a", "1", "the key of a revoked lease is back").await?;
    ensure!(back.lease != first.lease, "back under the revoked lease");
    soon("it is ready again", held.ready()).await??;
    // The value that was set last is what comes back.
    held.set_value("2")?;
    soon("the value is put", held.ready()).await??;
    other.delete("a").await?;
    is_back(&other, "a", "2", "the deleted key is back with the latest value").await?;
    held.close().await?;
    ensure_eq!(other.get("a").await?, None);
    Ok(())
}

pub(super) async fn states(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let held = PersistentLease::new(&kv, "a", "1", long(&ctx)).await?;
    let mut states = held.states();
    let mut told = Vec::new();
    while told.last() != Some(&PersistentState::Present) {
        told.extend(soon("the next state", states.next()).await?);
    }
    ensure!(
        matches!(told[..], [PersistentState::Present] | [PersistentState::Pending, PersistentState::Present]),
        "told {told:?}"
    );
    other.delete("a").await?;
    // A reader that is slow sees that it was put anew.
    let next = soon("the next state", states.next()).await?;
    ensure!(matches!(next, Some(PersistentState::Lost | PersistentState::Present)), "told {next:?} after a deletion");
    is_back(&other, "a", "1", "the deleted key is back").await?;
    if next == Some(PersistentState::Lost) {
        ensure_eq!(soon("the next state", states.next()).await?, Some(PersistentState::Present));
    }
    held.close().await?;
    ensure_eq!(soon("the last state", states.next()).await?, Some(PersistentState::Closed));
    for _ in 0..2 {
        ensure_eq!(soon("the end", states.next()).await?, None);
    }
    ensure_eq!(soon("asked late", held.states().next()).await?, Some(PersistentState::Closed));
    Ok(())
}
