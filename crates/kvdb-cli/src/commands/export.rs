use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::Args;
use kvdb::prelude::*;
use serde_json::json;

use crate::failure::Failure;
use crate::files::{write_dump, write_tree};
use crate::output::Output;
use crate::progress;
use crate::signals::{Signals, signal_code};
use crate::store::Context;

/// Write the keys into a JSON file or a directory, as they are at one revision
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb export backup.json                    a JSON document; `kvdb import backup.json` reads it
  kvdb export -                              the same to stdout
  kvdb export tree/                          a directory: one file per key, its bytes as they are
  kvdb export tree/ --prefix config          the keys below config/ only, as tree/config/..

In a directory, the value of a key that has other keys below it is the file `.value` in the key's directory. A key that
cannot be a file, because its name is too long or one key's `.value` is in another's way, is an error that names it.
Nothing that exists is written over without --force, nothing else in the directory is touched. Files appear together at
the end, each whole and on disk, or not at all; they are for their owner alone (mode 0600).")]
pub(crate) struct Export {
    /// The file, `-` for stdout, or the directory: one that exists, or with a slash at its end
    path: PathBuf,
    /// Only the keys below this directory of the store; may be given several times
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,
    /// PATH is a directory
    #[arg(long)]
    dir: bool,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

impl Export {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        let tree = self.dir || self.path.is_dir() || self.path.as_os_str().as_bytes().ends_with(b"/");
        let form = match self.path.to_str() {
            _ if tree => Form::Tree(self.path),
            Some("-") => Form::Stdout,
            _ => Form::File(self.path),
        };
        write(context, &self.prefix, form, self.force).await
    }
}

/// Where the keys go to.
#[derive(Debug)]
pub(super) enum Form {
    Stdout,
    File(PathBuf),
    Tree(PathBuf),
}

/// Writes a snapshot; being asked to end, it leaves nothing half done.
pub(super) async fn write(context: Context, prefixes: &[String], form: Form, force: bool) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    context
        .with_store(async |kv, out| {
            tokio::select! {
                outcome = write_to(kv, &prefixes, &form, force, out) => outcome,
                signal = signals.asked() => Err(Failure::Exit(signal_code(signal))),
            }
        })
        .await
}

async fn write_to(kv: &Handle, prefixes: &[&str], form: &Form, force: bool, out: &mut Output) -> Result<(), Failure> {
    let snapshot = kv.snapshot(prefixes).await?;
    let (path, (keys, bytes)) = match form {
        Form::Stdout => {
            let dump = snapshot.serialize().await?;
            return out.value(&dump);
        }
        Form::File(path) => (path, write_dump(&snapshot, path, force).await?),
        Form::Tree(path) => {
            let progress = progress::bar(None, "keys");
            let written = write_tree(&snapshot, path, force, &progress).await;
            progress.finish_and_clear();
            (path, written?)
        }
    };
    let revision = snapshot.revision();
    let noun = if keys == 1 { "key" } else { "keys" };
    out.either(
        || json!({ "keys": keys, "bytes": bytes, "revision": revision, "path": path.to_string_lossy() }),
        || format!("wrote {keys} {noun} at revision {revision} to {}", path.display()),
    )
}
