use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kvdb_core::Error;
use kvdb_core::prelude::*;
use tokio::task::{JoinHandle, JoinSet};

use super::LONG;
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

const TASKS: usize = 64;
const ACCOUNTS: usize = 10;
const EACH: i64 = 100;
/// Transfers of a task.
const TRANSFERS: usize = 3;

fn account(n: usize) -> String {
    format!("bank/{}", n % ACCOUNTS)
}

/// Moves some money, if there is enough of it.
async fn transfer(kv: &Handle, from: usize, to: usize, amount: i64) -> kvdb_core::Result<bool> {
    let (from, to) = (&account(from), &account(to));
    kv.transact_within(LONG, |tx| async move {
        let source: i64 = tx.get_val(from).await?.unwrap_or_default();
        tokio::task::yield_now().await;
        let target: i64 = tx.get_val(to).await?.unwrap_or_default();
        if source < amount {
            return Ok(false);
        }
        tx.put_val(from, &(source - amount))?;
        tx.put_val(to, &(target + amount))?;
        Ok(true)
    })
    .await
}

/// What all accounts hold; each of them nothing less than nothing.
fn sum(pairs: &[KvPair]) -> Proof<i64> {
    let mut sum = 0;
    for pair in pairs {
        let cents: i64 = pair.json()?;
        ensure!(cents >= 0, "{} is overdrawn: {cents}", pair.key);
        sum += cents;
    }
    ensure_eq!(pairs.len(), ACCOUNTS, "accounts");
    Ok(sum)
}

/// Looks again and again, until told to stop; answers how often it looked.
fn watcher<F, Fut>(stop: &Arc<AtomicBool>, look: F) -> JoinHandle<Proof<usize>>
where
    F: Fn() -> Fut + Send + 'static,
    Fut: Future<Output = Proof> + Send,
{
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        let mut looks = 0;
        while !stop.load(Ordering::SeqCst) {
            look().await?;
            looks += 1;
            tokio::task::yield_now().await;
        }
        Ok(looks)
    })
}

pub(super) async fn bank(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for n in 0..ACCOUNTS {
        kv.put_val(&account(n), &EACH).await?;
    }
    let total = EACH * ACCOUNTS as i64;
    let stop = Arc::new(AtomicBool::new(false));
    let looking = kv.clone();
    let snapshots = watcher(&stop, move || {
        let kv = looking.clone();
        async move {
            let snapshot = kv.snapshot(&["bank"]).await?;
            let listed = sum(&snapshot.list("bank").await?)?;
            ensure_eq!(listed, total, "the sum of the snapshot at {}", snapshot.revision());
            Ok(())
        }
    });
    let looking = ctx.open().await?;
    let listings = watcher(&stop, move || {
        let kv = looking.clone();
        async move {
            let listing = kv.list("bank").listing().await?;
            ensure_eq!(sum(&listing.pairs)?, total, "the sum of a listing at {}", listing.revision);
            Ok(())
        }
    });
    let moved = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (kv, moved) = (kv.clone(), Arc::clone(&moved));
        tasks.spawn(async move {
            for round in 0..TRANSFERS {
                let (from, to) = (task + round * 3, task * 7 + round + 1);
                let to = if from % ACCOUNTS == to % ACCOUNTS { to + 1 } else { to };
                let amount = ((task * 13 + round * 29) % 60) as i64;
                if transfer(&kv, from, to, amount).await? {
                    moved.fetch_add(1, Ordering::SeqCst);
                }
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    stop.store(true, Ordering::SeqCst);
    let looks = (snapshots.await??, listings.await??);
    ensure!(looks.0 > 2 && looks.1 > 2, "only {looks:?} looks at the accounts");
    ensure!(moved.load(Ordering::SeqCst) > TASKS, "only {} transfers went through", moved.load(Ordering::SeqCst));
    ensure_eq!(sum(&kv.list("bank").await?)?, total, "the sum in the end");
    Ok(())
}

/// Two on call, and each may leave while the other one stays. Both leave at once only if transactions that read the
/// same and write apart do not see each other.
pub(super) async fn write_skew(ctx: Ctx) -> Proof {
    const PAIRS: usize = TASKS / 2;
    const ROUNDS: usize = 4;
    let kv = ctx.open().await?;
    for round in 0..ROUNDS {
        for pair in 0..PAIRS {
            kv.txn().then(put(format!("call/{pair}/0"), "on")).then(put(format!("call/{pair}/1"), "on")).await?;
        }
        let barrier = Arc::new(tokio::sync::Barrier::new(TASKS));
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (kv, barrier) = (kv.clone(), Arc::clone(&barrier));
            tasks.spawn(async move {
                let (mine, theirs) =
                    (format!("call/{}/{}", task / 2, task % 2), format!("call/{}/{}", task / 2, 1 - task % 2));
                let (mine, theirs) = (&mine, &theirs);
                barrier.wait().await;
                let left = kv
                    .transact_within(LONG, |tx| async move {
                        let other_stays = tx.get(theirs).await?.is_some_and(|pair| pair.value == "on");
                        let here = tx.get(mine).await?.is_some_and(|pair| pair.value == "on");
                        tokio::task::yield_now().await;
                        if other_stays && here {
                            tx.put(mine, "off")?;
                        }
                        Ok(other_stays && here)
                    })
                    .await?;
                Ok::<_, Error>((task / 2, left))
            });
        }
        let mut left = vec![0; PAIRS];
        while let Some(ended) = tasks.join_next().await {
            let (pair, gone) = ended??;
            left[pair] += usize::from(gone);
        }
        for (pair, left) in left.into_iter().enumerate() {
            let on = kv.list(&format!("call/{pair}")).await?.iter().filter(|pair| pair.value == "on").count();
            if (left, on) != (1, 1) {
                return Err(Failure::new(format_args!("round {round}: {left} of pair {pair} left, {on} are on call")));
            }
        }
    }
    Ok(())
}
