use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use kvdb::prelude::*;
use kvdb::recipes::{Condition, wait_for, wait_for_within};
use serde_json::json;

use crate::duration;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::signals::{Signals, signal_code};
use crate::store::Context;

/// Wait until a key is there, is gone, or has a value
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb wait jobs/42/done                            until the key is there
  kvdb wait jobs/42/state --value done --timeout 1m
  kvdb wait leader --absent --timeout 30s
  kvdb wait config/version --above 120              until it is written after revision 120

What holds already is answered at once. Prints the key and its value, with a tab between them; nothing with --absent.
Exit code 5 when the time is over; without --timeout it waits for ever.

A file is open in one process at a time: nobody else changes it while this waits. On files only what holds already, or
comes by a TTL, comes true.")]
pub(crate) struct Wait {
    /// The key
    key: String,
    /// Until the key is there; this is what is waited for unless told otherwise
    #[arg(long, group = "condition")]
    exists: bool,
    /// Until the key is not there
    #[arg(long, group = "condition")]
    absent: bool,
    /// Until the key has exactly this value
    #[arg(long, group = "condition")]
    value: Option<OsString>,
    /// Until the key is written after this revision
    #[arg(long, group = "condition", value_name = "REVISION")]
    above: Option<u64>,
    /// How long to wait
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

impl Wait {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        let mut signals = Signals::listen()?;
        context
            .with_store(async |kv, out| {
                tokio::select! {
                    outcome = self.wait(kv, out) => outcome,
                    signal = signals.asked() => Err(Failure::Exit(signal_code(signal))),
                }
            })
            .await
    }

    async fn wait(&self, kv: &Handle, out: &mut Output) -> Result<(), Failure> {
        let condition = self.condition();
        let met = match self.timeout {
            Some(time) => wait_for_within(kv, &self.key, condition, time).await?,
            None => wait_for(kv, &self.key, condition).await?,
        };
        match met {
            Some(pair) => out.either(|| output::pair_json(&pair), || output::pair_line(&pair)),
            None if out.is_json() => out.line(&json!({ "key": self.key, "absent": true }).to_string()),
            None => Ok(()),
        }
    }

    fn condition(&self) -> Condition {
        use std::os::unix::ffi::OsStrExt as _;
        match (&self.value, self.above) {
            _ if self.absent => Condition::Absent,
            (Some(value), _) => Condition::Value(Bytes::copy_from_slice(value.as_bytes())),
            (None, Some(revision)) => Condition::Above(Revision::new(revision)),
            (None, None) => Condition::Exists,
        }
    }
}
