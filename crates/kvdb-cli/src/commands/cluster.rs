mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use kvdb::prelude::*;
use kvdb::{AdminReply, AdminRequest, CallOptions, MemberInfo};
use serde_json::json;

use crate::duration;
use crate::failure::Failure;
use crate::output::Output;
use crate::store::Context;
pub(crate) use table::{member_json, of_health, of_members};

/// Show, add, promote, move and remove the members of a cluster
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb cluster members
  kvdb cluster learner m4 10.0.0.4:2380    add a member that does not vote yet; prints how to start it
  kvdb cluster promote 8e9e05c52164694d    let it vote once it is in sync
  kvdb cluster update m4 10.0.0.5:2380     its peers reach it elsewhere now
  kvdb cluster remove m4 10.0.0.5          by name and host; twice is no error
  kvdb cluster remove --id 8e9e05c52164694d
  kvdb cluster defragment http://10.0.0.1:2379 --timeout 2m

Stores without members, such as a file, answer `not supported`. Where there are users only root may do this.
`kvdb status` tells how each member is doing.")]
pub(crate) struct Cluster {
    #[command(subcommand)]
    verb: Verb,
}

/// What to do with the members.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List the members: id, name, addresses, and whether each has started, votes and leads
    Members,
    /// Add a voting member that is about to start; prints the peer URLs of all, as its start wants them
    Add(Place),
    /// Add a member that does not vote until it is promoted; prints the peer URLs of all
    Learner(Place),
    /// Let a learner vote; waits until it is in sync, as long as a call may take
    Promote {
        /// The learner, as `kvdb cluster members` shows it
        #[arg(value_parser = id)]
        id: u64,
    },
    /// Remove a member; one that is not there is no error
    Remove {
        /// Its name
        #[arg(required_unless_present = "id", requires = "host")]
        name: Option<String>,
        /// The host, or host:port, on which its peers reach it: finds one that has not started yet and has no name
        #[arg(conflicts_with = "id")]
        host: Option<String>,
        /// By its id instead, as `kvdb cluster members` shows it
        #[arg(long, conflicts_with = "name", value_parser = id)]
        id: Option<u64>,
    },
    /// Change where a member is reached by its peers; prints the peer URLs of all
    Update(Place),
    /// Give back the room that deleted keys left in one member's file; it serves nobody meanwhile
    Defragment {
        /// The member's client URL, as `kvdb cluster members` shows it
        endpoint: String,
        /// How long it may take
        #[arg(long, default_value = "60s", value_parser = duration::parse)]
        timeout: Duration,
    },
    /// Print the endpoints that this command talks to
    Endpoints,
}

/// A member by name, and where its peers reach it.
#[derive(Debug, Args)]
struct Place {
    /// The name that it starts with
    name: String,
    /// Host and port on which its peers reach it; the port is 2380 if left out
    #[arg(value_parser = place)]
    host: (String, u16),
}

impl Cluster {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        context.with_store(async |kv, out| run(self.verb, kv, out).await).await
    }
}

async fn run(verb: Verb, kv: &Handle, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::Members => {
            let members = members(kv, None).await?;
            if out.is_json() {
                return members.values().try_for_each(|member| out.line(&member_json(member).to_string()));
            }
            out.line(&of_members(&members))
        }
        Verb::Add(Place { name, host: (host, port) }) => {
            peer_urls(kv, AdminRequest::AddMember { host, port, name }, out).await
        }
        Verb::Learner(Place { name, host: (host, port) }) => {
            peer_urls(kv, AdminRequest::AddLearner { host, port, name }, out).await
        }
        Verb::Update(Place { name, host: (host, port) }) => {
            peer_urls(kv, AdminRequest::UpdateMember { host, port, name }, out).await
        }
        Verb::Promote { id } => {
            kv.admin(AdminRequest::PromoteMember { id }).await?;
            out.either(|| json!({ "id": format!("{id:x}"), "promoted": true }), || format!("{id:x} votes"))
        }
        Verb::Remove { id: Some(id), .. } => {
            kv.admin(AdminRequest::RemoveMemberById { id }).await?;
            out.either(|| json!({ "id": format!("{id:x}"), "removed": true }), || format!("removed {id:x}"))
        }
        Verb::Remove { name, host, .. } => {
            let (name, host) = (name.unwrap_or_default(), host.unwrap_or_default());
            kv.admin(AdminRequest::RemoveMember { name: name.clone(), host }).await?;
            out.either(|| json!({ "name": name, "removed": true }), || format!("removed {name}"))
        }
        Verb::Defragment { endpoint, timeout } => {
            kv.admin(AdminRequest::Defragment { endpoint: endpoint.clone(), timeout }).await?;
            out.either(|| json!({ "endpoint": endpoint, "defragmented": true }), || format!("defragmented {endpoint}"))
        }
        Verb::Endpoints => {
            let AdminReply::Endpoints(endpoints) = kv.admin(AdminRequest::Endpoints).await? else {
                return Err(unexpected());
            };
            out.either(|| json!({ "endpoints": endpoints }), || endpoints.join("\n"))
        }
    }
}

/// The members, each asked for at most `within`.
pub(crate) async fn members(kv: &Handle, within: Option<Duration>) -> Result<BTreeMap<u64, MemberInfo>, Failure> {
    let mut options = CallOptions::default();
    // Room for the answer of those that do answer, however long the others are waited for.
    options.timeout = within.map(|within| within.saturating_add(Duration::from_secs(5)));
    match kv.admin_opts(AdminRequest::ListMembers { within }, options).await? {
        AdminReply::Members(members) => Ok(members),
        _ => Err(unexpected()),
    }
}

async fn peer_urls(kv: &Handle, request: AdminRequest, out: &mut Output) -> Result<(), Failure> {
    let AdminReply::PeerUrls(members) = kv.admin(request).await? else { return Err(unexpected()) };
    out.either(
        || json!({ "peer_urls": members }),
        || {
            let pairs = members.iter().flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")));
            format!("--initial-cluster-state existing --initial-cluster {}", pairs.collect::<Vec<_>>().join(","))
        },
    )
}

fn unexpected() -> Failure {
    Failure::Store(Error::new(ErrorKind::Internal, "the store answered another question; report this"))
}

/// Reads a member's id as etcd shows it, in hexadecimal.
fn id(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| "write an id as `kvdb cluster members` shows it".to_owned())
}

/// Reads `host:port`, `[::1]:port`, or a host alone.
fn place(text: &str) -> Result<(String, u16), String> {
    /// etcd's port for peers.
    const PEERS: u16 = 2380;
    if text.parse::<std::net::Ipv6Addr>().is_ok() || !text.rsplit(']').next().unwrap_or(text).contains(':') {
        return Ok((text.to_owned(), PEERS));
    }
    text.rsplit_once(':')
        .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok().filter(|port| *port > 0)?)))
        .ok_or_else(|| "write host:port, such as 10.0.0.4:2380".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_and_a_port() {
        let read = |text: &str| place(text).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(read("10.0.0.4:2381").unwrap(), "10.0.0.4 2381");
        assert_eq!(read("node").unwrap(), "node 2380");
        assert_eq!(read("[::1]:2381").unwrap(), "[::1] 2381");
        assert_eq!(read("[::1]").unwrap(), "[::1] 2380");
        assert_eq!(read("::1").unwrap(), "::1 2380");
        for text in ["node:", "node:0", "node:x", "node:70000"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_is_hexadecimal() {
        assert_eq!(id("8e9e05c52164694d"), Ok(0x8e9e_05c5_2164_694d));
        assert!(id("m1").is_err());
    }
}
