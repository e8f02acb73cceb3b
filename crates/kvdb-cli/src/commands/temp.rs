use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use kvdb::prelude::*;
use kvdb::recipes::{PersistentLease, PersistentLeaseOptions};

use crate::duration;
use crate::failure::Failure;
use crate::job::{Job, as_ours};
use crate::signals::{Signals, signal_code};
use crate::store::Context;

/// Run a command while a key is there
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb temp workers/$HOSTNAME -- ./worker
  kvdb temp workers/$HOSTNAME --value 10.0.0.7:80 --ttl 5s -- ./worker

The key is there before the command starts and gone when kvdb has ended. Whoever deletes or overwrites it, it is put
again; after a sudden death it goes within its TTL. kvdb exits with the command's code. Ctrl-C and TERM are passed on to
the command; a second one kills it.

A file is open in one process at a time: while the command runs, others answer that it is already open.")]
pub(crate) struct Temp {
    /// The key
    key: String,
    /// Its value
    #[arg(long, default_value = "1")]
    value: OsString,
    /// How long after our sudden death it goes
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "10s")]
    ttl: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Temp {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        use std::os::unix::ffi::OsStringExt as _;
        let mut signals = Signals::listen()?;
        let value = Bytes::from(self.value.into_vec());
        context
            .with_store(async |kv, _| {
                let options = PersistentLeaseOptions::default().ttl(self.ttl);
                let lease = PersistentLease::new(kv, &self.key, value, options).await?;
                tokio::select! {
                    ready = lease.ready() => drop(ready?),
                    signal = signals.asked() => return Err(Failure::Exit(signal_code(signal))),
                }
                let ended = match Job::start(&self.command, &[("KVDB_KEY", lease.key())]) {
                    // A key that is lost is put again: the command goes on.
                    Ok(job) => job.run(std::future::pending(), &mut signals).await,
                    Err(failure) => Err(failure),
                };
                let closed = lease.close().await;
                let status = ended?;
                closed?;
                as_ours(status)
            })
            .await
    }
}
