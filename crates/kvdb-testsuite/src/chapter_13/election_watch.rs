use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::recipes::{Election, ElectionEvent, Leader, LeaderWatch};
use kvdb_core::{Kvdb, Options};

use super::election::{campaign, elected, next};
use crate::chapter_08::queued;
use crate::help::{eventually, expect_kind, soon};
use crate::tap::{Call, Tap};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

/// What is told next.
#[track_caller]
fn told(watch: &mut LeaderWatch) -> impl Future<Output = Proof<Option<Leader>>> + Send + '_ {
    let none = Failure::new("the watch has ended");
    let late = soon("news of the leader", watch.next());
    async move { Ok(late.await?.ok_or(none)??) }
}

/// What is told next that is a leader.
async fn leader(watch: &mut LeaderWatch) -> Proof<Leader> {
    loop {
        if let Some(leader) = told(watch).await? {
            return Ok(leader);
        }
    }
}

pub(super) async fn leader_and_none(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let election = Election::new(&other, "job");
    let mut watch = election.observe().await?;
    ensure_eq!(told(&mut watch).await?, None, "the leader before there is one");
    ensure_eq!(election.leader().await?, None);
    let mut first = campaign(&ctx, &kv, "first").await?;
    let seen = leader(&mut watch).await?;
    let token = elected(&mut first).await?;
    ensure_eq!((seen.id.as_str(), &seen.value[..], seen.token), ("first", &b"at first"[..], token));
    ensure_eq!(election.leader().await?, Some(seen.clone()));
    // Whoever comes later is told of the present one first.
    let mut late = election.observe().await?;
    ensure_eq!(told(&mut late).await?, Some(seen));
    let mut second = campaign(&ctx, &other, "second").await?;
    ensure_eq!(next(&mut second).await?, ElectionEvent::Candidate);
    eventually("the second is queued", async || Ok(queued(&ctx, "job").await? == 2)).await?;
    first.resign().await?;
    // The one behind the leader leads in the same moment: nobody leads in between.
    for watch in [&mut watch, &mut late] {
        let seen = told(watch).await?.ok_or_else(|| Failure::new("nobody leads between two"))?;
        ensure_eq!((seen.id.as_str(), &seen.value[..]), ("second", &b"at second"[..]));
        ensure!(seen.token > token, "token {} after {token}", seen.token);
    }
    second.resign().await?;
    for watch in [&mut watch, &mut late] {
        ensure_eq!(told(watch).await?, None, "the leader after the last one resigned");
    }
    // A leader that dies is gone for them, too.
    let mut dies = campaign(&ctx, &kv, "dies").await?;
    elected(&mut dies).await?;
    ensure_eq!(leader(&mut watch).await?.id, "dies");
    kv.close().await?;
    ensure_eq!(told(&mut watch).await?, None, "the leader after its handle was closed");
    // The end of the watch is that of its handle.
    other.close().await?;
    let end = soon("the end", watch.next()).await?.ok_or_else(|| Failure::new("no reason for the end"))?;
    expect_kind(end, &ErrorKind::Closed)?;
    ensure!(soon("the end", watch.next()).await?.is_none(), "news after the end");
    Ok(())
}

pub(super) async fn no_polling(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let mut first = campaign(&ctx, &other, "first").await?;
    let token = elected(&mut first).await?;
    let mut watch = Election::new(&kv, "job").observe().await?;
    ensure_eq!(leader(&mut watch).await?.token, token);
    let reads = tap.record.reads();
    {
        let mut news = std::pin::pin!(watch.next());
        // Nothing happens, then candidates come and leave: nobody may ask. Here the time that passes is what is tested.
        ensure!(tokio::time::timeout(Duration::from_millis(300), &mut news).await.is_err(), "news of nothing");
        for n in 0..4 {
            let waits = campaign(&ctx, &other, &format!("{n}")).await?;
            eventually("it is queued", async || Ok(queued(&ctx, "job").await? == 2)).await?;
            waits.resign().await?;
        }
        ensure!(tokio::time::timeout(Duration::from_millis(300), &mut news).await.is_err(), "news of candidates");
    }
    ensure_eq!(tap.record.reads(), reads, "calls while the leader stays");
    first.resign().await?;
    ensure_eq!(told(&mut watch).await?, None, "the leader after it resigned");
    ensure!(tap.record.reads() <= reads + 1, "{} reads for one change", tap.record.reads() - reads);
    drop(watch);
    eventually("a dropped watch ends at the store", async || Ok(tap.record.open_feeds() == 0)).await
}

pub(super) async fn breaks(ctx: Ctx) -> Proof {
    // Also where a watch cannot begin in the past.
    let forgets = Capabilities::WATCH_RESUME | Capabilities::ORDERED_UPDATES;
    for lacks in [Capabilities::empty(), forgets] {
        let (kv, tap) = Tap::without(ctx.backend().await?, lacks).serve(&ctx, Options::new())?;
        let other = ctx.open().await?;
        let mut first = campaign(&ctx, &other, "first").await?;
        let token = elected(&mut first).await?;
        let mut watch = Election::new(&kv, "job").observe().await?;
        ensure_eq!(leader(&mut watch).await?.token, token);
        // What changes while nobody can watch or read is told afterwards.
        tap.faults.die();
        ensure!(
            tokio::time::timeout(Duration::from_millis(100), watch.next()).await.is_err(),
            "news from a store out of reach"
        );
        first.resign().await?;
        let mut second = campaign(&ctx, &other, "second").await?;
        let after = elected(&mut second).await?;
        tap.faults.revive();
        ensure_eq!(leader(&mut watch).await?.token, after);
        // A break without a change is no news.
        tap.faults.break_feeds();
        tap.faults.refuse_next(Call::Watch, 2);
        second.resign().await?;
        ensure_eq!(told(&mut watch).await?, None, "the leader after it resigned");
        tap.faults.break_feeds();
        let mut third = campaign(&ctx, &other, "third").await?;
        let last = elected(&mut third).await?;
        ensure_eq!(told(&mut watch).await?.map(|leader| leader.token), Some(last));
        third.resign().await?;
    }
    Ok(())
}
