use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kvdb_core::prelude::*;
use kvdb_core::recipes::RwLock;
use kvdb_core::{CallOptions, Kvdb, Options};
use tokio::task::{JoinHandle, JoinSet};

use super::looks;
use crate::chapter_08::queued;
use crate::help::{drop_after, eventually, expect_error, expect_kind, soon};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

/// How a contender takes the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Read,
    Write,
}

use Way::{Read, Write};

async fn take(lock: &RwLock, way: Way) -> Result<LockGuard> {
    match way {
        Read => lock.read().wait(Duration::from_secs(50)).await,
        Write => lock.write().wait(Duration::from_secs(50)).await,
    }
}

/// Takes the lock in a task of its own, which stands in the queue as the `count`th once this returns.
async fn queue(ctx: &Ctx, lock: &RwLock, way: Way, count: usize) -> Proof<JoinHandle<Result<LockGuard>>> {
    let lock = lock.clone();
    let waiter = tokio::spawn(async move { take(&lock, way).await });
    eventually("the waiter is queued", async || Ok(queued(ctx, "job").await? == count)).await?;
    Ok(waiter)
}

/// Wants a try to be answered that somebody holds the lock.
fn held_by(result: Result<LockGuard>, who: &str) -> Proof {
    expect_error(
        result,
        &format!("LockTimeout by {who}"),
        |kind| matches!(kind, ErrorKind::LockTimeout { holder: Some(id) } if id == who),
    )?;
    Ok(())
}

pub(super) async fn together_or_alone(ctx: Ctx) -> Proof {
    const ROUNDS: usize = 4;
    let handles = [ctx.open().await?, ctx.open().await?, ctx.open().await?];
    handles[0].put("data", "0").await?;
    let readers = Arc::new(AtomicUsize::new(0));
    let writers = Arc::new(AtomicUsize::new(0));
    let last_writer = Arc::new(Mutex::new(Revision::ZERO));
    let mut contenders = JoinSet::new();
    for n in 0..9 {
        let kv = handles[n % handles.len()].clone();
        let way = if n < 6 { Read } else { Write };
        let (readers, writers, last_writer) = (Arc::clone(&readers), Arc::clone(&writers), Arc::clone(&last_writer));
        contenders.spawn(async move {
            let lock = RwLock::new(&kv, "job");
            for _ in 0..ROUNDS {
                let guard = take(&lock, way).await?;
                let token = guard.fencing_token();
                ensure!(guard.is_held(), "a fresh lock is not held");
                if way == Write {
                    ensure_eq!(writers.fetch_add(1, Ordering::SeqCst), 0, "writers beside a new one");
                    ensure_eq!(readers.load(Ordering::SeqCst), 0, "readers beside a writer");
                    let before = std::mem::replace(&mut *last_writer.lock().expect("a lock"), token);
                    ensure!(token > before, "token {token} after {before}");
                    let count: u64 = kv.get_val("data").await?.unwrap_or(0);
                    kv.put_val("data", &(count + 1)).fence(&guard).await?;
                    ensure_eq!(readers.load(Ordering::SeqCst), 0, "readers beside a writer");
                    writers.fetch_sub(1, Ordering::SeqCst);
                } else {
                    readers.fetch_add(1, Ordering::SeqCst);
                    ensure_eq!(writers.load(Ordering::SeqCst), 0, "writers beside a reader");
                    ensure!(token > *last_writer.lock().expect("a lock"), "a reader's token before a writer's");
                    let read = kv.get("data").await?;
                    ensure_eq!(kv.get("data").await?.map(|pair| pair.value), read.map(|pair| pair.value));
                    ensure_eq!(writers.load(Ordering::SeqCst), 0, "writers beside a reader");
                    readers.fetch_sub(1, Ordering::SeqCst);
                }
                guard.release().await?;
            }
            Ok::<_, crate::Failure>(())
        });
    }
    while let Some(ended) = contenders.join_next().await {
        ended??;
    }
    ensure_eq!(handles[0].get_val::<u64>("data").await?, Some(3 * ROUNDS as u64));
    // Readers do hold it together, of one handle and of several.
    let mut together = Vec::new();
    for kv in handles.iter().chain(&handles) {
        together.push(soon("one more reader", RwLock::new(kv, "job").try_read()).await??);
    }
    ensure!(together.iter().all(LockGuard::is_held), "a reader lost it to another");
    ensure!(together.is_sorted_by(|a, b| a.fencing_token() < b.fencing_token()), "readers' tokens do not rise");
    drop(together);
    eventually("nothing is left of the queue", async || Ok(queued(&ctx, "job").await? == 0)).await
}

