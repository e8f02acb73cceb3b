//! The servers of a datacenter, and an agent's version.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kvdb_core::{AdminReply, AdminRequest, Capabilities, Error, ErrorKind, MemberInfo, Result};
use serde::Deserialize;
use tokio::time::timeout;

use crate::client::{Client, Request};
use crate::error::{Call, silent};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    servers: Vec<Server>,
}

/// A server as Raft knows it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Server {
    #[serde(rename = "ID")]
    id: String,
    node: String,
    address: String,
    leader: bool,
    voter: bool,
}

/// A node as gossip knows it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Member {
    name: String,
    #[serde(default)]
    tags: HashMap<String, String>,
    status: i64,
}

/// The status of a node that answers.
const ALIVE: i64 = 1;

pub(crate) async fn admin(client: &Client, request: &AdminRequest) -> Result<AdminReply> {
    match request {
        // No member is asked: the agent knows who answers, by gossip.
        AdminRequest::ListMembers { .. } => members(client).await.map(AdminReply::Members),
        AdminRequest::AddUser { .. }
        | AdminRequest::RemoveUser { .. }
        | AdminRequest::GrantUserAccess { .. }
        | AdminRequest::RevokeUserAccess { .. } => Err(Error::unsupported(Capabilities::USERS)),
        AdminRequest::Endpoints => Ok(AdminReply::Endpoints(client.addresses())),
        AdminRequest::SetEndpoints(endpoints) => client.set_endpoints(endpoints).map(|()| AdminReply::Done),
        // Raft's log is compacted by the servers themselves.
        AdminRequest::Defragment { .. } => Err(Error::unsupported(Capabilities::COMPACT)),
        _ => Err(Error::new(
            ErrorKind::Unsupported(Capabilities::MEMBERS),
            "of MEMBERS Consul's are listed alone: they join by `-retry-join` and leave by `consul leave`",
        )),
    }
}

async fn members(client: &Client) -> Result<BTreeMap<u64, MemberInfo>> {
    let (raft, gossip) = (Request::get("/v1/operator/raft/configuration?stale"), Request::get("/v1/agent/members"));
    let (raft, gossip) = futures_util::future::try_join(client.send(&raft), client.send(&gossip)).await?;
    let raft: Configuration = raft.json()?;
    let gossip: Vec<Member> = gossip.json()?;
    Ok(raft.servers.into_iter().map(|server| (number(&server.id), info(server, &gossip))).collect())
}

fn info(server: Server, gossip: &[Member]) -> MemberInfo {
    let same = |member: &&Member| match member.tags.get("id") {
        Some(id) => *id == server.id,
        None => member.name == server.node,
    };
    let member = gossip.iter().find(same);
    let build = member.and_then(|member| member.tags.get("build")).map(String::as_str).unwrap_or_default();
    let mut info = MemberInfo::default();
    info.healthy = member.is_some_and(|member| member.status == ALIVE);
    info.version = build.split(':').next().unwrap_or_default().to_owned();
    info.id = server.id;
    info.name = server.node;
    info.peer_urls = vec![server.address];
    info.leader = server.leader;
    info.learner = !server.voter;
    info.started = true;
    info
}

/// The first 64 bits of a server's UUID, or a number made of an id that is none.
fn number(id: &str) -> u64 {
    let digits: String = id.chars().filter(|char| *char != '-').take(16).collect();
    u64::from_str_radix(&digits, 16).unwrap_or_else(|_| {
        // FNV-1a: the same in every process.
        id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    })
}

/// The version of the agent, which needs `agent:read`.
///
/// # Errors
/// `Unavailable` when it does not answer within `limit`.
pub(crate) async fn version(client: &Client, limit: Duration) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Itself {
        config: Config,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Config {
        version: String,
    }
    let request = Request::get("/v1/agent/self");
    let reply = timeout(limit, client.send(&request)).await.map_err(|_| silent(Call::Read, limit))??;
    let agent: Itself = reply.json()?;
    Ok(agent.config.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_a_number_that_stays() {
        assert_eq!(number("b81d1dda-e121-4c64-d871-6dee0cffaf2c"), 0xb81d_1dda_e121_4c64);
        // A server of an old Raft protocol is named by its address.
        assert_eq!(number("127.0.0.1:8300"), number("127.0.0.1:8300"));
        assert_ne!(number("127.0.0.1:8300"), number("127.0.0.2:8300"));
    }
}
