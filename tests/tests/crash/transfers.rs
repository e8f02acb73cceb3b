//! F1 for transactions: the process is killed in the middle of transfers between accounts and of shifts that must never
//! be left by everybody. After each reopening the sum is what it was, at the end and at the revisions before it, every
//! transfer that was acknowledged is counted, and somebody is on each shift.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use kvdb::prelude::*;
use kvdb_redb::{RedbBackend, RedbConfig};
use libtest_mimic::Failed;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Runtime;

/// Half of them move money, half of them go on and off their shifts.
const TASKS: usize = 64;
const ACCOUNTS: usize = 12;
const EACH: i64 = 1000;
const KILLS_A_FILE: u64 = 10;
/// Past revisions that are summed up after each kill.
const LOOKS: usize = 12;
const FIRST_ACK: Duration = Duration::from_secs(60);
/// The deadline of a transaction that many fight for.
const LONG: Duration = Duration::from_secs(60);

const FILE: &str = "KVDB_CRASH_TRANSFERS";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn open(path: &Path) -> Result<Handle> {
    let config: RedbConfig = Options::new().set("history_revisions", 0).backend_config()?;
    Handle::open("redb", Arc::new(RedbBackend::open(path, config).await?), "bank", &Options::new())
}

/// What the child does: transactions until it is killed. `None` in the parent.
pub(crate) fn child() -> Option<ExitCode> {
    let file = std::env::var_os(FILE)?;
    let ended = runtime().block_on(async {
        let kv = open(Path::new(&file)).await?;
        begin(&kv).await?;
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let kv = kv.clone();
            tasks.spawn(async move {
                match task % 2 {
                    0 => transfers(&kv, task).await,
                    _ => shifts(&kv, task).await,
                }
            });
        }
        Ok::<_, Error>(tasks.join_next().await)
    });
    // One write a line: a pipe takes it whole or not at all.
    let _ = std::io::stdout().lock().write_all(format!("! the tasks ended by themselves: {ended:?}\n").as_bytes());
    Some(ExitCode::FAILURE)
}

/// Everything that is to be kept, in one transaction, once in the life of a file.
async fn begin(kv: &Handle) -> Result<()> {
    let mut txn = kv.txn().when(absent("account/0"));
    for account in 0..ACCOUNTS {
        txn = txn.then(put(format!("account/{account}"), EACH.to_string()));
    }
    for shift in 0..TASKS / 4 {
        txn = txn.then(put(format!("shift/{shift}/0"), "on")).then(put(format!("shift/{shift}/1"), "on"));
    }
    txn.await.map(drop)
}

/// Moves money to and fro, and counts in the same transaction.
async fn transfers(kv: &Handle, task: usize) -> Result<()> {
    let count = &format!("count/{task}");
    for n in 0usize.. {
        let (from, to) = ((task + n) % ACCOUNTS, (task * 5 + n * 7 + 1) % ACCOUNTS);
        let to = if from == to { (to + 1) % ACCOUNTS } else { to };
        let (from, to) = (&format!("account/{from}"), &format!("account/{to}"));
        let amount = (n % 90) as i64;
        let done = kv.transact_within(LONG, move |tx| async move {
            let source: i64 = tx.get_val(from).await?.unwrap_or_default();
            let target: i64 = tx.get_val(to).await?.unwrap_or_default();
            let counted: u64 = tx.get_val(count).await?.unwrap_or_default();
            if source >= amount {
                tx.put_val(from, &(source - amount))?;
                tx.put_val(to, &(target + amount))?;
            }
            tx.put_val(count, &(counted + 1))?;
            Ok(counted + 1)
        });
        let done = done.await?;
        let _ = std::io::stdout().lock().write_all(format!("{task} {done}\n").as_bytes());
    }
    Ok(())
}

/// Leaves the shift while the other one stays, and comes back.
async fn shifts(kv: &Handle, task: usize) -> Result<()> {
    let (shift, place) = (task / 4, task / 2 % 2);
    let (mine, theirs) = (&format!("shift/{shift}/{place}"), &format!("shift/{shift}/{}", 1 - place));
    loop {
        kv.transact_within(LONG, move |tx| async move {
            let on = |pair: Option<KvPair>| pair.is_some_and(|pair| pair.value == "on");
            let other_stays = on(tx.get(theirs).await?);
            match on(tx.get(mine).await?) {
                true if other_stays => tx.put(mine, "off"),
                true => Ok(()),
                false => tx.put(mine, "on"),
            }
        })
        .await?;
    }
}

