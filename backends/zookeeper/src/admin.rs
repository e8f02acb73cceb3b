//! The servers of an ensemble, and what each says of itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{join_all, select_ok};
use kvdb_core::{AdminReply, AdminRequest, Capabilities, Error, ErrorKind, MemberInfo, Result, Revision};

use crate::backend::Shared;
use crate::client::{Settings, answer};
use crate::endpoints::Endpoint;
use crate::error::Call;
use crate::raw;

/// How long a server may take to answer unless the request says so.
const PATIENCE: Duration = Duration::from_secs(2);

/// One server as the ensemble's configuration has it.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    id: u64,
    peer: String,
    observer: bool,
    client: Option<Endpoint>,
}

/// What a server says to `srvr`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    version: String,
    mode: String,
    zxid: u64,
}

pub(crate) async fn admin(shared: &Shared, request: &AdminRequest) -> Result<AdminReply> {
    match request {
        AdminRequest::ListMembers { within } => {
            members(shared, within.unwrap_or(PATIENCE)).await.map(AdminReply::Members)
        }
        AdminRequest::AddUser { .. }
        | AdminRequest::RemoveUser { .. }
        | AdminRequest::GrantUserAccess { .. }
        | AdminRequest::RevokeUserAccess { .. } => Err(Error::unsupported(Capabilities::USERS)),
        AdminRequest::Endpoints => Ok(AdminReply::Endpoints(shared.endpoints())),
        // Leases and open watches stay where they are while their sessions last.
        AdminRequest::SetEndpoints(endpoints) => {
            shared.sessions.settings.set_endpoints(endpoints)?;
            shared.sessions.close();
            Ok(AdminReply::Done)
        }
        // The log is purged by the servers themselves.
        AdminRequest::Defragment { .. } => Err(Error::unsupported(Capabilities::COMPACT)),
        _ => Err(Error::new(
            ErrorKind::Unsupported(Capabilities::MEMBERS),
            "of MEMBERS ZooKeeper's are listed alone: its own `reconfig` adds and removes them",
        )),
    }
}

/// The servers that the ensemble's configuration names, each asked where it says that clients reach it; where it names
/// none, as one server alone does, and where clients speak TLS, of which it does not tell, those of the endpoints.
async fn members(shared: &Shared, within: Duration) -> Result<BTreeMap<u64, MemberInfo>> {
    let settings = &shared.sessions.settings;
    let configured = match settings.tls {
        Some(_) => Vec::new(),
        None => {
            let client = shared.sessions.client().await?;
            let (text, _) = answer(Call::Read, client.get_config()).await?;
            servers(&String::from_utf8_lossy(&text))
        }
    };
    if configured.is_empty() {
        let endpoints = settings.endpoints();
        let asked = endpoints.iter().zip(1..).map(|(endpoint, id)| async move {
            let mut info = ask(settings, Some(endpoint), within).await;
            info.id = endpoint.to_string();
            info.name.clone_from(&info.id);
            info.client_urls = vec![endpoint.to_string()];
            (id, info)
        });
        return Ok(join_all(asked).await.into_iter().collect());
    }
    let asked = configured.iter().map(|server| async move {
        let mut info = ask(settings, server.client.as_ref(), within).await;
        info.id = server.id.to_string();
        info.name = format!("server.{}", server.id);
        info.peer_urls = vec![server.peer.clone()];
        info.client_urls = server.client.iter().map(ToString::to_string).collect();
        info.learner = server.observer;
        (server.id, info)
    });
    Ok(join_all(asked).await.into_iter().collect())
}

async fn ask(settings: &Settings, endpoint: Option<&Endpoint>, within: Duration) -> MemberInfo {
    let begun = Instant::now();
    let status = match endpoint {
        Some(endpoint) => raw::word(endpoint, settings.tls_config(), "srvr", within).await.ok(),
        None => None,
    };
    let mut info = MemberInfo::default();
    info.started = true;
    // A server without a quorum answers, and tells no mode.
    if let Some(status) = status.as_deref().and_then(status_of) {
        info.healthy = true;
        info.leader = matches!(status.mode.as_str(), "leader" | "standalone");
        info.version = status.version;
        info.revision = Revision::new(status.zxid);
        info.latency = Some(begun.elapsed());
    }
    info
}