pub(super) async fn first_come_first_served(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let (lock, theirs) = (RwLock::new(&kv, "job"), RwLock::new(&other, "job"));
    // R1 | W2 | R3 R4 | W5 W6 | R7: each group waits for the whole one before it.
    let r1 = lock.read().id("r1").await?;
    let w2 = queue(&ctx, &theirs, Write, 2).await?;
    let r3 = queue(&ctx, &lock, Read, 3).await?;
    let r4 = queue(&ctx, &theirs, Read, 4).await?;
    let w5 = queue(&ctx, &lock, Write, 5).await?;
    let w6 = queue(&ctx, &theirs, Write, 6).await?;
    let r7 = queue(&ctx, &lock, Read, 7).await?;
    held_by(lock.try_read().await, "r1")?;
    ensure!(![&w2, &r3, &r4, &w5, &w6, &r7].iter().any(|waiter| waiter.is_finished()), "somebody passed a reader by");
    r1.release().await?;
    let w2 = soon("the first writer", w2).await???;
    ensure!(![&r3, &r4, &w5, &w6, &r7].iter().any(|waiter| waiter.is_finished()), "somebody passed a writer by");
    w2.release().await?;
    let (r3, r4) = (soon("the second reader", r3).await???, soon("the third reader", r4).await???);
    ensure!(r3.is_held() && r4.is_held(), "readers do not hold together");
    // The later one leaves first: the writer has another one to wait for still.
    r4.release().await?;
    ensure!(![&w5, &w6, &r7].iter().any(|waiter| waiter.is_finished()), "a writer beside a reader");
    held_by(theirs.try_write().await, r3.id())?;
    r3.release().await?;
    let w5 = soon("the second writer", w5).await???;
    // A writer in the middle gives up: whoever watches it waits for the one before still.
    w6.abort();
    eventually("the aborted writer leaves", async || Ok(queued(&ctx, "job").await? == 2)).await?;
    held_by(theirs.try_read().await, w5.id())?;
    ensure!(!r7.is_finished(), "a reader beside a writer");
    w5.release().await?;
    let r7 = soon("the last reader", r7).await???;
    let tokens = [&r1, &w2, &r3, &r4, &w5, &r7].map(|guard| guard.fencing_token());
    ensure!(tokens.is_sorted_by(|a, b| a < b), "tokens do not rise: {tokens:?}");
    Ok(())
}

pub(super) async fn no_polling(ctx: Ctx) -> Proof {
    const READERS: usize = 8;
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let writer = RwLock::new(&ctx.open().await?, "job").write().await?;
    let lock = RwLock::new(&kv, "job");
    let mut readers = Vec::new();
    for n in 0..READERS {
        readers.push(queue(&ctx, &lock, Read, n + 2).await?);
    }
    let last = queue(&ctx, &lock, Write, READERS + 2).await?;
    eventually("each waiter watches", async || Ok(tap.record.watches().len() > READERS)).await?;
    eventually("each has looked", async || Ok(tap.record.reads() >= (READERS + 1) * looks(&ctx))).await?;
    ensure!(tap.record.watches().iter().all(|spec| spec.range.as_single().is_some()), "one watches more than a key");
    // Nothing happens: nobody may ask. Here the time that passes is what is tested.
    let (reads, commits) = (tap.record.reads(), tap.record.commits());
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure_eq!((tap.record.reads(), tap.record.commits()), (reads, commits), "calls while nothing happens");
    // One release lets all readers in.
    writer.release().await?;
    let mut guards = Vec::new();
    for reader in readers {
        guards.push(soon("a reader", reader).await???);
    }
    let woken = tap.record.reads() - reads;
    ensure!(woken <= 3 * READERS, "{woken} reads for one release before {READERS} readers");
    ensure!(!last.is_finished() && guards.iter().all(LockGuard::is_held), "a writer beside readers");
    for guard in guards {
        guard.release().await?;
    }
    soon("the writer behind the readers", last).await???.release().await?;
    Ok(())
}

pub(super) async fn frees_itself(ctx: Ctx) -> Proof {
    let ttl = ctx.ttl(Duration::from_millis(1200));
    let other = ctx.open().await?;
    let theirs = RwLock::new(&other, "job");
    for (dying, next) in [(Read, Write), (Write, Read)] {
        let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
        let lock = RwLock::new(&kv, "job");
        let guard = match dying {
            Read => lock.read().ttl(ttl).await?,
            Write => lock.write().ttl(ttl).await?,
        };
        let waiter = queue(&ctx, &theirs, next, 2).await?;
        tap.faults.die();
        let died = Instant::now();
        let next = soon("the lock of a dead holder is free", waiter).await???;
        // A second for being woken on a busy machine.
        let bound = ttl + ctx.limits().ttl_slack + Duration::from_secs(1);
        ensure!(died.elapsed() <= bound, "free after {:?}, promised {bound:?}", died.elapsed());
        ensure_eq!(*soon("the loss is told", guard.lost()).await?.kind(), ErrorKind::LockLost);
        next.release().await?;
    }
    // A handle that is closed gives it back at once.
    let kv = ctx.open().await?;
    let guard = RwLock::new(&kv, "job").read().ttl(ctx.ttl(Duration::from_secs(600))).await?;
    let waiter = queue(&ctx, &theirs, Write, 2).await?;
    kv.close().await?;
    soon("the lock of a closed handle is free", waiter).await???.release().await?;
    ensure!(!guard.is_held(), "closed and yet held");
    Ok(())
}

