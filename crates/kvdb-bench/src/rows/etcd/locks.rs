//! P6 and P7: locks against etcd's own Lock call and against a put.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Client, Compare, CompareOp, GetOptions, KvClient, LockClient, LockOptions, PutOptions, Txn, TxnOp};
use kvdb_core::{Handle, KvdbExt};

use super::stage::{Stage, absolute};
use crate::pairs::{Pair, side};
use crate::rows::keys::value;
use crate::rows::{Failure, Place};

/// Several hand-overs, of which etcd's own take up to 100 ms and more.
const WINDOW: Duration = Duration::from_millis(600);
/// Some hundred calls.
const SHORT_WINDOW: Duration = Duration::from_millis(300);
/// Longer than any row takes: nobody keeps the raw leases alive.
const RAW_LEASE: i64 = 3_600;
const NAME: &str = "job";

pub(in crate::rows) fn hand_over(place: &Place<'_>) -> Result<Vec<Pair>, Failure> {
    let stage = Stage::open(place)?;
    // Holder and waiter are two clients, as they are two processes in earnest.
    let ours = (stage.kv.clone(), stage.handle()?);
    let raw = (owner(&stage, stage.raw.clone())?, owner(&stage, stage.client()?)?);
    let pair = |queued: u64, what| {
        let queued = Duration::from_millis(queued);
        let (our_stage, raw_stage) = (Arc::clone(&stage), Arc::clone(&stage));
        let ((holder, waiter), (raw_holder, raw_waiter)) = (ours.clone(), raw.clone());
        Pair {
            what,
            against: "etcd's own Lock call",
            window: WINDOW,
            ours: side(move |window| {
                our_stage.median(window, || our_hand_over(holder.clone(), waiter.clone(), queued))
            }),
            raw: side(move |window| {
                raw_stage.median(window, || raw_hand_over(raw_holder.clone(), raw_waiter.clone(), queued))
            }),
        }
    };
    Ok(vec![
        pair(5, "lock hand-over to a waiter that queued 5 ms before"),
        pair(20, "lock hand-over to a waiter that queued 20 ms before"),
        pair(150, "lock hand-over to a waiter that queued 150 ms before"),
    ])
}

pub(in crate::rows) fn acquire(place: &Place<'_>) -> Result<Vec<Pair>, Failure> {
    let stage = Stage::open(place)?;
    let raw_owner = owner(&stage, stage.raw.clone())?;
    let ours = |stage: &Arc<Stage>| {
        let ours = Arc::clone(stage);
        side(move |window| {
            ours.median(window, || {
                let kv = ours.kv.clone();
                async move {
                    let began = Instant::now();
                    let guard = kv.lock(NAME).await?;
                    let took = began.elapsed();
                    guard.release().await?;
                    Ok(took)
                }
            })
        })
    };
    let (put, same) = (Arc::clone(&stage), Arc::clone(&stage));
    Ok(vec![
        Pair {
            what: "uncontended lock, lease warm",
            against: "one put by etcd-client",
            window: SHORT_WINDOW,
            ours: ours(&stage),
            raw: side(move |window| {
                put.median(window, || {
                    let mut kv = put.raw.kv_client();
                    async move {
                        let began = Instant::now();
                        kv.put(absolute(NAME), value().as_ref(), None).await?;
                        Ok(began.elapsed())
                    }
                })
            }),
        },
        Pair {
            what: "uncontended lock, lease warm",
            against: "the same transactions by etcd-client",
            window: SHORT_WINDOW,
            ours: ours(&stage),
            raw: side(move |window| same.median(window, || raw_acquire(same.raw.kv_client(), raw_owner.1))),
        },
    ])
}

/// A key in a queue that is listed along with it; and its end, which is not measured.
async fn raw_acquire(mut kv: KvClient, lease: i64) -> Result<Duration, Failure> {
    let (queue, key) = (absolute("raw-queue/"), absolute("raw-queue/waiter"));
    let began = Instant::now();
    let absent = Compare::create_revision(key.as_str(), CompareOp::Equal, 0);
    let put = TxnOp::put(key.as_str(), value().as_ref(), Some(PutOptions::new().with_lease(lease)));
    let list = TxnOp::get(queue, Some(GetOptions::new().with_prefix()));
    let answer = kv.txn(Txn::new().when([absent]).and_then([put, list])).await?;
    let took = began.elapsed();
    if !answer.succeeded() {
        return Err("the key was there".into());
    }
    let written = answer.header().ok_or("an answer without a header")?.revision();
    let ours = Compare::mod_revision(key.as_str(), CompareOp::Equal, written);
    kv.txn(Txn::new().when([ours]).and_then([TxnOp::delete(key, None)])).await?;
    Ok(took)
}

/// From the release to the waiter's lock.
async fn our_hand_over(holder: Handle, waiter: Handle, queued: Duration) -> Result<Duration, Failure> {
    let held = holder.lock(NAME).await?;
    let waiting = tokio::spawn(async move {
        let next = waiter.lock(NAME).await?;
        Ok::<_, kvdb_core::Error>((Instant::now(), next))
    });
    tokio::time::sleep(queued).await;
    let released = Instant::now();
    held.release().await?;
    let (taken, next) = waiting.await??;
    next.release().await?;
    Ok(taken.saturating_duration_since(released))
}

/// A client of etcd's Lock call and the lease that owns its locks.
type Owner = (LockClient, i64);

fn owner(stage: &Stage, client: Client) -> Result<Owner, Failure> {
    let lease = stage.runtime.block_on(client.lease_client().grant(RAW_LEASE, None))?.id();
    Ok((client.lock_client(), lease))
}

async fn raw_hand_over(holder: Owner, waiter: Owner, queued: Duration) -> Result<Duration, Failure> {
    async fn lock((client, lease): &mut Owner) -> Result<Vec<u8>, etcd_client::Error> {
        let options = LockOptions::new().with_lease(*lease);
        Ok(client.lock(absolute(NAME), Some(options)).await?.key().to_vec())
    }
    let (mut holder, mut waiter) = (holder, waiter);
    let held = lock(&mut holder).await?;
    let waiting = tokio::spawn(async move {
        let next = lock(&mut waiter).await?;
        Ok::<_, etcd_client::Error>((Instant::now(), next, waiter.0))
    });
    tokio::time::sleep(queued).await;
    let released = Instant::now();
    holder.0.unlock(held).await?;
    let (taken, next, mut waiter) = waiting.await??;
    waiter.unlock(next).await?;
    Ok(taken.saturating_duration_since(released))
}
