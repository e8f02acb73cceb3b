use clap::Args;
use kvdb::prelude::*;
use kvdb::{Operation, Revision};

use crate::failure::Failure;
use crate::output;
use crate::store::Context;

/// Print the value of a key: its bytes as they are, and nothing else
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb get config/greeting
  kvdb get image > image.png           the bytes as they were put
  kvdb get config/greeting --json      with revisions, version and lease; base64 where it is no text
  kvdb get config/greeting --at 7      as it was at revision 7

Exits with 3 if the key is absent.")]
pub(crate) struct Get {
    /// The key
    key: String,
    /// Read at this past revision
    #[arg(long, value_name = "REVISION")]
    at: Option<u64>,
}

impl Get {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        context
            .with_store(async |kv, out| {
                let get = kv.get(&self.key);
                let get = match self.at {
                    Some(revision) => get.at(Revision::new(revision)),
                    None => get,
                };
                let pair = get.await?.ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, "nothing is stored under it")
                        .with_operation(Operation::Get)
                        .with_key(self.key.as_str())
                        .with_backend(kv.info().backend)
                })?;
                if out.is_json() { out.line(&output::pair_json(&pair).to_string()) } else { out.value(&pair.value) }
            })
            .await
    }
}
