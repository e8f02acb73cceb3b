//! Two processes take the same lock in turns.

use std::time::Instant;

use kvdb::prelude::*;
use libtest_mimic::Failed;

use crate::child::{COMES, Process, Work};
use crate::runtime;
use crate::servers::Start;

/// Turns of both together.
const ROUNDS: usize = 1000;
const LOCK: &str = "turn";
/// Written by each holder: how many there were, the token, and who.
const STATE: &str = "state";

/// Runs one of two in this process and the other in a child.
pub(crate) fn passed_on(name: &'static str, start: Start, _seed: u64) -> Result<(), Failed> {
    let servers = start()?;
    let began = Instant::now();
    let (passed, turns) = runtime().block_on(async {
        let kv = kvdb::connect(&servers.uri).await?;
        let mut child = Process::start(&servers.uri, &Work::Turns(ROUNDS / 2))?;
        let (ready, mut child) = said(move || (child.line(), child)).await?;
        ready?;
        let mine = take(&kv, "parent", ROUNDS / 2).await?;
        let theirs: usize = said(move || child.line()).await??.parse()?;
        let (turns, ..) = state(&kv).await?;
        kv.close().await?;
        Ok::<_, Failed>((mine + theirs, turns))
    })?;
    println!(
        "locks {name}: {turns} turns of two processes, {passed} passed on to the other, tokens rose each time, 0 at \
         once, every fence of a turn before was refused; {:.1} s",
        began.elapsed().as_secs_f64(),
    );
    // Each turn reads, adds one and writes, which no two can do at once unnoticed.
    if turns != ROUNDS {
        return Err(format!("{ROUNDS} turns left {turns}").into());
    }
    if passed < ROUNDS / 2 {
        return Err(format!("the lock was passed on {passed} times only: the two hardly met").into());
    }
    Ok(())
}

async fn said<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Result<T, Failed> {
    Ok(tokio::task::spawn_blocking(call).await?)
}

async fn state(kv: &Handle) -> Result<(usize, u64, String), Failed> {
    let Some(pair) = kv.get(STATE).await? else { return Ok((0, 0, String::new())) };
    let text = pair.text().unwrap_or_default();
    match text.split(' ').collect::<Vec<_>>()[..] {
        [turns, token, who] => Ok((turns.parse()?, token.parse()?, who.to_owned())),
        _ => Err(format!("the state is {text:?}").into()),
    }
}

/// Takes so many turns; answers how often the other one held the lock before.
pub(crate) async fn take(kv: &Handle, who: &str, rounds: usize) -> Result<usize, Failed> {
    let (mut passed, mut stale): (usize, Option<Fence>) = (0, None);
    for round in 0..rounds {
        let lock = kv.lock(LOCK).id(who).wait(COMES).await?;
        let token = lock.fencing_token().get();
        let (turns, before, last) = state(kv).await?;
        if before >= token {
            return Err(format!("{who}, round {round}: token {token} after {last}'s {before}").into());
        }
        if let Some(stale) = stale {
            match kv.put(STATE, "of a turn that is over").fenced_by(stale).await {
                Err(error) if *error.kind() == ErrorKind::LockLost => {}
                other => return Err(format!("{who}, round {round}: a stale fence is answered {other:?}").into()),
            }
        }
        passed += usize::from(!last.is_empty() && last != who);
        kv.put(STATE, format!("{} {token} {who}", turns + 1)).fence(&lock).await?;
        stale = Some(lock.fence());
        lock.release().await?;
    }
    Ok(passed)
}
