use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kvdb_core::Error;
use kvdb_core::prelude::*;
use tokio::task::JoinSet;

use super::LONG;
use crate::help::expect_kind;
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn counter(ctx: Ctx) -> Proof {
    const TASKS: u64 = 64;
    const EACH: u64 = 4;
    let kv = ctx.open().await?;
    let runs = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (kv, runs) = (kv.clone(), Arc::clone(&runs));
        tasks.spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..EACH {
                answers.push(
                    kv.transact_within(LONG, |tx| {
                        runs.fetch_add(1, Ordering::SeqCst);
                        async move {
                            let count: u64 = tx.get_val("count").await?.unwrap_or_default();
                            // Somebody else gets a turn between the read and the write.
                            tokio::task::yield_now().await;
                            tx.put_val("count", &(count + 1))?;
                            Ok(count + 1)
                        }
                    })
                    .await?,
                );
            }
            Ok::<_, Error>(answers)
        });
    }
    let mut answers = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        answers.extend(ended??);
    }
    // Each was told a count of its own: none is lost, none came twice.
    answers.sort_unstable();
    ensure_eq!(answers, (1..=TASKS * EACH).collect::<Vec<_>>());
    ensure_eq!(kv.get_val::<u64>("count").await?, Some(TASKS * EACH));
    ensure!(runs.load(Ordering::SeqCst) > (TASKS * EACH) as usize, "nothing was ever in conflict: this proves nothing");
    Ok(())
}

pub(super) async fn always_conflicts(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    kv.put("k", "0").await?;
    let mut limit = Duration::from_millis(400);
    loop {
        let (runs, began) = (AtomicUsize::new(0), Instant::now());
        let outcome = kv
            .transact_within(limit, |tx| {
                let run = runs.fetch_add(1, Ordering::SeqCst);
                let other = &other;
                async move {
                    tx.get("k").await?;
                    other.put("k", format!("{run}")).await?;
                    tx.put("left", "1")
                }
            })
            .await;
        let error = expect_kind(outcome, &ErrorKind::Contention)?;
        ensure!(began.elapsed() < limit + Duration::from_secs(8), "{limit:?} took {:?}", began.elapsed());
        ensure_eq!(error.retry(), Retry::Safe, "the retry class of {error:?}");
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        ensure!(cause.contains(ErrorKind::Modified.describe()), "the cause of {error:?}");
        let runs = runs.load(Ordering::SeqCst);
        if runs > 2 {
            break;
        }
        // A store so slow that two runs use up the time has more of it.
        limit *= 2;
        ensure!(limit < Duration::from_secs(30), "given up after {runs} runs");
    }
    ensure_eq!(kv.get("left").await?, None, "what a transaction in contention left");
    // With no time at all it still runs once.
    let once = kv.transact_within(Duration::ZERO, |tx| async move { tx.put("once", "1") }).await;
    ensure!(once.is_ok(), "{once:?}");
    ensure!(kv.get("once").await?.is_some());
    Ok(())
}

pub(super) async fn own_error(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    other.txn().then(put("x", "1")).then(put("y", "1")).await?;
    // Two keys that always change together are read apart in the first run: its error means nothing.
    let runs = AtomicUsize::new(0);
    ensure_eq!(
        kv.transact(|tx| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            let other = &other;
            async move {
                let x = tx.get("x").await?.map(|pair| pair.value);
                if run == 0 {
                    other.txn().then(put("x", "2")).then(put("y", "2")).await?;
                }
                let y = tx.get("y").await?.map(|pair| pair.value);
                if x != y {
                    return Err(Error::new(ErrorKind::Internal, "the two differ"));
                }
                tx.put("equal", x.unwrap_or_default())?;
                Ok(run)
            }
        })
        .await?,
        1,
        "the run that committed"
    );
    ensure_eq!(kv.get("equal").await?.map(|pair| pair.value), Some("2".into()));
    // Over reads that belong together it is the answer, at once, and nothing is written.
    let runs = AtomicUsize::new(0);
    let error = expect_kind(
        kv.transact(|tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            async move {
                tx.get("x").await?;
                tx.put("left", "1")?;
                Err::<(), _>(Error::new(ErrorKind::PermissionDenied, "not on a Sunday"))
            }
        })
        .await,
        &ErrorKind::PermissionDenied,
    )?;
    ensure!(error.message().contains("Sunday"), "{error:?}");
    ensure_eq!((runs.load(Ordering::SeqCst), kv.get("left").await?), (1, None), "runs, and what they left");
    // An error that never was about the reads does not run for ever where the reads change for ever.
    let within = kv
        .transact_within(Duration::from_millis(300), |tx| {
            let other = &other;
            async move {
                tx.get("x").await?;
                other.put("x", "changed").await?;
                Err::<(), _>(Error::new(ErrorKind::PermissionDenied, "not on a Sunday"))
            }
        })
        .await;
    expect_kind(within, &ErrorKind::Contention)?;
    Ok(())
}

pub(super) async fn ends_itself(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let aborted = kv
        .transact(|tx| async move {
            tx.put("aborted", "1")?;
            tx.abort()?;
            Ok(7)
        })
        .await?;
    ensure_eq!((aborted, kv.get("aborted").await?), (7, None));
    let revision = kv
        .transact(|tx| async move {
            tx.put("committed", "1")?;
            tx.commit().await
        })
        .await?;
    ensure_eq!(kv.get("committed").await?.map(|pair| pair.modified_index), Some(revision));
    // One that commits by itself and is in conflict runs again, like one whose commit is left to us.
    let (other, runs) = (ctx.open().await?, AtomicUsize::new(0));
    let last = kv
        .transact(|tx| {
            let (run, other) = (runs.fetch_add(1, Ordering::SeqCst), &other);
            async move {
                tx.get("k").await?;
                if run == 0 {
                    other.put("k", "1").await?;
                }
                tx.put("own", format!("{run}"))?;
                tx.commit().await?;
                Ok(run)
            }
        })
        .await?;
    ensure_eq!((last, kv.get("own").await?.map(|pair| pair.value)), (1, Some("1".into())));
    // A closure that calls on is told so.
    let late = kv
        .transact(|tx| async move {
            tx.abort()?;
            tx.put("late", "1")
        })
        .await;
    expect_kind(late, &ErrorKind::InvalidArgument)?;
    Ok(())
}
