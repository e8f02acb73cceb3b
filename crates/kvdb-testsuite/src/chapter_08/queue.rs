use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kvdb_core::Options;
use kvdb_core::prelude::*;
use tokio::task::JoinSet;

use super::queued;
use crate::help::{eventually, expect_kind, next_pair, soon};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn one_at_a_time(ctx: Ctx) -> Proof {
    const CONTENDERS: usize = 10;
    const ROUNDS: usize = 5;
    let handles = [ctx.open().await?, ctx.open().await?, ctx.open().await?];
    let mut written = handles[0].watch_key("data").await?;
    let inside = Arc::new(AtomicUsize::new(0));
    let last = Arc::new(Mutex::new(Revision::ZERO));
    let mut contenders = JoinSet::new();
    for contender in 0..CONTENDERS {
        let kv = handles[contender % handles.len()].clone();
        let (inside, last) = (Arc::clone(&inside), Arc::clone(&last));
        contenders.spawn(async move {
            for _ in 0..ROUNDS {
                let lock = kv.lock("job").wait(Duration::from_secs(50)).await?;
                ensure_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "holders beside a new one");
                let before = std::mem::replace(&mut *last.lock().expect("a lock"), lock.fencing_token());
                ensure!(lock.fencing_token() > before, "token {} after {before}", lock.fencing_token());
                ensure!(lock.is_held(), "a fresh lock is not held");
                // Not guarded by anything but the lock: lost counts would show two holders.
                let count: u64 = kv.get_val("data").await?.unwrap_or(0);
                kv.put_val("data", &(count + 1)).fence(&lock).await?;
                inside.fetch_sub(1, Ordering::SeqCst);
                lock.release().await?;
            }
            Ok::<_, crate::Failure>(())
        });
    }
    while let Some(ended) = contenders.join_next().await {
        ended??;
    }
    let total = (CONTENDERS * ROUNDS) as u64;
    ensure_eq!(handles[0].get_val::<u64>("data").await?, Some(total));
    let mut told = 0;
    while told < total {
        let next = next_pair(&mut written).await?.json::<u64>()?;
        // A stream of cuts leaves out what is written over within one (7.6).
        let cut = !ctx.has(Capabilities::ORDERED_UPDATES) && (told..=total).contains(&next);
        ensure!(next == told + 1 || cut, "the count {next} after {told}");
        told = next;
    }
    eventually("nothing is left of the queue", async || Ok(queued(&ctx, "job").await? == 0)).await
}

pub(super) async fn first_come_first_served(ctx: Ctx) -> Proof {
    let handles = [ctx.open().await?, ctx.open().await?];
    let first = handles[0].lock("job").id("first").await?;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = JoinSet::new();
    for n in 0..12 {
        let (kv, order) = (handles[n % 2].clone(), Arc::clone(&order));
        waiters.spawn(async move {
            let lock = kv.lock("job").id(format!("{n}")).await?;
            order.lock().expect("a lock").push((n, lock.fencing_token()));
            lock.release().await
        });
        // The next one comes once this one stands in the queue.
        eventually("the waiter is queued", async || Ok(queued(&ctx, "job").await? == n + 2)).await?;
    }
    first.release().await?;
    while let Some(ended) = waiters.join_next().await {
        ended??;
    }
    let order = order.lock().expect("a lock").clone();
    ensure!(order.iter().map(|(n, _)| *n).eq(0..12), "served in the order {order:?}");
    ensure!(order.is_sorted_by(|a, b| a.1 < b.1), "tokens do not rise: {order:?}");
    Ok(())
}

pub(super) async fn no_polling(ctx: Ctx) -> Proof {
    const WAITERS: usize = 20;
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let holder = ctx.open().await?.lock("job").await?;
    let mut waiters = JoinSet::new();
    let (served, mut got) = tokio::sync::mpsc::unbounded_channel();
    for n in 0..WAITERS {
        let (kv, served) = (kv.clone(), served.clone());
        waiters.spawn(async move {
            let lock = kv.lock("job").await?;
            let _ = served.send(lock);
            Ok::<_, Error>(())
        });
        eventually("the waiter is queued", async || Ok(queued(&ctx, "job").await? == n + 2)).await?;
    }
    eventually("each waiter watches", async || Ok(tap.record.watches().len() >= WAITERS)).await?;
    let watched = tap.record.watches();
    ensure!(watched.iter().all(|spec| spec.range.as_single().is_some()), "a waiter watches more than one key");
    let mut keys: Vec<_> = watched.iter().map(|spec| spec.range.as_single().cloned()).collect();
    keys.sort();
    keys.dedup();
    ensure_eq!(keys.len(), WAITERS, "keys that are watched");
    // Nothing happens: nobody may ask. Here the time that passes is what is tested.
    let (reads, commits) = (tap.record.reads(), tap.record.commits());
    tokio::time::sleep(Duration::from_millis(700)).await;
    ensure_eq!((tap.record.reads(), tap.record.commits()), (reads, commits), "calls while nothing happens");
    // One release wakes one waiter, however many there are.
    holder.release().await?;
    let lock = soon("the first waiter is served", got.recv()).await?;
    let woken = tap.record.reads() - reads;
    ensure!(woken <= 3, "{woken} reads for one release before {WAITERS} waiters");
    drop(lock);
    for _ in 1..WAITERS {
        drop(soon("the next waiter is served", got.recv()).await?);
    }
    Ok(())
}

pub(super) async fn unsupported(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let unsupported = ErrorKind::Unsupported(Capabilities::LEASES);
    expect_kind(kv.lock("job").await, &unsupported)?;
    expect_kind(kv.try_lock("job").await, &unsupported)?;
    ensure_eq!(queued(&ctx, "job").await?, 0);
    Ok(())
}
