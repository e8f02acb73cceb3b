//! A second process: this binary once more, which takes locks until it is done or killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use kvdb::prelude::*;
use libtest_mimic::Failed;

use crate::{runtime, turns};

/// How long anything here may take that must come.
pub(crate) const COMES: Duration = Duration::from_secs(60);

const URI: &str = "KVDB_LOCKS_URI";
const WORK: &str = "KVDB_LOCKS_WORK";

/// What a child does.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Takes its turns, so many of them.
    Turns(usize),
    /// Takes the lock of this name and holds it.
    Hold(String, Duration),
}

/// What the child does; `None` in the parent.
pub(crate) fn run() -> Option<ExitCode> {
    let uri = std::env::var(URI).ok()?;
    let work = std::env::var(WORK).ok()?;
    // It ends with its parent, however that ends.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
    let ended = runtime().block_on(async {
        let kv = kvdb::connect(&uri).await?;
        match work.split_once(' ') {
            Some((ttl, name)) => hold(&kv, name, Duration::from_millis(ttl.parse()?)).await,
            None => take_turns(&kv, work.parse()?).await,
        }
    });
    match ended {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(failed) => {
            say(&format!("failed: {}", failed.message().unwrap_or_default().replace('\n', " ")));
            Some(ExitCode::FAILURE)
        }
    }
}

fn say(line: &str) {
    // One write a line: a pipe takes it whole or not at all.
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

async fn take_turns(kv: &Handle, rounds: usize) -> Result<(), Failed> {
    say("ready");
    let passed = turns::take(kv, "child", rounds).await?;
    say(&passed.to_string());
    kv.close().await?;
    Ok(())
}

async fn hold(kv: &Handle, name: &str, ttl: Duration) -> Result<(), Failed> {
    let lock = loop {
        match kv.lock(name).id("child").ttl(ttl).wait(COMES).await {
            // The machine was too busy to keep so short a lease alive.
            Err(error) if *error.kind() == ErrorKind::LockLost => {}
            taken => break taken?,
        }
    };
    say(&lock.fencing_token().to_string());
    let lost = lock.lost().await;
    Err(lost.into())
}

/// A child; dropping it kills it.
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Starts one.
    pub(crate) fn start(uri: &str, work: &Work) -> Result<Self, Failed> {
        let work = match work {
            Work::Turns(rounds) => rounds.to_string(),
            Work::Hold(name, ttl) => format!("{} {name}", ttl.as_millis()),
        };
        let mut child = Command::new(std::env::current_exe()?)
            .env(URI, uri)
            .env(WORK, work)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("the child has no pipe")?);
        Ok(Self { child, lines })
    }

    /// What it says next.
    pub(crate) fn line(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        match line.strip_suffix('\n') {
            Some(said) if !said.starts_with("failed: ") => Ok(said.to_owned()),
            _ => Err(format!("the child says {line:?}").into()),
        }
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<(), Failed> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
