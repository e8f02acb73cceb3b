use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use clap::Args;
use kvdb::Operation;
use kvdb::prelude::*;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use crate::duration;
use crate::failure::Failure;
use crate::signals::{Signals, signal_code};
use crate::store::Context;

/// Run a command while holding a lock
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb lock nightly -- ./backup.sh
  kvdb lock nightly --wait 5s -- ./backup.sh          give up after 5 seconds: exit code 5
  kvdb lock nightly --wait 0s -- ./backup.sh          only if it is free now
  kvdb lock nightly -- sh -c 'echo token $KVDB_FENCING_TOKEN'

KVDB_FENCING_TOKEN rises with every holder: whatever the command writes to can refuse a smaller one.
If the lock is lost, the command is ended (TERM, after 5 seconds KILL) and kvdb exits with 1; else it exits with the
command's code. Ctrl-C and TERM are passed on to the command; a second one kills it. Then the lock is released.

A file is open in one process at a time: while the command runs, `kvdb lock` on the same file waits, whatever its lock,
and other commands answer that it is already open.")]
pub(crate) struct Lock {
    /// The lock's name
    name: String,
    /// How long to wait for it [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    wait: Option<Duration>,
    /// How long after our sudden death it frees itself [default: 16s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ttl: Option<Duration>,
    /// Who we are, for those who wait [default: a random id]
    #[arg(long)]
    id: Option<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How long a file is waited for unless the command line says otherwise: as long as a lock is.
const WAIT: Duration = Duration::from_secs(300);

/// How long a command may take to end once it was asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

impl Lock {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        let mut signals = Signals::listen()?;
        let asked = Instant::now();
        let kv = tokio::select! {
            opened = self.open(&context) => opened?,
            signal = signals.asked() => return Err(Failure::Exit(signal_code(signal))),
        };
        context
            .with_opened(kv, async |kv, _| {
                let lock = tokio::select! {
                    lock = self.take(kv, asked) => lock?,
                    signal = signals.asked() => return Err(Failure::Exit(signal_code(signal))),
                };
                let ended = match Job::start(&self.command, lock.fencing_token()) {
                    Ok(job) => job.run(&lock, &mut signals).await,
                    Err(failure) => Err(failure),
                };
                // A lock that ran out while the command ended by itself protected nothing.
                let lost =
                    (!lock.is_held()).then(|| Error::new(ErrorKind::LockLost, "it was gone when the command ended"));
                let released = lock.release().await;
                let status = ended?;
                if let Some(error) = lost {
                    return Err(error.with_key(self.name.as_str()).into());
                }
                released?;
                match exit_code(status) {
                    0 => Ok(()),
                    code => Err(Failure::Exit(code)),
                }
            })
            .await
    }

    /// Opens the store. A file that another process has open is waited for as the lock is: mostly that process holds it.
    async fn open(&self, context: &Context) -> Result<Handle, Failure> {
        let wait = self.wait.unwrap_or(WAIT);
        match context.open_within(wait).await {
            Err(Failure::Store(error)) if *error.kind() == ErrorKind::AlreadyOpen => {
                let message = format!("another process has the file open, and did not close it within {wait:?}");
                let error = Error::new(ErrorKind::LockTimeout { holder: None }, message).with_source(error);
                Err(error.with_operation(Operation::Lock).with_key(self.name.as_str()).into())
            }
            opened => opened,
        }
    }

    /// Takes the lock in what is left of the wait.
    async fn take(&self, kv: &Handle, asked: Instant) -> Result<LockGuard, Failure> {
        let mut lock = kv.lock(&self.name);
        if let Some(wait) = self.wait {
            lock = lock.wait(wait.saturating_sub(asked.elapsed()));
        }
        if let Some(ttl) = self.ttl {
            lock = lock.ttl(ttl);
        }
        if let Some(id) = &self.id {
            lock = lock.id(id.as_str());
        }
        Ok(lock.await?)
    }
}

/// The running command.
struct Job {
    child: Child,
    pid: Option<Pid>,
    name: String,
    /// Whether it leads a process group of its own, so that what it started is reached too.
    group: bool,
}

impl Job {
    fn start(command: &[OsString], token: Revision) -> Result<Self, Failure> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::Usage("`kvdb lock` needs a command behind `--`".to_owned()));
        };
        // At a terminal it stays in our group: another one could not read the keyboard.
        let group = !std::io::stdin().is_terminal();
        let mut command = Command::new(program);
        command.args(arguments).env("KVDB_FENCING_TOKEN", token.to_string()).kill_on_drop(true);
        if group {
            command.process_group(0);
        }
        let name = program.to_string_lossy().into_owned();
        match command.spawn() {
            Ok(child) => {
                let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
                Ok(Self { child, pid, name, group })
            }
            Err(error) => Err(Failure::Io(format!("cannot run `{name}`"), error)),
        }
    }

    /// Waits for the end of the command; ends it if the lock is lost or somebody insists.
    async fn run(mut self, lock: &LockGuard, signals: &mut Signals) -> Result<ExitStatus, Failure> {
        let mut asked = false;
        loop {
            tokio::select! {
                status = self.child.wait() => return self.waited(status),
                error = lock.lost() => {
                    self.end().await?;
                    return Err(error.into());
                }
                signal = signals.asked() => {
                    if asked {
                        self.send(Signal::KILL);
                    } else if let Some(signal) = Signal::from_named_raw(signal).filter(|signal| !self.has_had(*signal)) {
                        self.send(signal);
                    }
                    asked = true;
                }
            }
        }
    }

    /// Whether the command got this signal too: a terminal sends Ctrl-C to its whole group, and a second one would
    /// mean more than the first.
    fn has_had(&self, signal: Signal) -> bool {
        !self.group && signal == Signal::INT
    }

    async fn end(&mut self) -> Result<(), Failure> {
        self.send(Signal::TERM);
        let in_time = tokio::time::timeout(GRACE, self.child.wait()).await;
        if in_time.is_err() || self.group {
            // Of a group also for what the command started and left behind.
            self.send(Signal::KILL);
        }
        let status = match in_time {
            Ok(status) => status,
            Err(_) => self.child.wait().await,
        };
        self.waited(status).map(drop)
    }

    fn waited(&self, status: std::io::Result<ExitStatus>) -> Result<ExitStatus, Failure> {
        status.map_err(|error| Failure::Io(format!("cannot wait for `{}`", self.name), error))
    }

    /// Sends a signal; a command that has ended meanwhile needs none.
    fn send(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            let _ = if self.group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
        }
    }
}

/// The command's exit code as a shell has it.
fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(1),
        (None, Some(signal)) => signal_code(signal),
        (None, None) => 1,
    }
}
