//! One server of a Consul cluster.

use super::setup::ConsulSetup;
use crate::certs::Certs;
use crate::member::{Member, Probe};
use crate::process::Process;
use crate::proxy::Proxy;
use crate::tls::Tls;
use crate::wait::READY;
use crate::{binary, http, ports};
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// One server of a Consul cluster.
#[derive(Debug)]
pub struct ConsulMember {
    pub(super) member: Member,
    pub(super) ports: Ports,
}

impl Deref for ConsulMember {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.member
    }
}

/// Where a server listens. Plain HTTP is there beside HTTPS too, for what is asked from outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) http: u16,
    pub(super) https: u16,
    pub(super) serf: u16,
    pub(super) server: u16,
}

impl Ports {
    pub(super) fn free() -> io::Result<Self> {
        let [http, https, serf, server] =
            <[u16; 4]>::try_from(ports::free(4)?).map_err(|_| io::Error::other("no free ports"))?;
        Ok(Self { http, https, serf, server })
    }
}

/// What a server is made from.
pub(super) struct Plan<'a> {
    pub(super) setup: &'a ConsulSetup,
    pub(super) dir: &'a Path,
    pub(super) certs: Option<&'a Certs>,
    pub(super) token: Option<&'a str>,
    /// The serf ports of all servers.
    pub(super) join: &'a [u16],
}

impl Plan<'_> {
    pub(super) fn member(&self, name: String, ports: Ports) -> io::Result<ConsulMember> {
        let config = self.dir.join(format!("{name}.json"));
        std::fs::write(&config, self.setup.file(ports, self.certs, self.token).to_string())?;
        let mut args = vec![
            "agent".to_owned(),
            format!("-node={name}"),
            "-bind=127.0.0.1".to_owned(),
            "-client=127.0.0.1".to_owned(),
            format!("-http-port={}", ports.http),
            "-dns-port=-1".to_owned(),
            "-grpc-port=-1".to_owned(),
            format!("-serf-lan-port={}", ports.serf),
            "-serf-wan-port=-1".to_owned(),
            format!("-server-port={}", ports.server),
            format!("-config-file={}", config.display()),
            "-log-level=warn".to_owned(),
        ];
        if self.setup.in_memory() {
            args.push("-dev".to_owned());
        } else {
            args.push("-server".to_owned());
            args.push(format!("-bootstrap-expect={}", self.setup.nodes));
            args.push(format!("-data-dir={}", self.dir.join(&name).display()));
            args.push("-retry-interval=200ms".to_owned());
            args.extend(self.join.iter().map(|serf| format!("-retry-join=127.0.0.1:{serf}")));
        }
        let (scheme, port) = if self.setup.tls == Tls::Off { ("http", ports.http) } else { ("https", ports.https) };
        let client_proxy = self.setup.client_proxy.then(|| Proxy::start(port)).transpose()?;
        let port = client_proxy.as_ref().map_or(port, Proxy::port);
        let member = Member {
            log: self.dir.join(format!("{name}.log")),
            name,
            endpoint: format!("{scheme}://127.0.0.1:{port}"),
            binary: binary::find("consul", "consul")?,
            args,
            probe: probe(ports, self.setup.tls, self.token.map(str::to_owned)),
            client_proxy,
            process: Mutex::default(),
        };
        Ok(ConsulMember { member, ports })
    }
}

impl ConsulMember {
    /// Asks it over plain HTTP, past its proxy.
    pub(super) fn ask(&self, method: &str, path: &str, body: &[u8], token: Option<&str>) -> io::Result<http::Reply> {
        let process = self.process()?;
        if process.is_paused() || !process.listens_on(self.ports.http) {
            return Err(process.error(io::ErrorKind::NotConnected, &format!("{} is dead or paused", self.name())));
        }
        request(self.ports.http, method, path, body, token, READY)
    }
}

/// Ready is who makes a session: there is a leader, and it knows this node. No key shows that it was asked.
fn probe(ports: Ports, tls: Tls, token: Option<String>) -> Probe {
    Box::new(move |process: &Process| {
        process.listens_on(ports.http)
            && (tls == Tls::Off || process.listens_on(ports.https))
            && makes_session(ports.http, token.as_deref()).is_ok_and(|made| made)
    })
}

fn makes_session(port: u16, token: Option<&str>) -> io::Result<bool> {
    let patience = Duration::from_secs(2);
    let made = request(port, "PUT", "/v1/session/create", b"{}", token, patience)?;
    let Some(id) = json_text(&made.body, "ID").filter(|_| made.status == 200) else { return Ok(false) };
    Ok(request(port, "PUT", &format!("/v1/session/destroy/{id}"), b"", token, patience)?.status == 200)
}

fn request(
    port: u16,
    method: &str,
    path: &str,
    body: &[u8],
    token: Option<&str>,
    patience: Duration,
) -> io::Result<http::Reply> {
    let header = token.map(|token| ("X-Consul-Token", token));
    http::request(port, method, path, header.as_slice(), body, patience)
}

/// A text of a JSON object.
pub(super) fn json_text(body: &[u8], name: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    value.get(name)?.as_str().map(str::to_owned)
}
