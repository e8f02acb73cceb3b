//! A real process that mirrors from etcd into a file and is killed, again and again.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use kvdb::prelude::*;
use kvdb_servers::{Etcd, EtcdSetup};
use kvdb_testsuite::{Failure, Proof, ensure, ensure_eq};
use serde_json::Value;

use super::content;

/// Has the arguments of the command when a process of these tests is to be it; a line for each.
const ARGUMENTS: &str = "KVDB_TEST_COMMAND";

const KEYS: usize = 10_000;
/// Kills at most, far more than it takes.
const KILLS: usize = 60;

/// What a child does: it is the command. `None` in the parent.
#[must_use]
pub fn child() -> Option<ExitCode> {
    let arguments = std::env::var(ARGUMENTS).ok()?;
    Some(kvdb_cli::run(std::iter::once("kvdb").chain(arguments.lines()).map(OsString::from)))
}

fn start(arguments: &[&str]) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ARGUMENTS, arguments.join("\n")).env_remove("KVDB_URL");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// The documents that a mirror tells, until it is killed after `moment` or ends.
fn run(from: &str, to: &str, moment: Option<Duration>) -> Proof<Vec<Value>> {
    // What is killed leaves its lock for a moment only. A short one may be lost on a busy machine, after which what was
    // read and not yet written is read again.
    let ttl = if moment.is_some() { "500ms" } else { "30s" };
    let mut child = start(&["mirror", from, to, "--once", "--json", "--ttl", ttl])?;
    let stdout = child.stdout.take().ok_or_else(|| Failure::new("the child has no stdout"))?;
    let mut lines = BufReader::new(stdout).lines();
    let mut told: Vec<Value> = Vec::new();
    while told.last().is_none_or(|last| last["stage"] == "waiting") {
        match lines.next() {
            Some(line) => told.push(serde_json::from_str(&line?)?),
            None => break,
        }
    }
    if let Some(moment) = moment {
        std::thread::sleep(moment);
        child.kill()?;
    }
    for line in lines {
        told.push(serde_json::from_str(&line?)?);
    }
    let status = child.wait()?;
    ensure!(status.code().is_none_or(|code| code == 0), "the child ended with {status} after {told:?}");
    Ok(told)
}

pub(super) async fn rounds() -> Proof {
    tokio::task::spawn_blocking(kills).await?
}

fn kills() -> Proof {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let etcd = Etcd::start(EtcdSetup::default())?;
    let from = format!("{}/app", etcd.uri()?.trim_end_matches('/'));
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("copy.redb");
    let to = format!("redb:{}", file.display());
    let source = runtime.block_on(async {
        let kv = kvdb::connect(&from).await?;
        let pairs: Vec<KvPair> = (0..KEYS).map(|n| KvPair::new(format!("k{n:05}"), format!("value {n}"))).collect();
        kv.import(&pairs).await?;
        Ok::<_, Failure>(kv)
    })?;
    let copied = || {
        runtime.block_on(async {
            let kv = kvdb::connect(&to).await?;
            let count = kv.count("").await?;
            kv.close().await?;
            Ok::<_, Failure>(usize::try_from(count)?)
        })
    };
    let (mut there, mut resumed) = (0, 0);
    for kill in 1.. {
        ensure!(kill < KILLS, "after {KILLS} kills {there} keys are there");
        if there == KEYS {
            // The last kill came too late: once more from the beginning.
            std::fs::remove_file(&file)?;
            there = 0;
        }
        // First so soon that not all can be there.
        let moment = Duration::from_millis(rand::random_range(0..50 + 5 * kill as u64));
        let told = run(&from, &to, Some(moment))?;
        let now = copied()?;
        eprintln!("kill {kill}: {now} of {KEYS} keys are there");
        ensure!(now >= there, "{now} keys after {there}: something was lost");
        if there > 0 {
            let reason = told.iter().find_map(|told| told["reason"].as_str()).unwrap_or_default();
            ensure!(reason.contains("goes on where it was cut short"), "{told:?}");
            resumed += 1;
        }
        there = now;
        if resumed >= 3 && there > 0 && there < KEYS {
            break;
        }
    }
    // Something changes while nobody mirrors.
    let rest = KEYS - there;
    runtime.block_on(async {
        source.put("k00001", "changed").await?;
        source.delete("k09999").await
    })?;
    let told = run(&from, &to, None)?;
    let read = told.last().and_then(|last| last["read"].as_u64()).map(usize::try_from);
    let read = read.ok_or_else(|| Failure::new("it told nothing"))??;
    eprintln!("{resumed} copies went on; the last run read {read} of {KEYS} keys");
    // The two that changed are told by name.
    ensure!(read >= rest && read <= rest + 2, "{read} keys were read with {there} there");
    let read_again = run(&from, &to, None)?;
    ensure_eq!(read_again.last().map(|last| last["read"].clone()), Some(Value::from(0)));
    runtime.block_on(async {
        let copy = kvdb::connect(&to).await?;
        ensure_eq!(content(&copy).await?, content(&source).await?);
        copy.close().await?;
        Ok(())
    })
}
