use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kvdb_core::prelude::*;
use kvdb_core::recipes::{RwLock, Semaphore};
use kvdb_core::{CallOptions, Kvdb, Options};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::looks;
use crate::chapter_08::queued;
use crate::help::{drop_after, eventually, expect_error, expect_kind, soon};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

fn timed_out(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::LockTimeout { .. })
}

/// Adds to a count that others change too, as long as the permit is held.
async fn add(kv: &Handle, permit: &LockGuard, by: i64) -> Proof<i64> {
    loop {
        let before = kv.get("inside").await?.ok_or_else(|| crate::Failure::new("the count is gone"))?;
        let count = before.json::<i64>()? + by;
        match kv.put_val("inside", &count).if_unchanged(&before).fence(permit).await {
            Ok(_) => return Ok(count),
            Err(error) if *error.kind() == ErrorKind::Modified => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) async fn never_more(ctx: Ctx) -> Proof {
    const PERMITS: u32 = 3;
    let handles = [ctx.open().await?, ctx.open().await?, ctx.open().await?];
    handles[0].put_val("inside", &0).await?;
    let inside = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let mut contenders = JoinSet::new();
    for contender in 0..9 {
        let kv = handles[contender % handles.len()].clone();
        let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
        contenders.spawn(async move {
            let semaphore = Semaphore::new(&kv, "job", PERMITS)?;
            let mut last = Revision::ZERO;
            for _ in 0..4 {
                let permit = semaphore.acquire().wait(Duration::from_secs(50)).await?;
                ensure!(permit.fencing_token() > last, "token {} after {last}", permit.fencing_token());
                last = permit.fencing_token();
                let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                ensure!(now <= PERMITS as usize, "{now} hold {PERMITS} permits");
                // The same by the store's own count, which only holders can change.
                let count = add(&kv, &permit, 1).await?;
                ensure!((1..=i64::from(PERMITS)).contains(&count), "{count} holders wrote their names");
                // The first ones hold on until all permits are taken: a lock would let nobody beside them.
                let most = || most.load(Ordering::SeqCst);
                eventually("all permits are held", async || Ok(most() == PERMITS as usize)).await?;
                add(&kv, &permit, -1).await?;
                inside.fetch_sub(1, Ordering::SeqCst);
                permit.release().await?;
            }
            Ok::<_, crate::Failure>(())
        });
    }
    while let Some(ended) = contenders.join_next().await {
        ended??;
    }
    ensure_eq!(handles[0].get_val::<i64>("inside").await?, Some(0));
    // All permits at once, in the order of their tokens; then none is left.
    let semaphore = Semaphore::new(&handles[0], "job", PERMITS)?;
    let mut permits = Vec::new();
    for _ in 0..PERMITS {
        permits.push(soon("a free permit", semaphore.try_acquire()).await??);
    }
    ensure!(permits.is_sorted_by(|a, b| a.fencing_token() < b.fencing_token()), "tokens do not rise");
    let holder = Some(permits[0].id().to_owned());
    let full = soon("a try of no permit", semaphore.try_acquire()).await?;
    expect_kind(full, &ErrorKind::LockTimeout { holder })?;
    permits.remove(1).release().await?;
    soon("a permit that was given back", semaphore.try_acquire()).await??.release().await?;
    drop(permits);
    eventually("nothing is left of the queue", async || Ok(queued(&ctx, "job").await? == 0)).await
}

/// Holds all permits and lets so many wait, one after the other; the permits come in the channel with the waiter's number.
async fn crowd(
    ctx: &Ctx,
    kv: &Handle,
    permits: u32,
    waiters: usize,
) -> Proof<(Vec<LockGuard>, mpsc::UnboundedReceiver<(usize, LockGuard)>)> {
    let semaphore = Semaphore::new(&ctx.open().await?, "job", permits)?;
    let mut held = Vec::new();
    for _ in 0..permits {
        held.push(semaphore.acquire().await?);
    }
    let (served, got) = mpsc::unbounded_channel();
    for n in 0..waiters {
        let (semaphore, served) = (Semaphore::new(kv, "job", permits)?, served.clone());
        tokio::spawn(async move {
            if let Ok(permit) = semaphore.acquire().await {
                let _ = served.send((n, permit));
            }
        });
        let count = held.len() + n + 1;
        eventually("the waiter is queued", async || Ok(queued(ctx, "job").await? == count)).await?;
    }
    Ok((held, got))
}

pub(super) async fn no_polling(ctx: Ctx) -> Proof {
    const WAITERS: usize = 6;
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let (mut held, mut got) = crowd(&ctx, &kv, 3, WAITERS).await?;
    eventually("each waiter watches", async || Ok(tap.record.watches().len() >= WAITERS)).await?;
    eventually("each has looked", async || Ok(tap.record.reads() >= WAITERS * looks(&ctx))).await?;
    // Nothing happens: nobody may ask. Here the time that passes is what is tested.
    let (reads, commits) = (tap.record.reads(), tap.record.commits());
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure_eq!((tap.record.reads(), tap.record.commits()), (reads, commits), "calls while nothing happens");
    // Any of the holders: the next in order gets its permit, and no other one.
    let (mut tokens, reads) = (Vec::new(), tap.record.reads());
    for (n, leaves) in [1, 0, 0].into_iter().enumerate() {
        held.remove(leaves).release().await?;
        let (served, permit) = soon("the next waiter is served", got.recv()).await?.expect("a waiter");
        ensure_eq!(served, n, "the one who is served");
        ensure!(got.try_recv().is_err(), "two permits for one");
        // Who is served may look whether it is there itself, now or a moment later.
        let asked = tap.record.reads() - reads;
        ensure!(asked <= 2 * (n + 1), "{asked} reads for {} releases before {WAITERS} waiters", n + 1);
        tokens.push(permit.fencing_token());
        held.push(permit);
    }
    ensure!(tokens.is_sorted_by(|a, b| a < b), "tokens do not rise: {tokens:?}");
    // One that gives up in the middle hands nobody a permit.
    let (semaphore, count) = (Semaphore::new(&kv, "job", 3)?, held.len() + WAITERS - 3);
    expect_error(semaphore.acquire().wait(Duration::from_millis(50)).await, "LockTimeout", timed_out)?;
    eventually("it has left", async || Ok(queued(&ctx, "job").await? == count)).await?;
    ensure!(got.try_recv().is_err(), "a permit nobody gave back");
    for n in 3..WAITERS {
        drop(held.pop());
        let (served, permit) = soon("the next waiter is served", got.recv()).await?.expect("a waiter");
        ensure_eq!(served, n, "the one who is served");
        held.insert(0, permit);
    }
    Ok(())
}

pub(super) async fn forgetful(ctx: Ctx) -> Proof {
    // The store as if no watch could begin in the past, told by cuts, and then as it is with a line that breaks.
    let forgets = Capabilities::WATCH_RESUME | Capabilities::ORDERED_UPDATES | Capabilities::NATIVE_TXN;
    for lacks in [forgets, Capabilities::empty()] {
        let (kv, tap) = Tap::without(ctx.backend().await?, lacks).serve(&ctx, Options::new())?;
        let (mut held, mut got) = crowd(&ctx, &kv, 2, 4).await?;
        eventually("each waiter watches", async || Ok(tap.record.watches().len() >= 4)).await?;
        drop(held.pop());
        let (served, permit) = soon("the first waiter", got.recv()).await?.expect("a waiter");
        ensure_eq!(served, 0);
        // What happens while nobody can watch is found out all the same.
        tap.faults.refuse_from_now(&[crate::tap::Call::Watch]);
        tap.faults.break_feeds();
        drop(held.pop());
        eventually("it has left", async || Ok(queued(&ctx, "job").await? == 4)).await?;
        tap.faults.heal(&[crate::tap::Call::Watch]);
        let (served, second) = soon("the second waiter", got.recv()).await?.expect("a waiter");
        ensure_eq!(served, 1);
        ensure!(got.try_recv().is_err() && permit.is_held(), "more holders than permits");
        drop(permit);
        let (served, third) = soon("the third waiter", got.recv()).await?.expect("a waiter");
        ensure_eq!(served, 2);
        drop((second, third));
        drop(soon("the last waiter", got.recv()).await?);
        eventually("nothing is left of the queue", async || Ok(queued(&ctx, "job").await? == 0)).await?;
    }
    Ok(())
}

pub(super) async fn frees_itself(ctx: Ctx) -> Proof {
    let (dying, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let ttl = ctx.ttl(Duration::from_millis(1200));
    let stays = Semaphore::new(&other, "job", 2)?.acquire().await?;
    let lost = Semaphore::new(&dying, "job", 2)?.acquire().ttl(ttl).await?;
    let semaphore = Semaphore::new(&other, "job", 2)?;
    tap.faults.die();
    let died = Instant::now();
    let next = soon("the permit of a dead holder", semaphore.acquire()).await??;
    // A second for being woken on a busy machine.
    let bound = ttl + ctx.limits().ttl_slack + Duration::from_secs(1);
    ensure!(died.elapsed() <= bound, "free after {:?}, promised {bound:?}", died.elapsed());
    ensure!(next.fencing_token() > lost.fencing_token() && stays.is_held(), "the wrong one died");
    ensure_eq!(*soon("the loss is told", lost.lost()).await?.kind(), ErrorKind::LockLost);
    // A handle that is closed gives its permits back at once.
    let kv = ctx.open().await?;
    next.release().await?;
    let closed = Semaphore::new(&kv, "job", 2)?.acquire().ttl(ctx.ttl(Duration::from_secs(600))).await?;
    kv.close().await?;
    soon("the permit of a closed handle", semaphore.acquire()).await??.release().await?;
    ensure!(!closed.is_held(), "closed and yet held");
    Ok(())
}

pub(super) async fn dropped_at_any_await(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let (mine, theirs) = (Semaphore::new(&kv, "job", 2)?, Semaphore::new(&other, "job", 2)?);
    for polls in 0..8 {
        for held in 0..3 {
            let mut holders = Vec::new();
            for _ in 0..held {
                holders.push(soon("a permit", theirs.acquire()).await??);
            }
            for _ in 0..2 {
                // A lease that outlives the trial's patience: its end must not make up for what is left behind.
                let call = mine.acquire().ttl(ctx.ttl(Duration::from_secs(600)));
                let dropped = drop_after(call.into_future(), polls);
                drop(tokio::time::timeout(Duration::from_millis(30), dropped).await);
            }
            ensure!(holders.iter().all(LockGuard::is_held), "a call that was given up took a permit away");
            drop(holders);
            let what = format!("both permits after calls dropped at poll {polls} with {held} held");
            let both = (soon(&what, theirs.acquire()).await??, soon(&what, theirs.acquire()).await??);
            drop(both);
            eventually("nothing is left in the queue", async || Ok(queued(&ctx, "job").await? == 0)).await?;
        }
    }
    Ok(())
}

pub(super) async fn one_meaning(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    expect_kind(Semaphore::new(&kv, "job", 0), &ErrorKind::InvalidArgument)?;
    let mut permit = Semaphore::new(&kv, "job", 2)?.acquire().id("first").await?;
    for again in 0..2 {
        // Also behind one that waits or holds beside it, and whatever the wait.
        let _second =
            if again == 1 { Some(Semaphore::new(&kv, "job", 2)?.acquire().id("second").await?) } else { None };
        let others = [
            Semaphore::new(&other, "job", 3)?.acquire().await,
            Semaphore::new(&other, "job", 1)?.try_acquire().await,
            RwLock::new(&other, "job").read().await,
            RwLock::new(&other, "job").try_write().await,
            other.lock("job").await,
        ];
        for other in others {
            let error = expect_kind(other, &ErrorKind::InvalidLock)?;
            let text = error.to_string();
            ensure!(text.contains("`first`") && text.contains("semaphore of 2"), "does not name the other: {text}");
        }
    }
    eventually("the refused leave nothing", async || Ok(queued(&ctx, "job").await? == 1)).await?;
    // Whoever comes first gives the name its meaning, until all of them have left.
    permit.release().await?;
    permit = Semaphore::new(&other, "job", 3)?.acquire().await?;
    permit.release().await?;
    let reader = RwLock::new(&other, "job").read().id("reader").await?;
    let error = expect_kind(Semaphore::new(&kv, "job", 3)?.acquire().await, &ErrorKind::InvalidLock)?;
    ensure!(error.to_string().contains("`reader` takes it as a shared lock"), "does not name the other: {error}");
    reader.release().await?;
    Ok(())
}

pub(super) async fn fences(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let stays = Semaphore::new(&other, "job", 2)?.acquire().await?;
    let lost = Semaphore::new(&kv, "job", 2)?.acquire().await?;
    kv.put("data", "lost").fence(&lost).await?;
    other.put("data", "stays").fence(&stays).await?;
    kv.lease_revoke(&tap.record.grants()[0].0, CallOptions::default()).await?;
    ensure_eq!(*soon("the loss is told", lost.lost()).await?.kind(), ErrorKind::LockLost);
    expect_kind(other.put("data", "stale").fenced_by(lost.fence()).await, &ErrorKind::LockLost)?;
    let next = soon("the next one", Semaphore::new(&kv, "job", 2)?.acquire()).await??;
    expect_kind(kv.put("data", "stale").fence(&lost).await, &ErrorKind::LockLost)?;
    kv.put("data", "next").fence(&next).await?;
    other.put("data", "stays").fence(&stays).await?;
    // A release after the loss takes nobody's permit.
    lost.release().await?;
    ensure!(next.is_held() && stays.is_held(), "a lost permit took another one with it");
    let third = Semaphore::new(&other, "job", 2)?.try_acquire().await;
    expect_error(third, "LockTimeout", timed_out)?;
    Ok(())
}
