use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kvdb_core::prelude::*;
use kvdb_core::recipes::{Campaign, Election, ElectionEvent, ElectionOptions};
use kvdb_core::{CallOptions, Kvdb, Options};
use tokio::task::JoinSet;

use crate::chapter_08::queued;
use crate::help::{eventually, expect_error, expect_kind, soon};
use crate::tap::Tap;
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

/// Campaigns with this id and the value `at <id>`, under a TTL that only the store's word can end within a trial.
pub(super) async fn campaign(ctx: &Ctx, kv: &Handle, id: &str) -> Proof<Campaign> {
    let options = ElectionOptions::new().id(id).ttl(ctx.ttl(Duration::from_secs(600)));
    Ok(Election::new(kv, "job").campaign(format!("at {id}"), options).await?)
}

/// The next event, which is none of the ends.
#[track_caller]
pub(super) fn next(campaign: &mut Campaign) -> impl Future<Output = Proof<ElectionEvent>> + Send + '_ {
    let none = Failure::new("the campaign has ended, an event was expected");
    let late = soon("an event of the election", campaign.next());
    async move { Ok(late.await?.ok_or(none)??) }
}

/// The token with which it leads, after `Candidate`.
pub(super) async fn elected(campaign: &mut Campaign) -> Proof<Revision> {
    ensure_eq!(next(campaign).await?, ElectionEvent::Candidate);
    leads(campaign).await
}

/// The token with which it leads next.
async fn leads(campaign: &mut Campaign) -> Proof<Revision> {
    match next(campaign).await? {
        ElectionEvent::Leader { token } => Ok(token),
        other => Err(Failure::new(format_args!("expected Leader, got {other:?}"))),
    }
}

pub(super) async fn hands_over(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let mut first = campaign(&ctx, &kv, "first").await?;
    let token = elected(&mut first).await?;
    let fence = first.fence().ok_or_else(|| Failure::new("a leader without a fence"))?;
    ensure!(first.is_leader() && fence.token() == token, "leads with {token}, fenced by {fence:?}");
    kv.put("data", "first").fenced_by(fence.clone()).await?;
    let mut second = campaign(&ctx, &other, "second").await?;
    ensure_eq!(next(&mut second).await?, ElectionEvent::Candidate);
    eventually("the second is queued", async || Ok(queued(&ctx, "job").await? == 2)).await?;
    ensure!(!second.is_leader() && second.fence().is_none(), "leads beside another one");
    soon("resigning", first.resign()).await??;
    // Its key is gone by now, and the campaign with it.
    ensure_eq!(queued(&ctx, "job").await?, 1, "candidates after one resigned");
    ensure!(!first.is_leader() && first.fence().is_none(), "resigned and leads");
    ensure!(soon("the end", first.next()).await?.is_none(), "an event after resigning");
    let after = leads(&mut second).await?;
    ensure!(after > token, "token {after} after {token}");
    soon("resigning again", first.resign()).await??;
    ensure!(second.is_leader(), "resigning twice cost another one its place");
    expect_kind(kv.put("data", "stale").fenced_by(fence).await, &ErrorKind::LockLost)?;
    let fence = second.fence().ok_or_else(|| Failure::new("a leader without a fence"))?;
    other.put("data", "second").fenced_by(fence).await?;
    Ok(())
}

