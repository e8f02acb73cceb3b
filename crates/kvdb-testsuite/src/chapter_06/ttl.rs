use std::time::{Duration, Instant};

use kvdb_core::prelude::*;

use crate::help::{expect_kind, expect_next_key, next_change, next_event, next_pair};
use crate::{Ctx, Proof, ensure, ensure_eq};

/// A TTL that can be waited for: this long, or what the store grants at least.
pub(super) fn at_least(ctx: &Ctx, ttl: Duration) -> Duration {
    ctx.ttl(ttl)
}

pub(super) async fn granted_is_answered(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let limits = ctx.limits();
    // Not a multiple of any usual granularity.
    let asked = at_least(&ctx, Duration::from_secs(30)) + Duration::from_micros(1_234_567);
    let put = kv.put("a", "1").ttl(asked).await?;
    let granted = put.ttl;
    ensure!(granted.is_some_and(|granted| granted >= asked), "asked for {asked:?}, granted {granted:?}");
    ensure!(
        granted.is_some_and(|granted| granted - asked < limits.ttl_granularity.max(Duration::from_nanos(1))),
        "rounded up by more than the granularity: asked for {asked:?}, granted {granted:?}"
    );
    ensure!(put.lease.is_some(), "the write with a TTL answers no lease");
    let read = kv.get("a").await?;
    ensure_eq!(read.as_ref().map(|pair| pair.lease.clone()), Some(put.lease.clone()));
    ensure!(
        read.as_ref().and_then(|pair| pair.ttl).is_none_or(|ttl| Some(ttl) == granted),
        "a read tells another TTL: {read:?}"
    );
    let created = kv.create("b", "1").ttl(asked).await?;
    ensure_eq!(created.ttl, granted);
    ensure!(created.lease.is_some() && created.lease != put.lease, "two TTLs share {:?}", put.lease);
    let listed = kv.list("").await?;
    let leases: Vec<_> = listed.iter().map(|pair| pair.lease.clone()).collect();
    ensure_eq!(leases, [put.lease, created.lease]);
    let plain = kv.put("c", "1").await?;
    ensure_eq!((plain.ttl, plain.lease), (None, None));
    Ok(())
}

pub(super) async fn unsupported(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let unsupported = ErrorKind::Unsupported(Capabilities::TTL);
    expect_kind(kv.put("a", "1").ttl(Duration::from_secs(30)).await, &unsupported)?;
    expect_kind(kv.create("a", "1").ttl(Duration::from_secs(30)).await, &unsupported)?;
    ensure_eq!(kv.get("a").await?, None);
    Ok(())
}

