use std::path::PathBuf;

use clap::Args;

use super::export::{Form, write};
use crate::failure::Failure;
use crate::store::Context;

/// Write everything as it is at one revision, as JSON, to stdout or a file
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb snapshot                        to stdout; the document has the revision
  kvdb snapshot backup.json            to a file, which must not exist
  kvdb snapshot --prefix config        the keys below config/ only
  kvdb snapshot | kvdb --store redb:copy.redb import -

The file is the same that `kvdb export FILE` writes; `kvdb import` reads it. It appears whole or not at all, and is for
its owner alone (mode 0600).")]
pub(crate) struct Snapshot {
    /// The file; stdout if left out
    file: Option<PathBuf>,
    /// Only the keys below this directory; may be given several times
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

impl Snapshot {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        let form = self.file.map_or(Form::Stdout, Form::File);
        write(context, &self.prefix, form, self.force).await
    }
}
