use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kvdb_core::{CallOptions, Capabilities, ErrorKind, KvdbExt, LeaseId, LockOptions, Options, Retry};

use crate::decorate::{Call, Fault, Faulty};
use crate::help::{SOON, drop_after, expect_kind, next_pair, soon};
use crate::{Ctx, Proof, ensure, ensure_eq};

const SHORT: Duration = Duration::from_millis(150);

fn stall(call: &Call) -> Fault {
    if *call == Call::Close { Fault::None } else { Fault::Stall }
}

pub(super) async fn every_call(ctx: Ctx) -> Proof {
    let kv = ctx.open_over(Options::new(), |inner| Faulty::new(inner, stall)).await?;
    let lease = LeaseId::from(7);
    let mut options = CallOptions::default();
    options.timeout = Some(SHORT);
    let mut lock = LockOptions::default();
    lock.timeout = Some(SHORT);
    lock.wait = Some(SHORT);
    let mut answers = vec![];
    macro_rules! timed {
        ($name:literal, $retry:ident, $call:expr) => {
            let begun = Instant::now();
            let answer = soon($name, async { $call.await.map(drop) }).await?;
            answers.push(($name, Retry::$retry, begun.elapsed(), answer));
        };
    }
    timed!("get", Safe, kv.get("k").timeout(SHORT));
    timed!("list", Safe, kv.list("").timeout(SHORT));
    timed!("names", Safe, kv.list("").timeout(SHORT).names());
    timed!("count", Safe, kv.list("").timeout(SHORT).count());
    timed!("keys", Safe, kv.keys("").timeout(SHORT));
    timed!("watch", Safe, kv.watch_tree("").timeout(SHORT));
    timed!("watch current", Safe, kv.watch_tree("").current().timeout(SHORT));
    timed!("put", Ambiguous, kv.put("k", "1").timeout(SHORT));
    timed!("create", Ambiguous, kv.create("k", "1").timeout(SHORT));
    timed!("update", Ambiguous, kv.update("k", "1").timeout(SHORT));
    timed!("put if_unchanged", Ambiguous, kv.put("k", "1").if_revision(7).timeout(SHORT));
    if ctx.has(Capabilities::NATIVE_TXN) {
        timed!("put if_value", Ambiguous, kv.put("k", "1").if_value("0").timeout(SHORT));
    } else {
        // Reads the value first, and stalls there: surely nothing was sent.
        timed!("put if_value", Safe, kv.put("k", "1").if_value("0").timeout(SHORT));
    }
    timed!("delete", Ambiguous, kv.delete("k").timeout(SHORT));
    if ctx.has(Capabilities::NATIVE_TXN) {
        timed!("txn", Ambiguous, kv.txn().when(kvdb_core::present("k")).then(kvdb_core::put("k", "1")).timeout(SHORT));
    } else {
        timed!("txn", Safe, kv.txn().when(kvdb_core::present("k")).then(kvdb_core::put("k", "1")).timeout(SHORT));
    }
    timed!("blind txn", Ambiguous, kv.txn().then(kvdb_core::put("k", "1")).timeout(SHORT));
    if ctx.has(Capabilities::DELETE_RANGE) {
        timed!("delete_tree", Safe, kv.delete_tree("").timeout(SHORT));
    }
    if ctx.has(Capabilities::LEASES) {
        use kvdb_core::Kvdb;
        timed!("lease_grant", Ambiguous, kv.lease_grant(ctx.limits().ttl_min * 2, options.clone()));
        timed!("lease_keep_alive", Safe, kv.lease_keep_alive(&lease, options.clone()));
        timed!("lease_revoke", Ambiguous, kv.lease_revoke(&lease, options.clone()));
        timed!("lock_holder", Safe, kv.lock_holder_opts("l", options.clone()));
    }
    if ctx.has(Capabilities::LEASE_INFO) {
        use kvdb_core::Kvdb;
        timed!("lease_info", Safe, kv.lease_info(&lease, options.clone()));
    }
    if ctx.has(Capabilities::COMPACT) {
        use kvdb_core::Kvdb;
        timed!("compact", Safe, kv.compact_opts(7.into(), options.clone()));
    }
    for (name, retry, took, answer) in answers {
        let error = expect_kind(answer, &ErrorKind::Timeout)
            .map_err(|failure| crate::Failure::new(format_args!("{name}: {failure}")))?;
        ensure_eq!(error.retry(), retry, "the retry class of {name}");
        ensure!(took >= SHORT, "{name} gave up after {took:?}, before its deadline");
    }
    if ctx.has(Capabilities::LEASES) {
        use kvdb_core::Kvdb;
        let locked = soon("a lock on a store that stalls", kv.lock_opts("l", lock)).await?;
        ensure!(locked.is_err(), "a lock was taken on a store that stalls");
    }
    Ok(())
}

