use std::collections::BTreeSet;
use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{CallOptions, Options};

use super::ttl::at_least;
use crate::help::{drop_after, eventually, expect_error, expect_kind};
use crate::tap::{Call, Tap};
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn out_of_bounds(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let limits = ctx.limits();
    let refused = ErrorKind::TtlNotSupported { min: limits.ttl_min, max: limits.ttl_max };
    let above = limits.ttl_max.map(|max| max + limits.ttl_granularity.max(Duration::from_nanos(1)));
    let below = (limits.ttl_min > Duration::from_nanos(1)).then(|| limits.ttl_min - Duration::from_nanos(1));
    for ttl in [Some(Duration::ZERO), below, above, limits.ttl_max.and(Some(Duration::MAX))].into_iter().flatten() {
        let error = expect_kind(kv.put("a", "1").ttl(ttl).await, &refused)?;
        ensure_eq!(error.key(), Some("a"));
        expect_kind(kv.lease_grant(ttl, CallOptions::default()).await, &refused)?;
    }
    ensure_eq!(kv.get("a").await?, None);
    ensure_eq!(tap.record.grants().len(), 0, "leases granted for TTLs out of bounds");
    // The bounds themselves are inside.
    kv.lease(limits.ttl_min.max(Duration::from_nanos(1))).await?;
    if let Some(max) = limits.ttl_max {
        kv.put("b", "1").ttl(max).await?;
    }
    Ok(())
}

pub(super) async fn clamped(ctx: Ctx) -> Proof {
    let asked = at_least(&ctx, Duration::from_secs(60));
    for clamp in [asked / 2, asked * 2] {
        if clamp < ctx.limits().ttl_min || ctx.limits().ttl_max.is_some_and(|max| clamp > max) {
            continue;
        }
        let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
        tap.clamp(clamp);
        let refused = |kind: &ErrorKind| matches!(kind, ErrorKind::TtlNotSupported { .. });
        expect_error(kv.put("a", "1").ttl(asked).await, "TtlNotSupported", refused)?;
        expect_error(kv.lease(asked).await, "TtlNotSupported", refused)?;
        ensure_eq!(kv.get("a").await?, None);
        ensure_eq!(tap.record.grants().len(), 2, "grants");
        all_revoked(&tap).await?;
    }
    Ok(())
}

/// Waits until every lease that was granted is revoked.
async fn all_revoked(tap: &Tap) -> Proof {
    eventually("every granted lease is revoked", async || {
        let revoked: BTreeSet<_> = tap.record.revokes().into_iter().collect();
        Ok(tap.record.grants().iter().all(|(lease, _)| revoked.contains(lease)))
    })
    .await
}

pub(super) async fn lease_is_revoked(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new().timeout(Duration::from_secs(3))).await?;
    let ttl = at_least(&ctx, Duration::from_secs(60));
    let present = kv.put("present", "1").await?;
    expect_kind(kv.create("present", "2").ttl(ttl).await, &ErrorKind::AlreadyExists)?;
    expect_kind(kv.update("absent", "2").ttl(ttl).await, &ErrorKind::NotFound)?;
    expect_kind(kv.put("present", "2").if_value("other").ttl(ttl).await, &ErrorKind::ValueMismatch)?;
    let newer = kv.put("present", "1").await?;
    expect_kind(kv.put("present", "2").if_unchanged(&present).ttl(ttl).await, &ErrorKind::Modified)?;
    ensure_eq!(kv.get("present").await?.map(|pair| pair.modified_index), Some(newer.modified_index));
    all_revoked(&tap).await?;
    // The store cannot be reached for the write itself.
    tap.faults.refuse_from_now(&[Call::Commit]);
    let before = tap.record.grants().len();
    expect_kind(kv.put("unreached", "1").ttl(ttl).await, &ErrorKind::Unavailable)?;
    ensure!(tap.record.grants().len() > before, "no lease was granted, so this proves nothing");
    tap.faults.heal(&[Call::Commit]);
    all_revoked(&tap).await?;
    // What is refused before anything is sent grants nothing.
    let before = tap.record.grants().len();
    expect_kind(kv.put("", "1").ttl(ttl).await, &ErrorKind::InvalidArgument)?;
    ensure_eq!(tap.record.grants().len(), before, "grants for an invalid key");
    // The lease of a put that did happen is not revoked.
    let put = kv.put("happened", "1").ttl(ttl).await?;
    all_attached_or_revoked(&kv, &tap).await?;
    ensure!(!tap.record.revokes().contains(put.lease.as_ref().expect("a TTL has a lease")), "revoked {put:?}");
    ensure_eq!(kv.list("").names().await?, ["happened", "present"]);
    Ok(())
}

/// Waits until every granted lease either is revoked or has its key.
async fn all_attached_or_revoked(kv: &Handle, tap: &Tap) -> Proof {
    eventually("no lease is left without its key", async || {
        let mut accounted: BTreeSet<_> = tap.record.revokes().into_iter().collect();
        accounted.extend(kv.list("").await?.into_iter().filter_map(|pair| pair.lease));
        Ok(tap.record.grants().iter().all(|(lease, _)| accounted.contains(lease)))
    })
    .await
}

pub(super) async fn given_up(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let ttl = at_least(&ctx, Duration::from_secs(60));
    kv.put("present", "1").await?;
    for polls in 0..8 {
        let key = format!("a{polls}");
        drop_after(kv.put(&key, "1").ttl(ttl).into_future(), polls).await;
        drop_after(kv.create("present", "1").ttl(ttl).into_future(), polls).await;
    }
    all_attached_or_revoked(&kv, &tap).await?;
    ensure!(!tap.record.grants().is_empty(), "nothing was granted, so this proves nothing");
    // Whole writes or none: what is there has its value and its lease.
    for pair in kv.list("").await? {
        ensure_eq!(pair.text(), Some("1"));
        ensure_eq!(pair.lease.is_some(), pair.key != "present", "lease of {}", pair.key);
    }
    Ok(())
}
