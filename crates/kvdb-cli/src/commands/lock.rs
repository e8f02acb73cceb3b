use std::ffi::OsString;
use std::time::{Duration, Instant};

use clap::Args;
use kvdb::Operation;
use kvdb::prelude::*;

use crate::duration;
use crate::failure::Failure;
use crate::job::{Job, as_ours};
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
                let token = lock.fencing_token().to_string();
                let ended = match Job::start(&self.command, &[("KVDB_FENCING_TOKEN", &token)]) {
                    Ok(job) => job.run(async { lock.lost().await.into() }, &mut signals).await,
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
                as_ours(status)
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
