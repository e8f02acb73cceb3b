use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvdb_core::{AdminRequest, CallOptions, Capabilities, ErrorKind, Kvdb, KvdbExt};

use crate::help::{eventually, expect_kind, next_pair, soon};
use crate::verbs::{KEY_VERBS, LOCK_VERBS, PREFIX_VERBS, with_key, with_lock_name, with_prefix};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq, fail};

const LONG: Duration = Duration::from_secs(3600);

pub(super) async fn leases(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let other = ctx.open().await?;
    let ttl = ctx.limits().ttl_max.map_or(LONG, |max| max.min(LONG));
    let lease = kv.lease(ttl).await?;
    let theirs = other.lease(ttl).await?;
    kv.put("ours", "1").lease(&lease.id).await?;
    kv.put("permanent", "1").await?;
    other.put("theirs", "1").lease(&theirs.id).await?;
    kv.close().await?;
    eventually("the keys of a closed handle's lease are gone", || async {
        Ok(other.list("").names().await? == ["permanent", "theirs"])
    })
    .await?;
    other.lease_keep_alive(&theirs.id, CallOptions::default()).await?;
    if ctx.has(Capabilities::SHARED_LEASES) {
        let dead = other.lease_keep_alive(&lease.id, CallOptions::default()).await;
        expect_kind(dead, &ErrorKind::LeaseNotFound)?;
    }
    Ok(())
}

pub(super) async fn locks(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let other = ctx.open().await?;
    let held = kv.lock("a").ttl(LONG.min(ctx.limits().ttl_max.unwrap_or(LONG))).await?;
    let theirs = other.lock("b").await?;
    let waiting = tokio::spawn({
        let other = other.clone();
        async move { other.lock("a").wait(Duration::from_secs(30)).await }
    });
    kv.close().await?;
    let next = soon("the lock of a closed handle is free", waiting).await???;
    ensure!(next.fencing_token() > held.fencing_token(), "the token does not rise");
    eventually("the closed handle's guard knows", || async { Ok(!held.is_held()) }).await?;
    ensure!(theirs.is_held(), "another handle's lock was lost");
    ensure!(next.is_held(), "the next holder's lock was lost");
    // Neither releasing nor dropping the old guard touches the next holder.
    held.release().await.or_else(|error| if *error.kind() == ErrorKind::Closed { Ok(()) } else { Err(error) })?;
    drop(held);
    let holder = other.lock_holder("a").await?.map(|holder| holder.token);
    ensure_eq!(holder, Some(next.fencing_token()), "who holds the lock");
    next.release().await?;
    Ok(())
}

pub(super) async fn watches(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let other = ctx.open().await?;
    let mut theirs = other.watch_tree("").await?;
    let watches = vec![kv.watch_tree("").await?, kv.watch_key("k").await?, kv.watch_tree("").current().await?];
    kv.put("k", "1").await?;
    kv.close().await?;
    for mut watch in watches {
        let mut last = None;
        while let Some(event) = soon("the end of a watch", watch.next()).await? {
            last = Some(event);
        }
        match last {
            Some(Err(error)) => ensure_eq!(*error.kind(), ErrorKind::Closed, "the reason of the end"),
            other => fail!("the watch ended without a reason, after {other:?}"),
        }
    }
    next_pair(&mut theirs).await?;
    other.put("k", "2").await?;
    ensure_eq!(next_pair(&mut theirs).await?.value, "2", "another handle's watch goes on");
    Ok(())
}

pub(super) async fn later_calls(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let clone = kv.clone();
    kv.put("k", "1").await?;
    kv.close().await?;
    let closed = |verb: &str, answer: kvdb_core::Result<()>| {
        let wanted = expect_kind(answer, &ErrorKind::Closed);
        wanted.map(drop).map_err(|failure| Failure::new(format_args!("{verb} after close: {failure}")))
    };
    for kv in [&kv, &clone] {
        for verb in KEY_VERBS {
            closed(verb, with_key(kv, verb, "k", "1".into()).await)?;
        }
        for verb in PREFIX_VERBS {
            closed(verb, with_prefix(kv, verb, "").await)?;
        }
        let options = CallOptions::default();
        if ctx.has(Capabilities::LEASES) {
            for verb in LOCK_VERBS {
                closed(verb, with_lock_name(kv, verb, "l").await)?;
            }
            let ttl = ctx.ttl(Duration::from_secs(20));
            closed("lease", kv.lease(ttl).await.map(drop))?;
            closed("keep_alive", kv.lease_keep_alive(&7.into(), options.clone()).await.map(drop))?;
            closed("revoke", kv.lease_revoke(&7.into(), options.clone()).await)?;
            closed("lease_info", kv.lease_info(&7.into(), options.clone()).await.map(drop))?;
        }
        closed("compact", kv.compact(1).await)?;
        closed("admin", kv.admin(AdminRequest::ListMembers { within: None }).await.map(drop))?;
        // A second close is told so, or is Ok: there is nothing left to do.
        if let Err(error) = kv.close().await {
            ensure_eq!(*error.kind(), ErrorKind::Closed, "a second close");
        }
        ensure_eq!(kv.info().backend, ctx.store().name(), "facts need no store");
    }
    Ok(())
}

pub(super) async fn other_handles(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for round in 0..5 {
        let kv = ctx.open().await?;
        kv.put("k", round.to_string()).await?;
        kv.close().await?;
        ensure_eq!(other.get("k").await?.and_then(|pair| pair.text().map(str::to_owned)), Some(round.to_string()));
        other.put("k", "other").await?;
        ensure_eq!(other.list("").await?.len(), 1);
    }
    Ok(())
}

pub(super) async fn while_busy(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for round in 0..5 {
        let kv = ctx.open().await?;
        let begun = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (kv, begun) = (kv.clone(), Arc::clone(&begun));
                tokio::spawn(async move {
                    let mut answered = Vec::new();
                    for write in 0.. {
                        let key = format!("{round}/{task}/{write}");
                        match kv.create(&key, "1").await {
                            Ok(_) => answered.push(key),
                            Err(error) => return (answered, error),
                        }
                        begun.store(true, Ordering::SeqCst);
                    }
                    unreachable!("the loop has no end but an error")
                })
            })
            .collect();
        eventually("writers are at work", || async { Ok(begun.load(Ordering::SeqCst)) }).await?;
        soon("close while busy", kv.close()).await??;
        for task in tasks {
            let (answered, error) = soon("the end of a writer", task).await??;
            ensure_eq!(*error.kind(), ErrorKind::Closed, "how a writer ends");
            for key in answered {
                ensure!(other.get(&key).await?.is_some(), "{key} was answered and is not there");
            }
        }
    }
    Ok(())
}
