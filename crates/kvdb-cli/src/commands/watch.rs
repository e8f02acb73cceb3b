use std::process::Stdio;

use clap::Args;
use kvdb::prelude::*;
use kvdb::{WatchOptions, WatchStart};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::run::tell;
use crate::signals::Signals;
use crate::store::Context;

/// Print every change of a key or a directory, until Ctrl-C
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb watch config/greeting
  kvdb watch --tree config --current            the present state, `synced`, then every change
  kvdb watch --tree config --after 12           every change since revision 12
  kvdb watch --tree --exec 'echo $KVDB_ACTION $KVDB_KEY at $KVDB_REVISION'

A line has the event (put, delete, expire), the key, the revision and the value, with tabs between. Lines without a
key: synced, the present state is told; progress, everything up to the revision is told; resynced, some changes may be
left out, but the last state of every key is told.
--exec runs the command by `sh -c` for one event after the other, with KVDB_KEY, KVDB_ACTION, KVDB_REVISION and
KVDB_VALUE; the value is on its stdin too, which takes any bytes and any length.

A file is open in one process at a time: while a watch runs on one, other commands answer that it is already open, also
those that --exec runs.")]
pub(crate) struct Watch {
    /// The key, or with --tree the directory (the whole domain if left out)
    #[arg(required_unless_present = "tree")]
    key: Option<String>,
    /// Watch every key below the directory
    #[arg(long)]
    tree: bool,
    /// Begin with the first change after this revision
    #[arg(long, value_name = "REVISION", conflicts_with = "current")]
    after: Option<u64>,
    /// Begin with the present state
    #[arg(long)]
    current: bool,
    /// Run this command for every event
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
}

/// The longest value that is passed in the environment: Linux takes 128 KiB for one variable, its name included.
const VARIABLE_BYTES: usize = 100 << 10;

impl Watch {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        let mut signals = Signals::listen()?;
        context
            .with_store(async |kv, out| {
                let work = self.follow(kv, out);
                tokio::select! {
                    outcome = work => outcome,
                    _ = signals.asked() => Ok(()),
                }
            })
            .await
    }

    async fn follow(&self, kv: &Handle, out: &mut Output) -> Result<(), Failure> {
        let key = self.key.as_deref().unwrap_or_default();
        let target = if self.tree { Target::Tree(key) } else { Target::Key(key) };
        let mut options = WatchOptions::default();
        options.start = match self.after {
            _ if self.current => WatchStart::Current,
            Some(revision) => WatchStart::After(Revision::new(revision)),
            None => WatchStart::Now,
        };
        let mut changes = kv.watch_opts(target, options).await?;
        while let Some(event) = changes.next().await {
            let event = event?;
            out.either(|| event_json(&event), || event_line(&event))?;
            if let (Some(command), Some(pair)) = (&self.exec, event.pair()) {
                execute(command, name(&event), pair).await?;
            }
        }
        Ok(())
    }
}

/// What an event is called.
fn name(event: &Event) -> &'static str {
    match event {
        Event::Put(_) => "put",
        Event::Delete(_) => "delete",
        Event::Expire(_) => "expire",
        Event::Progress(_) => "progress",
        Event::Synced(_) => "synced",
        Event::Resynced { .. } => "resynced",
        _ => "other",
    }
}

fn event_json(event: &Event) -> Value {
    let mut told = match event {
        Event::Progress(revision) | Event::Synced(revision) => json!({ "revision": revision }),
        Event::Resynced { revision, complete } => json!({ "revision": revision, "complete": complete }),
        _ => event.pair().map_or_else(|| json!({}), output::pair_json),
    };
    if let Some(object) = told.as_object_mut() {
        object.insert("event".to_owned(), json!(name(event)));
    }
    told
}

fn event_line(event: &Event) -> String {
    let name = name(event);
    match event {
        Event::Put(pair) => {
            let (key, value) = (output::inline(pair.key.as_bytes()), output::inline(&pair.value));
            format!("{name}\t{key}\t{}\t{value}", pair.modified_index)
        }
        Event::Delete(pair) | Event::Expire(pair) => {
            format!("{name}\t{}\t{}", output::inline(pair.key.as_bytes()), pair.modified_index)
        }
        Event::Progress(revision) | Event::Synced(revision) => format!("{name}\t\t{revision}"),
        Event::Resynced { revision, .. } => format!("{name}\t\t{revision}"),
        _ => name.to_owned(),
    }
}

/// Runs the command for an event and waits for it; its failure is told and does not end the watch.
async fn execute(command: &str, action: &str, pair: &KvPair) -> Result<(), Failure> {
    let failed = |error| Failure::Io(format!("cannot run `{command}`"), error);
    let mut shell = tokio::process::Command::new("sh");
    shell.arg("-c").arg(command).stdin(Stdio::piped()).kill_on_drop(true);
    shell.env("KVDB_KEY", &pair.key).env("KVDB_ACTION", action);
    shell.env("KVDB_REVISION", pair.modified_index.to_string()).env_remove("KVDB_VALUE");
    if pair.value.len() <= VARIABLE_BYTES && !pair.value.contains(&0) {
        use std::os::unix::ffi::OsStrExt as _;
        shell.env("KVDB_VALUE", std::ffi::OsStr::from_bytes(&pair.value));
    }
    let mut child = shell.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its stdin to the end is no failure.
        let _ = stdin.write_all(&pair.value).await;
    }
    let status = child.wait().await.map_err(failed)?;
    if !status.success() {
        tell(&format!("kvdb: `{command}` for {} ended with {status}", output::inline(pair.key.as_bytes())));
    }
    Ok(())
}
