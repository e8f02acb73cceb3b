use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kvdb::prelude::*;

use crate::commands::lease::lease_id;
use crate::failure::Failure;
use crate::store::Context;
use crate::{duration, output};

/// Write a key; the value is an argument, a file, or stdin
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb put config/greeting hello
  kvdb put image --file image.png               any bytes, up to the store's limit
  date | kvdb put now -                         the value from stdin
  kvdb put session/42 here --ttl 30s            gone after 30 seconds
  kvdb put job/owner me --create                only if it is absent
  kvdb put counter 8 --if-value 7               only if it is still 7
  kvdb put counter 8 --if-revision 12           only if nothing was written to it since revision 12

Exits with 4 if a condition failed, with 3 if the key had to be present and is absent.")]
pub(crate) struct Put {
    /// The key
    key: String,
    /// The value; `-` reads it from stdin; behind `--` it may begin with a dash
    #[arg(required_unless_present = "file", conflicts_with = "file", allow_negative_numbers = true)]
    value: Option<String>,
    /// Read the value from this file; `-` is stdin
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Delete the key after this long
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "lease")]
    ttl: Option<Duration>,
    /// Attach the key to this lease (see `kvdb lease`)
    #[arg(long, value_name = "ID", value_parser = lease_id)]
    lease: Option<LeaseId>,
    /// The key must be absent
    #[arg(long, conflicts_with_all = ["update", "if_revision", "if_value"])]
    create: bool,
    /// The key must be present
    #[arg(long)]
    update: bool,
    /// The key's last write must be this revision
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
    /// The key must have exactly this value
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    if_value: Option<String>,
}

impl Put {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        // Read before the store is opened: a file store is not held while somebody types.
        let value = self.read_value()?;
        context
            .with_store(async |kv, out| {
                let pair = self.conditioned(kv.put(&self.key, value)).await?;
                out.either(
                    || output::pair_json(&pair),
                    || {
                        let verb = if pair.action == KvAction::Create { "created" } else { "set" };
                        format!("{verb} {} at revision {}", output::inline(pair.key.as_bytes()), pair.modified_index)
                    },
                )
            })
            .await
    }

    fn conditioned<'a>(&self, mut put: kvdb::builders::Put<'a, Handle>) -> kvdb::builders::Put<'a, Handle> {
        if self.create {
            put = put.if_absent();
        }
        if self.update {
            put = put.if_present();
        }
        if let Some(revision) = self.if_revision {
            put = put.if_revision(revision);
        }
        if let Some(value) = &self.if_value {
            put = put.if_value(value);
        }
        if let Some(ttl) = self.ttl {
            put = put.ttl(ttl);
        }
        if let Some(lease) = &self.lease {
            put = put.lease(lease);
        }
        put
    }

    fn read_value(&self) -> Result<Bytes, Failure> {
        match (&self.file, self.value.as_deref()) {
            (Some(path), _) if path.as_os_str() != "-" => match std::fs::read(path) {
                Ok(value) => Ok(value.into()),
                Err(error) => Err(Failure::Io(format!("cannot read {}", path.display()), error)),
            },
            (Some(_), _) | (None, None | Some("-")) => {
                let mut value = Vec::new();
                match std::io::stdin().lock().read_to_end(&mut value) {
                    Ok(_) => Ok(value.into()),
                    Err(error) => Err(Failure::Io("cannot read stdin".to_owned(), error)),
                }
            }
            (None, Some(value)) => Ok(Bytes::copy_from_slice(value.as_bytes())),
        }
    }
}