/// What a state must be like, whatever was killed before it.
fn judge(pairs: &[KvPair], what: &str, broken: &mut Vec<String>) {
    let below = |prefix: &'static str| pairs.iter().filter(move |pair| pair.key.starts_with(prefix));
    let balances: Vec<i64> = below("account/").map(|pair| pair.json().unwrap_or(i64::MIN)).collect();
    let sum: i64 = balances.iter().fold(0, |sum: i64, balance| sum.saturating_add(*balance));
    if balances.len() != ACCOUNTS || sum != EACH * ACCOUNTS as i64 || balances.iter().any(|balance| *balance < 0) {
        broken.push(format!("{what}: the accounts hold {balances:?}, {sum} in all"));
    }
    for shift in 0..TASKS / 4 {
        let prefix = format!("shift/{shift}/");
        let on = pairs.iter().filter(|pair| pair.key.starts_with(&prefix) && pair.value == "on").count();
        if on == 0 {
            broken.push(format!("{what}: nobody is on shift {shift}"));
        }
    }
}

/// Kills the child over and over and judges each time.
pub(crate) fn rounds(seed: u64) -> Result<(), Failed> {
    let kills: u64 = std::env::var("KVDB_CRASH_ROUNDS").map_or(200, |rounds| rounds.parse().unwrap());
    let rounds = (kills / 5).max(4);
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut acks, mut revisions, mut unheard) = (0, 0, 0);
    let mut broken = Vec::new();
    let mut done = 0;
    while done < rounds {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("bank.redb");
        let mut counted = [0u64; TASKS];
        let mut floor = Revision::ZERO;
        for round in done..(done + KILLS_A_FILE).min(rounds) {
            acks += run_and_kill(&path, Duration::from_millis(rng.random_range(1..=80)), &mut counted)?;
            let asked: Vec<f64> = (0..LOOKS).map(|_| rng.random_range(0.0..1.0)).collect();
            let last = runtime().block_on(async {
                let kv = open(&path).await?;
                let now = kv.list("").listing().await?;
                judge(&now.pairs, &format!("round {round}"), &mut broken);
                for (task, acknowledged) in counted.iter_mut().enumerate().filter(|(task, _)| task % 2 == 0) {
                    let stands: u64 = kv.get_val(&format!("count/{task}")).await?.unwrap_or_default();
                    if stands < *acknowledged || stands > *acknowledged + 1 {
                        broken.push(format!("round {round}: task {task} was told {acknowledged}, {stands} stand"));
                    }
                    unheard += stands.saturating_sub(*acknowledged);
                    *acknowledged = stands;
                }
                // Every state between this kill and the one before.
                let span = now.revision.get().saturating_sub(floor.get());
                for share in asked {
                    let at = now.revision.get() - (span as f64 * share) as u64;
                    let then = match kv.list("").at(at).await {
                        Ok(pairs) if pairs.is_empty() => continue,
                        other => other?,
                    };
                    judge(&then, &format!("round {round} at revision {at} of {}", now.revision), &mut broken);
                }
                kv.close().await?;
                Ok::<_, Error>(now.revision)
            })?;
            revisions += last.get().saturating_sub(floor.get());
            floor = last;
        }
        done += KILLS_A_FILE;
    }
    println!(
        "crash F1 transactions: {rounds} kills, {acks} acknowledged transfers in {revisions} revisions, {unheard} stand \
         that nobody heard of; {} broken promises",
        broken.len()
    );
    crate::kill::report(&broken)?;
    if acks < 5 * rounds as usize {
        return Err(format!("{acks} acknowledgements in {rounds} rounds prove too little").into());
    }
    Ok(())
}

/// Runs the child until some time after its first acknowledgement; notes what it acknowledged.
fn run_and_kill(path: &Path, after: Duration, counted: &mut [u64; TASKS]) -> Result<usize, Failed> {
    let mut child =
        Command::new(std::env::current_exe()?).env(FILE, path).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let pipe = child.stdout.take().ok_or("the child has no pipe")?;
    let (tell, first) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let (mut pipe, mut line, mut lines) = (BufReader::new(pipe), String::new(), Vec::new());
        while pipe.read_line(&mut line).is_ok_and(|read| read > 0) {
            // A line that the kill cut off acknowledges nothing.
            let Some(whole) = line.strip_suffix('\n') else { break };
            lines.push(whole.to_owned());
            let _ = tell.send(());
            line.clear();
        }
        lines
    });
    let acknowledged = first.recv_timeout(FIRST_ACK);
    // The moment of the kill is what is tested: it must fall anywhere in the cycle of commits.
    std::thread::sleep(after);
    child.kill()?;
    child.wait()?;
    let lines = reader.join().map_err(|_| "the reader of the pipe panicked")?;
    if acknowledged.is_err() {
        return Err(format!("no acknowledgement within {FIRST_ACK:?}").into());
    }
    for line in &lines {
        let told = line.split_once(' ').and_then(|(task, count)| Some((task.parse().ok()?, count.parse().ok()?)));
        let Some((task, count)) = told.filter(|(task, _): &(usize, u64)| *task < TASKS) else {
            return Err(format!("no acknowledgement: {line}").into());
        };
        if count != counted[task] + 1 {
            return Err(format!("task {task} was told {count} behind {}", counted[task]).into());
        }
        counted[task] = count;
    }
    Ok(lines.len())
}
