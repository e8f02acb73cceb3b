//! The holder's process is killed, over and over.

use std::time::{Duration, Instant};

use kvdb::prelude::*;
use libtest_mimic::Failed;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::child::{Process, Work};
use crate::runtime;
use crate::servers::Start;

/// Locks whose holders are killed at the same time, for most of it is waiting.
const LOCKS: usize = 10;
/// Of each of them, one after the other.
const KILLS: usize = 5;
const TTL: Duration = Duration::from_secs(1);
/// What a machine with much else to do may take besides what contract 8.2 promises.
const MARGIN: Duration = Duration::from_secs(10);

/// One kill.
enum Killed {
    /// The next one held the lock so long after.
    Passed(Duration),
    /// The machine was so busy that the holder had lost the lock before: proves nothing about the kill.
    LostBefore,
}

/// Kills holders while another one waits, and measures how long that waits on.
pub(crate) fn rounds(name: &'static str, start: Start, seed: u64) -> Result<(), Failed> {
    let servers = start()?;
    runtime().block_on(async {
        let kv = kvdb::connect(&servers.uri).await?;
        let promised = TTL + kv.limits().ttl_slack;
        let mut locks = JoinSet::new();
        for n in 0..LOCKS {
            let (kv, uri) = (kv.clone(), servers.uri.clone());
            let mut rng = StdRng::seed_from_u64(seed.wrapping_add(n as u64));
            locks.spawn(async move {
                let mut passed = Vec::new();
                // A machine that starves every holder is no place to measure.
                for _ in 0..3 * KILLS {
                    let moment = Duration::from_millis(rng.random_range(0..=500));
                    match one(&kv, &uri, &format!("job{n}"), moment, promised + MARGIN).await? {
                        Killed::Passed(took) => passed.push(took),
                        Killed::LostBefore => {}
                    }
                    if passed.len() == KILLS {
                        break;
                    }
                }
                Ok::<_, Failed>(passed)
            });
        }
        let mut took = Vec::new();
        while let Some(passed) = locks.join_next().await {
            took.extend(passed??);
        }
        kv.close().await?;
        took.sort_unstable();
        let [Some(first), Some(middle), Some(last)] =
            [took.first(), took.get(took.len() / 2), took.last()].map(Option::<&Duration>::copied)
        else {
            return Err("no holder was killed while it held".into());
        };
        println!(
            "locks {name}: {} holders killed under a TTL of {TTL:?}, the next one held it after {first:.2?} min, \
             {middle:.2?} median, {last:.2?} max; promised within {promised:?}, {MARGIN:?} more for a busy machine",
            took.len(),
        );
        if took.len() < LOCKS * KILLS {
            return Err(format!("{} of {} kills hit a holder", took.len(), LOCKS * KILLS).into());
        }
        Ok(())
    })
}

async fn one(kv: &Handle, uri: &str, name: &str, moment: Duration, within: Duration) -> Result<Killed, Failed> {
    let work = Work::Hold(name.to_owned(), TTL);
    let uri = uri.to_owned();
    let (token, mut holder) = tokio::task::spawn_blocking(move || {
        let mut holder = Process::start(&uri, &work)?;
        Ok::<_, Failed>((holder.line()?.parse::<u64>()?, holder))
    })
    .await??;
    let next = async {
        // Its own TTL is a longer one: a busy machine must not cost it its place.
        let lock = kv.lock(name).id("parent").wait(within).await?;
        Ok::<_, Failed>((lock, Instant::now()))
    };
    let kill = async {
        // The moment of the kill is what is tested: it must fall anywhere between two keep-alives.
        tokio::time::sleep(moment).await;
        tokio::task::spawn_blocking(move || {
            let at = Instant::now();
            holder.kill().map(|()| at)
        })
        .await?
    };
    let ((lock, held), killed) = tokio::try_join!(next, kill)?;
    if lock.fencing_token().get() <= token {
        return Err(format!("token {} after the killed holder's {token}", lock.fencing_token()).into());
    }
    lock.release().await?;
    Ok(held.checked_duration_since(killed).map_or(Killed::LostBefore, Killed::Passed))
}
