//! F9 and F12: a lock's holder is cut off for longer than its TTL, and a lease's keep-alives stop.

use std::time::{Duration, Instant};

use kvdb::Capabilities;
use kvdb::prelude::*;
use kvdb_servers::Proxy;
use libtest_mimic::Failed;

use crate::cluster::{lines, opener};
use crate::locks::is_outage;
use crate::runtime;
use crate::trials::Start;

/// Of the lock and of the leased key.
const TTL: Duration = Duration::from_secs(2);
/// How long anything here may take that must come.
const COMES: Duration = Duration::from_secs(60);
const ROUNDS: usize = 3;

/// Repeats a call until the store is in reach; answers how it ended.
async fn settled<T, F: IntoFuture<Output = Result<T>>>(mut call: impl FnMut() -> F) -> Result<T> {
    let began = Instant::now();
    loop {
        match call().await {
            Err(error) if is_outage(&error) && began.elapsed() < COMES => {}
            ended => return ended,
        }
    }
}

/// The present value of a key, which is there.
async fn value_of(kv: &Handle, key: &str) -> Result<String, Failed> {
    let pair = settled(|| kv.get(key)).await?;
    Ok(pair.and_then(|pair| pair.text().map(str::to_owned)).ok_or("the key has no text")?)
}

/// Cuts the holder off, over and over.
pub(crate) fn cut_off(name: &str, start: Start, _seed: u64) -> Result<(), Failed> {
    let cluster = start()?;
    let (lines, behind) = lines(&*cluster)?;
    runtime().block_on(async {
        let old = opener(&cluster, behind)("locks").await?;
        let new = opener(&cluster, cluster.endpoints())("locks").await?;
        let (mut unfenced, mut fenced, mut told) = (0, 0, Vec::new());
        for round in 0..ROUNDS {
            let lock = settled(|| old.lock("job").id("old").ttl(TTL).wait(COMES)).await?;
            settled(|| old.put("fenced", "old").fence(&lock)).await?;
            lines.iter().for_each(Proxy::stall);
            let cut = Instant::now();
            let (lost, next) = tokio::join!(
                tokio::time::timeout(COMES, lock.lost()),
                new.lock("job").id("new").ttl(TTL).wait(COMES),
            );
            let (lost, next) = (lost.map_err(|_| "lost() does not fire without a network")?, next?);
            if *lost.kind() != ErrorKind::LockLost || lock.is_held() {
                return Err(format!("round {round}: {lost:?}, held: {}", lock.is_held()).into());
            }
            told.push(cut.elapsed());
            if next.fencing_token() <= lock.fencing_token() {
                return Err(format!("token {} after {}", next.fencing_token(), lock.fencing_token()).into());
            }
            for key in ["fenced", "unfenced"] {
                new.put(key, "new").fence(&next).await?;
            }
            lines.iter().try_for_each(Proxy::heal)?;
            // The old holder wakes up and believes that the lock is its own.
            settled(|| old.put("unfenced", "old")).await?;
            match settled(|| old.put("fenced", "old").fence(&lock)).await {
                Err(error) if *error.kind() == ErrorKind::LockLost => {}
                other => return Err(format!("the old holder's fenced write answers {other:?}").into()),
            }
            unfenced += usize::from(value_of(&new, "unfenced").await? == "old");
            fenced += usize::from(value_of(&new, "fenced").await? == "old");
            settled(|| lock.release()).await?;
            if !next.is_held() {
                return Err("the old holder's release took the lock from the next one".into());
            }
            next.release().await?;
        }
        let gone = lease(&old, &new, &lines).await?;
        println!(
            "faults {name} F9 F12: {ROUNDS} holders cut off past a TTL of {TTL:?}, {ROUNDS} greater tokens, lost() within \
             {:.1?}, {fenced} updates lost with a fence, {unfenced} without; {gone}",
            told.into_iter().max().unwrap_or_default(),
        );
        if fenced != 0 || unfenced != ROUNDS {
            return Err(format!("{fenced} updates were lost with a fence, {unfenced} of {ROUNDS} without").into());
        }
        Ok(())
    })
}

/// The keep-alives of a lease stop: its key goes, not before its time and not long after.
async fn lease(old: &Handle, new: &Handle, lines: &[Proxy]) -> Result<String, Failed> {
    if !old.capabilities().contains(Capabilities::LEASES) {
        return Ok("no leases".to_owned());
    }
    let mut watch = new.watch_key("leased").await?;
    let lease = old.lease(TTL).await?;
    old.put("leased", "here").lease(&lease).await?;
    // Kept alive past its first end.
    let began = Instant::now();
    let kept = loop {
        let sent = Instant::now();
        let ttl = old.keep_alive(&lease).await?;
        if began.elapsed() > ttl {
            break sent;
        }
        tokio::time::sleep(TTL / 4).await;
    };
    lines.iter().for_each(Proxy::stall);
    let latest = lease.ttl + new.limits().ttl_slack + COMES;
    let gone = async {
        while let Some(event) = watch.next().await.transpose()? {
            if matches!(event, Event::Delete(_) | Event::Expire(_)) {
                return Ok(kept.elapsed());
            }
        }
        Err(Failed::from("the watch of a leased key ended"))
    };
    let gone =
        tokio::time::timeout(latest, gone).await.map_err(|_| format!("the leased key is there after {latest:?}"))??;
    lines.iter().try_for_each(Proxy::heal)?;
    if gone < lease.ttl {
        return Err(format!("the leased key was gone {gone:?} after a keep-alive of {:?}", lease.ttl).into());
    }
    match settled(|| old.keep_alive(&lease)).await {
        Err(error) if *error.kind() == ErrorKind::LeaseNotFound => {}
        other => return Err(format!("the owner of the ended lease is told {other:?}").into()),
    }
    Ok(format!("a leased key gone {gone:.1?} after its last keep-alive of {:?}", lease.ttl))
}
