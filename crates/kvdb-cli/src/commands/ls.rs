use std::fmt::Write as _;

use clap::Args;
use kvdb::prelude::*;
use kvdb::{ListOptions, ListPage};
use serde_json::json;

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::store::Context;

/// List the keys below a directory with their values
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb ls                     every key of the domain, a tab, its value
  kvdb ls config --keys       keys only
  kvdb ls config --long       revision, version, bytes and lease too
  kvdb ls config --json       one document a line

Nothing there is an empty list and no error. Control characters are shown escaped.")]
pub(crate) struct Ls {
    /// The directory; the whole domain if left out
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    /// Keys only
    #[arg(long, conflicts_with = "long")]
    keys: bool,
    /// Revision, version, bytes and lease beside each key
    #[arg(long)]
    long: bool,
    /// At most this many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Ls {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        context
            .with_store(async |kv, out| {
                let mut options = ListOptions::default();
                options.keys_only = self.keys;
                options.limit = self.limit;
                let mut pages = kv.list_opts(Target::Tree(&self.prefix), options).await?;
                if self.long && !out.is_json() {
                    out.line(&format!("{:>9} {:>7} {:>9} {:<16} KEY", "REVISION", "VERSION", "BYTES", "LEASE"))?;
                }
                while let Some(page) = pages.next().await {
                    self.print(&page?, out)?;
                }
                Ok(())
            })
            .await
    }

    fn print(&self, page: &ListPage, out: &mut Output) -> Result<(), Failure> {
        for name in &page.names {
            out.either(|| json!({ "key": name }), || output::inline(name.as_bytes()).into_owned())?;
        }
        for pair in &page.pairs {
            out.either(|| output::pair_json(pair), || if self.long { long(pair) } else { output::pair_line(pair) })?;
        }
        Ok(())
    }
}

fn long(pair: &KvPair) -> String {
    let version = pair.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
    let lease = pair.lease.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let bytes = pair.value.len();
    let mut line = String::new();
    // Writing to a string does not fail.
    let _ = write!(line, "{:>9} {version:>7} {bytes:>9} {lease:<16} ", pair.modified_index);
    line.push_str(&output::inline(pair.key.as_bytes()));
    line
}