pub(super) async fn dropped_at_any_await(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let (lock, theirs) = (RwLock::new(&kv, "job"), RwLock::new(&other, "job"));
    let give_up = async |way: Way, polls: usize| {
        // A lease that outlives the trial's patience: its end must not make up for what is left behind.
        let ttl = ctx.ttl(Duration::from_secs(600));
        let call = match way {
            Read => lock.read().ttl(ttl),
            Write => lock.write().ttl(ttl),
        };
        let dropped = drop_after(call.into_future(), polls);
        drop(tokio::time::timeout(Duration::from_millis(30), dropped).await);
    };
    for polls in 0..8 {
        // While it is free, beside a reader and behind a writer.
        for held in [None, Some(Read), Some(Write)] {
            let holder = match held {
                None => None,
                Some(way) => Some(soon("the lock", take(&theirs, way)).await??),
            };
            give_up(Read, polls).await;
            give_up(Write, polls).await;
            if let Some(holder) = holder {
                ensure!(holder.is_held(), "a call that was given up took the lock away");
                holder.release().await?;
            }
            for way in [Write, Read] {
                soon(&format!("{way:?} after calls dropped at poll {polls}, held {held:?}"), take(&theirs, way))
                    .await??
                    .release()
                    .await?;
            }
            eventually("nothing is left in the queue", async || Ok(queued(&ctx, "job").await? == 0)).await?;
        }
    }
    Ok(())
}

pub(super) async fn tries(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let (lock, theirs) = (RwLock::new(&kv, "job"), RwLock::new(&other, "job"));
    let reader = lock.try_read().id("reader").await?;
    held_by(soon("a try to write", theirs.try_write()).await?, "reader")?;
    let second = theirs.try_read().id("second").await?;
    eventually("the refused leave nothing", async || Ok(queued(&ctx, "job").await? == 2)).await?;
    // A wait that is over names who holds it, not who waits.
    let waited = theirs.write().wait(Duration::from_millis(100)).await;
    held_by(waited, "reader")?;
    reader.release().await?;
    held_by(lock.try_write().await, "second")?;
    second.release().await?;
    let writer = lock.try_write().id("writer").await?;
    held_by(theirs.try_read().await, "writer")?;
    held_by(theirs.try_write().await, "writer")?;
    writer.release().await?;
    expect_kind(RwLock::new(&kv, "a//..").read().await, &ErrorKind::InvalidArgument)?;
    Ok(())
}

pub(super) async fn plain_lock(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let lock = RwLock::new(&kv, "job");
    let plain = other.lock("job").id("plain").await?;
    held_by(lock.try_read().await, "plain")?;
    held_by(lock.try_write().await, "plain")?;
    plain.release().await?;
    let reader = lock.read().id("reader").await?;
    held_by(other.try_lock("job").await, "reader")?;
    let holder = other.lock_holder("job").await?.map(|holder| (holder.id, holder.token));
    ensure_eq!(holder, Some(("reader".to_owned(), reader.fencing_token())));
    reader.release().await?;
    soon("a plain lock after a reader", other.lock("job")).await??.release().await?;
    Ok(())
}

pub(super) async fn fences(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let lock = RwLock::new(&kv, "job");
    let stays = RwLock::new(&other, "job").read().await?;
    let reader = lock.read().await?;
    kv.put("data", "reader").fence(&reader).await?;
    kv.lease_revoke(&tap.record.grants()[0].0, CallOptions::default()).await?;
    ensure_eq!(*soon("the loss is told", reader.lost()).await?.kind(), ErrorKind::LockLost);
    // Others read on, and yet the lost one is none of them any more.
    expect_kind(other.put("data", "stale").fenced_by(reader.fence()).await, &ErrorKind::LockLost)?;
    other.put("data", "stays").fence(&stays).await?;
    stays.release().await?;
    let writer = lock.write().await?;
    expect_kind(kv.put("data", "stale").fence(&stays).await, &ErrorKind::LockLost)?;
    kv.put("data", "writer").fence(&writer).await?;
    writer.release().await?;
    expect_kind(kv.put("data", "stale").fence(&writer).await, &ErrorKind::LockLost)?;
    ensure_eq!(kv.get("data").await?.map(|pair| pair.value), Some(Bytes::from_static(b"writer")));
    Ok(())
}