/// Reads until the key is gone: every absence must come after the TTL, every presence before TTL and slack.
async fn watch_it_go(kv: &Handle, ctx: &Ctx, key: &str, began: Instant, answered: Instant, ttl: Duration) -> Proof {
    let latest = ttl + ctx.limits().ttl_slack;
    loop {
        let asked = Instant::now();
        if kv.get(key).await?.is_none() {
            let lived = began.elapsed();
            ensure!(lived >= ttl, "{key} with TTL {ttl:?} is gone after {lived:?}");
            return Ok(());
        }
        let age = asked.duration_since(answered);
        ensure!(age <= latest, "{key} with TTL {ttl:?} is still there after {age:?}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

pub(super) async fn never_early_gone_in_time(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for (n, wanted) in [30, 80, 700].into_iter().enumerate() {
        let ttl = at_least(&ctx, Duration::from_millis(wanted));
        let key = format!("a{n}");
        let began = Instant::now();
        let put = kv.put(&key, "1").ttl(ttl).await?;
        watch_it_go(&kv, &ctx, &key, began, Instant::now(), put.ttl.unwrap_or(ttl)).await?;
    }
    // Many at once, each with its own deadline.
    let (began, mut going) = (Instant::now(), tokio::task::JoinSet::new());
    for n in 0..20 {
        let (kv, ctx) = (kv.clone(), ctx.clone());
        let ttl = at_least(&ctx, Duration::from_millis(100)) + Duration::from_millis(20 * n);
        going.spawn(async move {
            let key = format!("many/{n}");
            let put = kv.put(&key, "1").ttl(ttl).await?;
            watch_it_go(&kv, &ctx, &key, began, Instant::now(), put.ttl.unwrap_or(ttl)).await
        });
    }
    while let Some(went) = going.join_next().await {
        went??;
    }
    Ok(())
}

pub(super) async fn replaced_or_cleared(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let short = at_least(&ctx, Duration::from_millis(1500));
    let long = at_least(&ctx, Duration::from_secs(3000));
    let mut deaths = kv.watch_tree("").await?;
    let began = Instant::now();
    let cleared = kv.put("cleared", "1").ttl(short).await?;
    let replaced = kv.put("replaced", "1").ttl(short).await?;
    kv.put("updated", "1").ttl(short).await?;
    let compared = kv.put("compared", "1").ttl(short).await?;
    let recreated = kv.put("recreated", "1").ttl(short).await?;
    let now_cleared = kv.put("cleared", "2").await?;
    let now_replaced = kv.put("replaced", "2").ttl(long).await?;
    kv.update("updated", "2").await?;
    kv.compare_and_set(&compared, kvdb_core::KvFlags::MODIFIED_INDEX, None).await?;
    kv.delete("recreated").await?;
    kv.create("recreated", "2").await?;
    ensure!(began.elapsed() < short, "the machine is too slow for a TTL of {short:?}");

    ensure_eq!((now_cleared.ttl, now_cleared.lease), (None, None));
    ensure!(now_replaced.lease.is_some() && now_replaced.lease != replaced.lease, "the lease was not replaced");
    for (first, second) in [(&cleared, "cleared"), (&replaced, "replaced")] {
        let second = kv.get(second).await?;
        ensure_eq!(second.as_ref().map(|pair| pair.created_index), Some(first.created_index));
        if ctx.has(Capabilities::KEY_VERSION) {
            ensure_eq!(second.and_then(|pair| pair.version), Some(2));
        }
    }
    ensure!(recreated.lease.is_some(), "no lease");

    // Whatever still has the first TTL is gone before this one, whose deadline is later.
    kv.put("last", "1").await?;
    let last = kv.put("last", "2").ttl(short).await?;
    ensure_eq!(last.action, KvAction::Set);
    let died = loop {
        match next_event(&mut deaths).await? {
            Event::Expire(pair) => break pair.key,
            Event::Delete(pair) if pair.key != "recreated" => break pair.key,
            _ => {}
        }
    };
    ensure_eq!(died, "last");
    let left = kv.list("").names().await?;
    ensure_eq!(left, ["cleared", "compared", "recreated", "replaced", "updated"]);
    Ok(())
}

pub(super) async fn told(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut tree = kv.watch_tree("d").await?;
    let mut key = kv.watch_key("d/a").previous().await?;
    let ttl = at_least(&ctx, Duration::from_millis(100));
    let put = kv.put("d/a", "old").ttl(ttl).await?;
    ensure_eq!(next_pair(&mut tree).await?.key, "d/a");
    let Event::Put(_) = next_event(&mut key).await? else { crate::fail!("no Put first") };
    let pair = match next_change(&mut key).await? {
        Event::Expire(pair) => {
            ensure_eq!(pair.action, KvAction::Expire);
            pair
        }
        Event::Delete(pair) if !matches!(ctx.store().name(), "mem" | "redb") => {
            ensure_eq!(pair.action, KvAction::Delete);
            pair
        }
        event => crate::fail!("told as {event:?}"),
    };
    ensure_eq!((pair.key.as_str(), pair.text()), ("d/a", Some("old")));
    ensure_eq!(pair.created_index, put.created_index);
    ensure!(
        pair.modified_index > put.modified_index,
        "expired at {} before {}",
        pair.modified_index,
        put.modified_index
    );
    let again = expect_next_key(&mut tree, "d/a").await?;
    // Each stream of cuts has its own (7.6).
    ensure!(again.modified_index == pair.modified_index || !ctx.has(Capabilities::ORDERED_UPDATES), "{again:?}");
    // A deletion by hand is no expiry.
    kv.put("d/b", "1").ttl(at_least(&ctx, Duration::from_secs(60))).await?;
    expect_next_key(&mut tree, "d/b").await?;
    kv.delete("d/b").await?;
    let Event::Delete(_) = next_change(&mut tree).await? else { crate::fail!("a deletion is told as an expiry") };
    Ok(())
}
