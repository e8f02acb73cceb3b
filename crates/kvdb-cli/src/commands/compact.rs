use clap::Args;
use kvdb::ListOptions;
use kvdb::prelude::*;
use serde_json::json;

use crate::failure::Failure;
use crate::store::Context;

/// Drop the history before a revision
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb compact          keep the present state only
  kvdb compact 1200     keep what was there at revision 1200 and everything since

Past revisions below can no longer be read or watched from; keys and values stay. Doing it twice is no error.")]
pub(crate) struct Compact {
    /// The oldest revision to keep; the present one if left out
    #[arg(value_parser = revision)]
    revision: Option<u64>,
}

fn revision(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write the number of a revision, as `kvdb ls --long` shows it".to_owned())
}

impl Compact {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        context
            .with_store(async |kv, out| {
                let revision = match self.revision {
                    Some(revision) => Revision::new(revision),
                    None => present(kv).await?,
                };
                kv.compact(revision).await?;
                out.either(
                    || json!({ "compacted": true, "revision": revision }),
                    || format!("compacted to revision {revision}"),
                )
            })
            .await
    }
}

/// The store's present revision, as a listing of no key tells it.
async fn present(kv: &Handle) -> Result<Revision, Failure> {
    let mut options = ListOptions::default();
    options.keys_only = true;
    options.limit = Some(1);
    Ok(kv.list_opts(Target::Tree(""), options).await?.collect().await?.revision)
}