pub(super) async fn never_two(ctx: Ctx) -> Proof {
    const ROUNDS: usize = 4;
    let handles = [ctx.open().await?, ctx.open().await?, ctx.open().await?];
    let inside = Arc::new(AtomicUsize::new(0));
    let last = Arc::new(Mutex::new(Revision::ZERO));
    let mut candidates = JoinSet::new();
    for n in 0..6 {
        let (ctx, kv) = (ctx.clone(), handles[n % handles.len()].clone());
        let (inside, last) = (Arc::clone(&inside), Arc::clone(&last));
        candidates.spawn(async move {
            for round in 0..ROUNDS {
                let mut campaign = campaign(&ctx, &kv, &format!("{n}")).await?;
                let token = elected(&mut campaign).await?;
                ensure_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "leaders beside a new one");
                let before = std::mem::replace(&mut *last.lock().expect("a lock"), token);
                ensure!(token > before, "token {token} after {before}");
                let leader = Election::new(&kv, "job").leader().await?;
                ensure_eq!(leader.map(|leader| (leader.id, leader.token)), Some((format!("{n}"), token)));
                // Nothing but the leadership guards it: lost counts would show two leaders.
                let count: u64 = kv.get_val("data").await?.unwrap_or(0);
                let fence = campaign.fence().ok_or_else(|| Failure::new("a leader without a fence"))?;
                kv.put("data", (count + 1).to_string()).fenced_by(fence).await?;
                inside.fetch_sub(1, Ordering::SeqCst);
                // Resigned or dropped, another one leads.
                if round % 2 == 0 {
                    campaign.resign().await?;
                }
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(ended) = candidates.join_next().await {
        ended??;
    }
    ensure_eq!(handles[0].get_val::<u64>("data").await?, Some(6 * ROUNDS as u64));
    eventually("nobody is left", async || Ok(queued(&ctx, "job").await? == 0)).await
}

pub(super) async fn loss(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let mut first = campaign(&ctx, &kv, "first").await?;
    let token = elected(&mut first).await?;
    let fence = first.fence().ok_or_else(|| Failure::new("a leader without a fence"))?;
    kv.lease_revoke(&tap.record.grants()[0].0, CallOptions::default()).await?;
    eventually("it knows that it does not lead", async || Ok(!first.is_leader())).await?;
    expect_kind(kv.put("data", "stale").fenced_by(fence.clone()).await, &ErrorKind::LockLost)?;
    // It does not lead again behind the back of whoever has not read that it lost.
    let mut second = campaign(&ctx, &other, "second").await?;
    let between = elected(&mut second).await?;
    ensure!(between > token, "token {between} after {token}");
    ensure_eq!(queued(&ctx, "job").await?, 1, "candidates before the loss was read");
    ensure_eq!(next(&mut first).await?, ElectionEvent::Lost);
    ensure_eq!(next(&mut first).await?, ElectionEvent::Candidate);
    eventually("it campaigns again", async || Ok(queued(&ctx, "job").await? == 2)).await?;
    second.resign().await?;
    let again = leads(&mut first).await?;
    ensure!(again > between, "token {again} after {between}");
    // The fence is that of a term, not that of a candidate.
    expect_kind(kv.put("data", "stale").fenced_by(fence).await, &ErrorKind::LockLost)?;
    let fence = first.fence().ok_or_else(|| Failure::new("a leader without a fence"))?;
    kv.put("data", "again").fenced_by(fence).await?;
    first.resign().await?;
    Ok(())
}

pub(super) async fn closed(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let mut leader = campaign(&ctx, &kv, "leader").await?;
    elected(&mut leader).await?;
    let mut waits = campaign(&ctx, &kv, "waits").await?;
    ensure_eq!(next(&mut waits).await?, ElectionEvent::Candidate);
    let mut next_one = campaign(&ctx, &other, "next").await?;
    eventually("all are queued", async || Ok(queued(&ctx, "job").await? == 3)).await?;
    kv.close().await?;
    ensure!(!leader.is_leader(), "closed and leads");
    ensure_eq!(next(&mut leader).await?, ElectionEvent::Lost);
    for campaign in [&mut leader, &mut waits] {
        let end = soon("the end", campaign.next()).await?.ok_or_else(|| Failure::new("no reason for the end"))?;
        expect_kind(end, &ErrorKind::Closed)?;
        ensure!(soon("the end", campaign.next()).await?.is_none(), "an event after the end");
        soon("resigning", campaign.resign()).await?.or_else(|error| match error.kind() {
            ErrorKind::Closed => Ok(()),
            _ => Err(error),
        })?;
    }
    elected(&mut next_one).await?;
    expect_kind(Election::new(&kv, "job").campaign("", ElectionOptions::new()).await, &ErrorKind::Closed)?;
    Ok(())
}

pub(super) async fn dead_leader(ctx: Ctx) -> Proof {
    let ttl = ctx.ttl(Duration::from_millis(1200));
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let mut dying = Election::new(&kv, "job").campaign("", ElectionOptions::new().ttl(ttl)).await?;
    let token = elected(&mut dying).await?;
    let mut next_one = campaign(&ctx, &other, "next").await?;
    ensure_eq!(next(&mut next_one).await?, ElectionEvent::Candidate);
    eventually("the next one is queued", async || Ok(queued(&ctx, "job").await? == 2)).await?;
    tap.faults.die();
    let died = Instant::now();
    let after = leads(&mut next_one).await?;
    // A second for being woken on a busy machine.
    let bound = ttl + ctx.limits().ttl_slack + Duration::from_secs(1);
    ensure!(died.elapsed() <= bound, "leads after {:?}, promised {bound:?}", died.elapsed());
    ensure!(after > token && !dying.is_leader(), "two lead, {after} and {token}");
    ensure_eq!(next(&mut dying).await?, ElectionEvent::Lost);
    // It campaigns while the store is out of reach, and stands in the queue once it is back.
    ensure_eq!(next(&mut dying).await?, ElectionEvent::Candidate);
    tap.faults.revive();
    eventually("it stands behind the other", async || Ok(queued(&ctx, "job").await? == 2)).await?;
    next_one.resign().await?;
    ensure!(leads(&mut dying).await? > after, "the token of the second term");
    Ok(())
}

pub(super) async fn leaves(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let mut leader = campaign(&ctx, &other, "leader").await?;
    elected(&mut leader).await?;
    // Resigned at any moment of its life as a candidate, its key is gone on return.
    for turns in 0..6 {
        let waits = campaign(&ctx, &kv, "waits").await?;
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        if turns == 5 {
            eventually("it is queued", async || Ok(queued(&ctx, "job").await? == 2)).await?;
        }
        soon("resigning", waits.resign()).await??;
        ensure_eq!(queued(&ctx, "job").await?, 1, "candidates after one resigned");
    }
    // Dropped, soon after.
    for turns in 0..6 {
        let waits = campaign(&ctx, &kv, "waits").await?;
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        if turns == 5 {
            eventually("it is queued", async || Ok(queued(&ctx, "job").await? == 2)).await?;
        }
        drop(waits);
        eventually("the dropped one leaves", async || Ok(queued(&ctx, "job").await? <= 1)).await?;
    }
    ensure!(leader.is_leader(), "those who left took the leader with them");
    // A leader, too.
    drop(leader);
    let mut next_one = campaign(&ctx, &kv, "next").await?;
    elected(&mut next_one).await?;
    // A resignation that is given up is one all the same.
    drop(crate::help::drop_after(next_one.resign(), 1).await);
    eventually("nobody is left", async || Ok(queued(&ctx, "job").await? == 0)).await
}

pub(super) async fn out_of_reach(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new().timeout(Duration::from_millis(300))).await?;
    tap.faults.die();
    let mut campaign = campaign(&ctx, &kv, "patient").await?;
    ensure_eq!(next(&mut campaign).await?, ElectionEvent::Candidate);
    expect_kind(Election::new(&kv, "job").observe().await, &ErrorKind::Unavailable)?;
    tap.faults.revive();
    leads(&mut campaign).await?;
    // A resignation that the store does not hear of says so, and is made up for.
    tap.faults.die();
    expect_kind(soon("resigning", campaign.resign()).await?, &ErrorKind::Unavailable)?;
    ensure!(!campaign.is_leader(), "resigned and leads");
    tap.faults.revive();
    eventually("nobody is left", async || Ok(queued(&ctx, "job").await? == 0)).await
}

pub(super) async fn refused(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let election = Election::new(&kv, "job");
    for name in ["", "a/..", "_kvdb"] {
        let bad = Election::new(&kv, name);
        expect_kind(bad.campaign("", ElectionOptions::new()).await, &ErrorKind::InvalidArgument)?;
        expect_kind(bad.leader().await, &ErrorKind::InvalidArgument)?;
        expect_kind(bad.observe().await, &ErrorKind::InvalidArgument)?;
    }
    let too_large = |kind: &ErrorKind| matches!(kind, ErrorKind::TooLarge { .. });
    let value = vec![b'x'; ctx.limits().value_bytes + 1];
    expect_error(election.campaign(value, ElectionOptions::new()).await, "TooLarge", too_large)?;
    let out_of_bounds = |kind: &ErrorKind| matches!(kind, ErrorKind::TtlNotSupported { .. });
    let options = ElectionOptions::new().ttl(Duration::ZERO);
    expect_error(election.campaign("", options).await, "TtlNotSupported", out_of_bounds)?;
    // Somebody uses the name as something else: nothing that waiting cures.
    let permit = kvdb_core::recipes::Semaphore::new(&kv, "job", 2)?.acquire().await?;
    let mut campaign = campaign(&ctx, &kv, "late").await?;
    ensure_eq!(next(&mut campaign).await?, ElectionEvent::Candidate);
    let end = soon("the end", campaign.next()).await?.ok_or_else(|| Failure::new("no reason for the end"))?;
    expect_kind(end, &ErrorKind::InvalidLock)?;
    ensure!(soon("the end", campaign.next()).await?.is_none(), "an event after the end");
    permit.release().await?;
    ensure_eq!(queued(&ctx, "job").await?, 0);
    Ok(())
}

pub(super) async fn unsupported(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let unsupported = ErrorKind::Unsupported(Capabilities::LEASES);
    expect_kind(Election::new(&kv, "job").campaign("", ElectionOptions::new()).await, &unsupported)?;
    Ok(())
}
