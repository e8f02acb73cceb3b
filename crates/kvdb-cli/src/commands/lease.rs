use std::convert::Infallible;
use std::time::Duration;

use clap::{Args, Subcommand};
use kvdb::CallOptions;
use kvdb::prelude::*;
use serde_json::json;

use crate::duration;
use crate::failure::Failure;
use crate::output;
use crate::store::Context;

/// Grant, keep alive, revoke a lease, or ask about it
#[derive(Debug, Args)]
#[command(after_help = "\
A lease is a time to live that several keys share. It lives by `keepalive` alone: nothing refreshes it by itself.

Examples:
  id=$(kvdb lease grant 30s)
  kvdb put session/42 here --lease $id
  kvdb lease keepalive $id      30 more seconds from now on
  kvdb lease info $id
  kvdb lease revoke $id         deletes its keys

Exits with 3 if the lease is unknown or has run out.")]
pub(crate) struct Lease {
    #[command(subcommand)]
    verb: Verb,
}

/// What to do with a lease.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Grant a lease; prints its id
    Grant {
        /// How long it lives without being kept alive
        #[arg(value_parser = duration::parse)]
        ttl: Duration,
    },
    /// Start a lease's time to live anew, once; prints it
    Keepalive {
        /// The lease
        #[arg(value_parser = lease_id)]
        id: LeaseId,
    },
    /// End a lease and delete its keys
    Revoke {
        /// The lease
        #[arg(value_parser = lease_id)]
        id: LeaseId,
    },
    /// What is left of a lease, and its keys
    Info {
        /// The lease
        #[arg(value_parser = lease_id)]
        id: LeaseId,
    },
}

/// Reads a lease's id; any text is one.
pub(crate) fn lease_id(text: &str) -> Result<LeaseId, Infallible> {
    text.parse()
}

impl Lease {
    pub(crate) async fn run(self, mut context: Context) -> Result<(), Failure> {
        let call = CallOptions::default;
        if let Verb::Grant { ttl } = self.verb {
            // Not closed: closing revokes what the handle was granted, and this lease is to outlive us.
            let lease = context.open().await?.lease(ttl).await?;
            return context.out.either(
                || json!({ "lease": lease.id.to_string(), "ttl_ms": milliseconds(lease.ttl) }),
                || lease.id.to_string(),
            );
        }
        context
            .with_store(async |kv, out| match &self.verb {
                Verb::Grant { .. } => Ok(()),
                Verb::Keepalive { id } => {
                    let ttl = kv.lease_keep_alive(id, call()).await?;
                    out.either(
                        || json!({ "lease": id.to_string(), "ttl_ms": milliseconds(ttl) }),
                        || format!("{id} lives {ttl:?} from now on"),
                    )
                }
                Verb::Revoke { id } => {
                    kv.lease_revoke(id, call()).await?;
                    out.either(|| json!({ "lease": id.to_string(), "revoked": true }), || format!("revoked {id}"))
                }
                Verb::Info { id } => {
                    let info = kv.lease_info(id, call()).await?;
                    out.either(
                        || {
                            json!({
                                "lease": id.to_string(),
                                "granted_ms": milliseconds(info.granted),
                                "remaining_ms": milliseconds(info.remaining),
                                "keys": info.keys,
                            })
                        },
                        || {
                            let head = format!("{id}: {:?} of {:?} left", info.remaining, info.granted);
                            let keys = info.keys.iter().map(|key| format!("\n  {}", output::inline(key.as_bytes())));
                            keys.fold(head, |text, key| text + &key)
                        },
                    )
                }
            })
            .await
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