pub(super) async fn of_the_handle(ctx: Ctx) -> Proof {
    let kv = ctx.open_over(Options::new().timeout(SHORT), |inner| Faulty::new(inner, stall)).await?;
    let begun = Instant::now();
    expect_kind(soon("a get", async { kv.get("k").await }).await?, &ErrorKind::Timeout)?;
    ensure!(begun.elapsed() >= SHORT, "it gave up before the deadline");
    expect_kind(soon("a put", async { kv.put("k", "1").await }).await?, &ErrorKind::Timeout)?;
    expect_kind(soon("a list", async { kv.list("").await }).await?, &ErrorKind::Timeout)?;
    // A call's own deadline counts, be it the longer one.
    let longer = SHORT * 4;
    let begun = Instant::now();
    expect_kind(soon("a get", async { kv.get("k").timeout(longer).await }).await?, &ErrorKind::Timeout)?;
    ensure!(begun.elapsed() >= longer, "the handle's deadline cut the call's own");
    Ok(())
}

pub(super) async fn default(ctx: Ctx) -> Proof {
    const DEFAULT: Duration = Duration::from_secs(10);
    let kv = ctx.open_over(Options::new(), |inner| Faulty::new(inner, stall)).await?;
    let begun = Instant::now();
    let (get, put) = soon("the default deadline", async { tokio::join!(kv.get("k"), kv.put("k", "1")) }).await?;
    expect_kind(get, &ErrorKind::Timeout)?;
    expect_kind(put, &ErrorKind::Timeout)?;
    ensure!(begun.elapsed() >= DEFAULT, "the calls gave up after {:?}", begun.elapsed());
    Ok(())
}

pub(super) async fn of_a_page(ctx: Ctx) -> Proof {
    crate::chapter_03::fill(&ctx, "d", 300, &vec![b'x'; 20_000]).await?;
    let kv = ctx.open().await?;
    let timeout = Duration::from_millis(400);
    let mut pages = kv.list("d").timeout(timeout).pages().await?;
    let (mut seen, mut count) = (0, 0);
    while let Some(page) = pages.next().await {
        seen += page?.pairs.len();
        count += 1;
        // The reader's own time between pages, together above the deadline, is not the call's.
        tokio::time::sleep(timeout / 2).await;
    }
    ensure_eq!(seen, 300, "keys in {count} pages");
    ensure!(count > 3, "the trial wants many pages, not {count}");
    Ok(())
}

pub(super) async fn of_a_watch(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut watch = kv.watch_tree("").timeout(SHORT).await?;
    tokio::time::sleep(SHORT * 2).await;
    kv.put("k", "1").await?;
    ensure_eq!(next_pair(&mut watch).await?.key, "k");
    Ok(())
}

pub(super) async fn next_call(ctx: Ctx) -> Proof {
    let stalls = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&stalls);
    let plan = move |_: &Call| if switch.load(Ordering::SeqCst) { Fault::Stall } else { Fault::None };
    let kv = ctx.open_over(Options::new().timeout(SHORT), |inner| Faulty::new(inner, plan)).await?;
    let others: Vec<_> = (0..8)
        .map(|at| {
            let kv = kv.clone();
            tokio::spawn(async move { kv.put(&format!("k{at}"), "1").await })
        })
        .collect();
    let mut watch = std::pin::pin!(async { kv.watch_tree("").await });
    ensure!(drop_after(watch.as_mut(), 1).await.is_none(), "a watch was registered on a store that stalls");
    for other in others {
        expect_kind(soon("a put", other).await??, &ErrorKind::Timeout)?;
    }
    stalls.store(false, Ordering::SeqCst);
    kv.put("k", "1").timeout(SOON).await?;
    ensure_eq!(
        kv.list("").timeout(SOON).names().await?,
        ["k"],
        "a call that timed out before it was sent was sent later"
    );
    Ok(())
}
