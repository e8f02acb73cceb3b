use clap::Args;
use kvdb::prelude::*;
use serde_json::json;

use crate::failure::Failure;
use crate::output;
use crate::store::Context;

/// Delete a key, a directory, or everything
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb del config/greeting
  kvdb del --tree config        every key below config/, not `config` itself
  kvdb del --all                every key of the domain

Exits with 3 if the key is absent; an empty directory is no error.")]
pub(crate) struct Del {
    /// The key, or with --tree the directory
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    key: Option<String>,
    /// Delete every key below the directory
    #[arg(long)]
    tree: bool,
    /// Delete every key of the domain
    #[arg(long)]
    all: bool,
}

impl Del {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        let key = self.key.as_deref().unwrap_or_default();
        if self.tree && !self.all && key.trim_matches('/').is_empty() {
            return Err(Failure::Usage("the whole domain is deleted by `kvdb del --all` only".to_owned()));
        }
        context
            .with_store(async |kv, out| {
                if self.tree || self.all {
                    let removed = kv.delete_tree(key).await?;
                    let keys = if removed == 1 { "key" } else { "keys" };
                    return out.either(|| json!({ "removed": removed }), || format!("deleted {removed} {keys}"));
                }
                let pair = kv.delete(key).await?;
                out.either(
                    || output::pair_json(&pair),
                    || format!("deleted {} at revision {}", output::inline(pair.key.as_bytes()), pair.modified_index),
                )
            })
            .await
    }
}
