use std::time::{Duration, Instant};

use kvdb_core::CallOptions;
use kvdb_core::prelude::*;

use super::ttl::at_least;
use crate::help::{eventually, next_event, soon};
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn deadlines(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let short = at_least(&ctx, Duration::from_millis(600));
    let later = at_least(&ctx, Duration::from_millis(600)) * 4;
    let began = Instant::now();
    kv.put("short", "1").ttl(short).await?;
    let put = kv.put("later", "1").ttl(later).await?;
    kv.put("long", "1").ttl(at_least(&ctx, Duration::from_secs(600))).await?;
    let last = kv.put("permanent", "1").await?;
    drop(kv);
    ctx.restart().await?;
    // Nobody has the store open while the short deadline passes.
    tokio::time::sleep((short + ctx.limits().ttl_slack).saturating_sub(began.elapsed())).await;
    let kv = ctx.open().await?;
    ensure_eq!(kv.get("short").await?, None);
    let still = kv.get("later").await?;
    ensure!(still.is_some() || began.elapsed() >= later, "gone after {:?} of {later:?}", began.elapsed());
    let names = kv.list("").names().await?;
    ensure!(names.ends_with(&["long".to_owned(), "permanent".to_owned()]), "left: {names:?}");
    // The expiry is in history like any other.
    if ctx.has(Capabilities::WATCH_RESUME) {
        let mut watch = kv.watch_tree("").after(last.modified_index).await?;
        let event = next_event(&mut watch).await?;
        ensure!(matches!(&event, Event::Expire(pair) | Event::Delete(pair) if pair.key == "short"), "{event:?}");
    }
    if still.is_some() {
        ensure_eq!(still.and_then(|pair| pair.lease), put.lease);
        eventually("the later deadline holds across the restart", async || Ok(kv.get("later").await?.is_none()))
            .await?;
        ensure!(began.elapsed() >= later, "gone after {:?} of {later:?}", began.elapsed());
    }
    // Not once more from the beginning: by now its whole TTL and slack have passed only once.
    ensure!(kv.get("long").await?.is_some(), "the long one is gone");
    Ok(())
}

pub(super) async fn goes_on(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let ttl = at_least(&ctx, Duration::from_secs(60));
    let lease = kv.lease(ttl).await?;
    let answered = Instant::now();
    kv.put("a", "1").lease(&lease.id).await?;
    kv.put("b", "1").lease(&lease.id).await?;
    kv.put("b", "2").await?;
    drop(kv);
    ctx.restart().await?;
    let kv = soon("the store opens again", ctx.open()).await??;
    let info = kv.lease_info(&lease.id, CallOptions::default()).await?;
    ensure_eq!((info.granted, info.keys), (lease.ttl, vec!["a".to_owned()]));
    // The wall clock runs across a restart; a millisecond for its rounding.
    let most = lease.ttl.saturating_sub(answered.elapsed()) + Duration::from_millis(50);
    ensure!(info.remaining <= most, "{:?} left, at most {most:?}", info.remaining);
    ensure!(!info.remaining.is_zero(), "nothing left of {:?}", lease.ttl);
    ensure_eq!(kv.lease_keep_alive(&lease.id, CallOptions::default()).await?, lease.ttl);
    kv.lease_revoke(&lease.id, CallOptions::default()).await?;
    ensure_eq!(kv.list("").names().await?, ["b"]);
    Ok(())
}
