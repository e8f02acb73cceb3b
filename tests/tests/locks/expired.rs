//! The holder's process lives, but its session or lease ends: nothing of it reaches the servers any more.

use std::time::{Duration, Instant};

use kvdb::prelude::*;
use libtest_mimic::Failed;
use tokio::task::JoinSet;

use crate::child::COMES;
use crate::runtime;
use crate::servers::{Start, line};

/// Holders that are cut off at the same time, each of a lock and on a line of its own.
const HOLDERS: usize = 10;
const TTL: Duration = Duration::from_secs(1);
/// What a machine with much else to do may take besides what contract 8.2 promises.
const MARGIN: Duration = Duration::from_secs(10);
/// How often a machine that starves a holder, so that it loses its lock before, is given another one.
const TRIES: usize = 5;

/// Cuts holders off while others wait, and measures how long these wait on.
pub(crate) fn rounds(name: &'static str, start: Start, _seed: u64) -> Result<(), Failed> {
    let servers = start()?;
    runtime().block_on(async {
        let kv = kvdb::connect(&servers.uri).await?;
        let promised = TTL + kv.limits().ttl_slack;
        let mut holders = JoinSet::new();
        for n in 0..HOLDERS {
            let (kv, uri, lock) = (kv.clone(), servers.uri.clone(), format!("job{n}"));
            holders.spawn(async move { one(&kv, &uri, &lock, promised + MARGIN).await });
        }
        let mut took = Vec::new();
        while let Some(passed) = holders.join_next().await {
            took.push(passed??);
        }
        kv.close().await?;
        took.sort_unstable();
        let [Some(first), Some(middle), Some(last)] =
            [took.first(), took.get(took.len() / 2), took.last()].map(Option::<&Duration>::copied)
        else {
            return Err("no holder was cut off".into());
        };
        println!(
            "locks {name}: {} holders cut off until a TTL of {TTL:?} was over, each was told before the next one held, \
             tokens rose, every fence of theirs was refused; the next one held after {first:.2?} min, {middle:.2?} \
             median, {last:.2?} max; promised within {promised:?}, {MARGIN:?} more for a busy machine",
            took.len(),
        );
        Ok(())
    })
}

/// How long after the line fell silent the next one held the lock.
async fn one(kv: &Handle, uri: &str, name: &str, within: Duration) -> Result<Duration, Failed> {
    let (line, near) = line(uri)?;
    let cut_off = kvdb::connect(&near).await?;
    let key = format!("out/{name}");
    let mut tries = 0;
    let lock = loop {
        let taken = async {
            let lock = cut_off.lock(name).id("cut off").ttl(TTL).wait(COMES).await?;
            cut_off.put(&key, "held").fence(&lock).await?;
            Ok::<_, Error>(lock)
        };
        match taken.await {
            Ok(lock) => break lock,
            Err(error) if *error.kind() == ErrorKind::LockLost && tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    };
    line.stall();
    let cut = Instant::now();
    let next = async {
        // Its own TTL is a longer one: a busy machine must not cost it its place.
        let next = kv.lock(name).id("next").wait(within).await?;
        Ok::<_, Failed>((next, cut.elapsed(), lock.is_held()))
    };
    let lost = async { tokio::time::timeout(COMES, lock.lost()).await.map_err(|_| Failed::from("a loss is not told")) };
    let ((next, took, both), lost) = tokio::try_join!(next, lost)?;
    let (before, after) = (lock.fencing_token(), next.fencing_token());
    if both || after <= before || *lost.kind() != ErrorKind::LockLost {
        return Err(format!("{name}: token {after} after {before}, both hold: {both}, {lost:?}").into());
    }
    kv.put(&key, "next").fence(&next).await?;
    line.heal()?;
    let healed = Instant::now();
    loop {
        match cut_off.put(&key, "stale").fenced_by(lock.fence()).await {
            Err(error) if *error.kind() == ErrorKind::LockLost => break,
            // The line has to be found again.
            Err(error) if error.retry() != Retry::Never && healed.elapsed() < COMES => {}
            other => return Err(format!("{name}: the fence of a lost lock is answered {other:?}").into()),
        }
    }
    if kv.get(&key).await?.is_none_or(|pair| pair.value != "next") {
        return Err(format!("{name}: a holder wrote after it had lost the lock").into());
    }
    next.release().await?;
    cut_off.close().await?;
    Ok(took)
}