/// The lines `server.1=host:peer:election:participant;client-host:client-port`.
fn servers(config: &str) -> Vec<Server> {
    let server = |line: &str| {
        let (id, rest) = line.strip_prefix("server.")?.split_once('=')?;
        let (peers, client) = rest.split_once(';').map_or((rest, None), |(peers, client)| (peers, Some(client)));
        let (peer, role) = match peers.rsplit_once(':')? {
            (peer, role @ ("participant" | "observer")) => (peer, role),
            _ => (peers, "participant"),
        };
        let own_host = peer.rsplitn(3, ':').nth(2)?;
        let client = client.and_then(|client| {
            let (host, port) = client.rsplit_once(':').unwrap_or(("", client));
            // Where it listens on all addresses, it is reached as its peers reach it.
            let host = if matches!(host, "" | "0.0.0.0" | "[::]" | "0:0:0:0:0:0:0:0") { own_host } else { host };
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            Some(Endpoint { host, port: port.parse().ok()?, tls: false })
        });
        Some(Server { id: id.parse().ok()?, peer: peer.to_owned(), observer: role == "observer", client })
    };
    config.lines().filter_map(|line| server(line.trim())).collect()
}

fn status_of(says: &str) -> Option<Status> {
    let value = |name: &str| says.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mode = value("Mode:")?.to_owned();
    let version = value("Zookeeper version:").unwrap_or_default();
    let zxid = value("Zxid:").and_then(|zxid| u64::from_str_radix(zxid.strip_prefix("0x")?, 16).ok());
    Some(Status { version: plain(version), mode, zxid: zxid.unwrap_or_default() })
}

/// `3.9.3` of `3.9.3-c26634f34490bb0ea7a09cc51e05ede3b4e320ee, built on 2024-10-17 23:21 UTC`.
fn plain(version: &str) -> String {
    version.split(['-', ',', ' ']).next().unwrap_or_default().to_owned()
}

/// The last transaction of the first server that says it.
pub(crate) async fn last_zxid(settings: &Settings) -> Result<i64> {
    let endpoints = settings.endpoints();
    let ask = |endpoint| {
        let asking = raw::word(endpoint, settings.tls_config(), "srvr", settings.dial_timeout);
        asking.boxed()
    };
    let (says, _) = select_ok(endpoints.iter().map(ask)).await?;
    Ok(status_of(&says).map_or(0, |status| status.zxid.cast_signed()))
}

/// The version of a server.
///
/// # Errors
/// `Unavailable` when it does not answer within `limit`, `InvalidConfig` when it may not tell.
pub(crate) async fn version(settings: &Settings, limit: Duration) -> Result<String> {
    let Some(endpoint) = settings.endpoints().into_iter().next() else {
        return Err(Error::new(ErrorKind::InvalidConfig, "there is no endpoint"));
    };
    let says = raw::word(&endpoint, settings.tls_config(), "srvr", limit).await?;
    let version = says.lines().find_map(|line| line.strip_prefix("Zookeeper version:"));
    version.map(|version| plain(version.trim())).filter(|version| !version.is_empty()).ok_or_else(|| {
        Error::new(ErrorKind::InvalidConfig, "the server tells no version: `4lw.commands.whitelist` must have `srvr`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_its_servers() {
        let text = "server.1=10.0.0.1:2888:3888:participant;0.0.0.0:2181\n\
                    server.2=[::1]:2888:3888:observer;[::2]:2182\nserver.3=h:1:2\nversion=0\n";
        let found = servers(text);
        let endpoint = |host: &str, port| Some(Endpoint { host: host.to_owned(), port, tls: false });
        assert_eq!(
            found.iter().map(|server| (server.id, server.observer)).collect::<Vec<_>>(),
            [(1, false), (2, true), (3, false)]
        );
        assert_eq!(found[0].client, endpoint("10.0.0.1", 2181));
        assert_eq!((found[1].client.clone(), &*found[1].peer), (endpoint("::2", 2182), "[::1]:2888:3888"));
        assert_eq!(found[2].client, None);
        assert_eq!(servers("version=0"), []);
    }

    #[test]
    fn a_status_is_read_by_its_lines() {
        let says = "Zookeeper version: 3.9.3-c26634f, built on 2024\nLatency min/avg/max: 0/0/0\nZxid: 0x10000001a\n\
                    Mode: follower\nNode count: 5\n";
        let status = Status { version: "3.9.3".into(), mode: "follower".into(), zxid: 0x1_0000_001a };
        assert_eq!(status_of(says), Some(status));
        assert_eq!(status_of("This ZooKeeper instance is not currently serving requests"), None);
    }
}
