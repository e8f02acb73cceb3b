use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kvdb_core::{Error, ErrorKind, Handle, KvFlags, KvPair, KvdbExt, Result};
use tokio::sync::Barrier;

use crate::help::expect_kind;
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

const TASKS: usize = 12;

/// Starts `call` in many tasks at the same moment; answers what each got.
async fn race<F, Fut>(kv: &Handle, call: F) -> Proof<Vec<Result<KvPair>>>
where
    F: Fn(Handle, usize) -> Fut,
    Fut: Future<Output = Result<KvPair>> + Send + 'static,
{
    let start = Arc::new(Barrier::new(TASKS));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let call = call(kv.clone(), task);
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                call.await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await?);
    }
    Ok(answers)
}

/// Wants exactly one Ok, and this error from all others; answers the winner's pair.
fn one_winner(answers: Vec<Result<KvPair>>, losers: impl Fn(&ErrorKind) -> bool) -> Proof<KvPair> {
    let mut winners = Vec::new();
    for answer in answers {
        match answer {
            Ok(pair) => winners.push(pair),
            Err(error) => ensure!(losers(error.kind()), "a loser got {error:?}"),
        }
    }
    ensure_eq!(winners.len(), 1, "winners of one race");
    winners.pop().ok_or_else(|| Failure::new("no winner"))
}

pub(super) async fn creates(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for _ in 0..10 {
        let answers = race(&kv, |kv, task| async move { kv.create("k", task.to_string()).await }).await?;
        let won = one_winner(answers, |kind| *kind == ErrorKind::AlreadyExists)?;
        let found = kv.get("k").await?.ok_or_else(|| Failure::new("the key is absent"))?;
        ensure_eq!((found.value, found.modified_index), (won.value, won.modified_index), "what the winner wrote");
        kv.delete("k").await?;
    }
    Ok(())
}

pub(super) async fn compare_and_sets(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let conditions: [(KvFlags, bool); 4] = [
        (KvFlags::MODIFIED_INDEX, false),
        (KvFlags::MODIFIED_INDEX | KvFlags::CREATED_INDEX, true),
        (KvFlags::empty(), true),
        (KvFlags::PREV_EXISTS, true),
    ];
    for round in 0..12 {
        let (flags, by_value) = conditions[round % conditions.len()];
        let seen = kv.put("k", format!("round {round}")).await?;
        let answers = race(&kv, |kv, task| {
            let mut pair = seen.clone();
            let previous = by_value.then(|| pair.value.clone());
            pair.value = format!("{round} by {task}").into();
            async move { kv.compare_and_set(&pair, flags, previous).await }
        })
        .await?;
        let won = one_winner(answers, |kind| matches!(kind, ErrorKind::Modified | ErrorKind::ValueMismatch))?;
        let found = kv.get("k").await?.ok_or_else(|| Failure::new("the key is absent"))?;
        ensure_eq!((found.value, found.modified_index), (won.value, won.modified_index), "what the winner wrote");
    }
    Ok(())
}

pub(super) async fn deletions(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for round in 0..10 {
        let seen = kv.put("k", round.to_string()).await?;
        let answers = race(&kv, |kv, task| {
            let seen = seen.clone();
            async move {
                match task % 3 {
                    0 => kv.delete("k").await,
                    1 => kv.compare_and_delete(&seen, KvFlags::MODIFIED_INDEX).await,
                    _ => kv.compare_and_delete(&seen, KvFlags::empty()).await,
                }
            }
        })
        .await?;
        let won = one_winner(answers, |kind| *kind == ErrorKind::NotFound)?;
        ensure_eq!(won.value, seen.value);
        ensure_eq!(kv.get("k").await?, None);
    }
    Ok(())
}

pub(super) async fn earlier_incarnation(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut earlier: Vec<KvPair> = Vec::new();
    for round in 0..10 {
        // Every incarnation has the same value, the same version and the same number of writes.
        let made = kv.create("k", "same").await?;
        for old in &earlier {
            for flags in [
                KvFlags::MODIFIED_INDEX,
                KvFlags::CREATED_INDEX,
                KvFlags::MODIFIED_INDEX | KvFlags::CREATED_INDEX | KvFlags::PREV_EXISTS,
            ] {
                expect_kind(kv.compare_and_set(old, flags, Some("same".into())).await, &ErrorKind::Modified)?;
                expect_kind(kv.compare_and_delete(old, flags).await, &ErrorKind::Modified)?;
            }
        }
        let found = kv.get("k").await?.ok_or_else(|| Failure::new("the key is absent"))?;
        ensure_eq!(found.modified_index, made.modified_index, "round {round}");
        earlier.push(made);
        kv.delete("k").await?;
    }
    Ok(())
}

/// Each task raises a counter by compare_and_set, and now and then takes it away and puts it back; while it is away the
/// taker alone knows it. A condition that took one incarnation for another would lose a step or count one twice.
pub(super) async fn counter(ctx: Ctx) -> Proof {
    const STEPS: usize = 15;
    let kv = ctx.open().await?;
    kv.put("counter", "0").await?;
    let away = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (kv, away) = (kv.clone(), Arc::clone(&away));
            tokio::spawn(async move { raise(&kv, &away, STEPS, task).await })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    ensure_eq!(away.load(Ordering::SeqCst), 0);
    let last = kv.get("counter").await?.ok_or_else(|| Failure::new("the counter is absent"))?;
    ensure_eq!(last.text(), Some((TASKS * STEPS).to_string().as_str()), "the counter after all steps");
    Ok(())
}

async fn raise(kv: &Handle, away: &AtomicUsize, steps: usize, task: usize) -> Result<()> {
    let mut done = 0;
    while done < steps {
        tokio::task::yield_now().await;
        let Some(mut pair) = kv.get("counter").await? else { continue };
        let count: usize = pair.text().and_then(|text| text.parse().ok()).unwrap_or_default();
        let lost = |error: &Error| matches!(error.kind(), ErrorKind::Modified | ErrorKind::NotFound);
        if task.is_multiple_of(4) {
            match kv.compare_and_delete(&pair, KvFlags::MODIFIED_INDEX).await {
                Ok(_) => {}
                Err(error) if lost(&error) => continue,
                Err(error) => return Err(error),
            }
            if away.fetch_add(1, Ordering::SeqCst) != 0 {
                return Err(Error::invalid("two tasks took the counter away"));
            }
            tokio::task::yield_now().await;
            away.fetch_sub(1, Ordering::SeqCst);
            kv.create("counter", (count + 1).to_string()).await?;
            done += 1;
            continue;
        }
        pair.value = (count + 1).to_string().into();
        match kv.compare_and_set(&pair, KvFlags::MODIFIED_INDEX, None).await {
            Ok(_) => done += 1,
            Err(error) if lost(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
