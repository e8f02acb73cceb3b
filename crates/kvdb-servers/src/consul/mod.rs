//! Consul: one server or a cluster.

mod acl;
mod member;
mod setup;

pub use member::ConsulMember;
pub use setup::ConsulSetup;

use crate::certs::Certs;
use crate::tls::Tls;
use crate::wait::{self, READY};
use crate::{binary, janitor, retry, uri};
use member::{Plan, Ports};
use std::io;
use std::sync::Arc;
use tempfile::TempDir;

/// A running Consul cluster. Dropping it kills the servers and removes their files.
#[derive(Debug)]
pub struct Consul {
    members: Vec<Arc<ConsulMember>>,
    tls: Tls,
    certs: Option<Certs>,
    token: Option<String>,
    /// Goes last, after the servers.
    _dir: TempDir,
}

impl Consul {
    /// Starts a cluster and waits until every server serves.
    ///
    /// # Errors
    /// If the binary is missing (the text says how to get it), or a server does not serve within 30 s.
    pub fn start(setup: ConsulSetup) -> io::Result<Self> {
        binary::find("consul", "consul")?;
        retry::on_taken_port(|| Self::try_start(&setup))
    }

    fn try_start(setup: &ConsulSetup) -> io::Result<Self> {
        let dir = janitor::directory("kvdb-consul-")?;
        let certs = (setup.tls != Tls::Off).then(|| Certs::new("kvdb-client")).transpose()?;
        let token = setup.acl.then(acl::uuid);
        let ports = (0..setup.nodes).map(|_| Ports::free()).collect::<io::Result<Vec<_>>>()?;
        let join: Vec<u16> = ports.iter().map(|ports| ports.serf).collect();
        let plan = Plan { setup, dir: dir.path(), certs: certs.as_ref(), token: token.as_deref(), join: &join };
        let cluster: u64 = rand::random();
        let members = ports
            .into_iter()
            .enumerate()
            .map(|(index, ports)| Ok(Arc::new(plan.member(format!("kvdb-{cluster:016x}-{}", index + 1), ports)?)))
            .collect::<io::Result<Vec<_>>>()?;
        let consul = Self { members, tls: setup.tls, certs, token, _dir: dir };
        consul.members.iter().try_for_each(|member| member.launch())?;
        consul.ready()?;
        Ok(consul)
    }

    /// The client URLs of all servers.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| member.endpoint().to_owned()).collect()
    }

    /// The store URI, with the options that a client needs for its TLS and its token.
    #[must_use]
    pub fn uri(&self) -> String {
        let mut options = uri::tls_options(self.tls, self.certs());
        options.extend(self.token().map(|token| ("acl_token", token.to_owned())));
        uri::uri("consul", &self.endpoints(), &options)
    }

    /// The certificates, if clients speak TLS.
    #[must_use]
    pub fn certs(&self) -> Option<&Certs> {
        self.certs.as_ref()
    }

    /// All servers.
    #[must_use]
    pub fn members(&self) -> Vec<Arc<ConsulMember>> {
        self.members.clone()
    }

    /// The server with this index, from 0.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn member(&self, index: usize) -> io::Result<Arc<ConsulMember>> {
        let found = self.members.get(index).cloned();
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no server {index}")))
    }

    /// Waits until every server serves; see [`Member::ready`](crate::Member::ready).
    ///
    /// # Errors
    /// If one has ended, or does not serve within 30 s.
    pub fn ready(&self) -> io::Result<()> {
        self.members.iter().try_for_each(|member| member.ready())
    }

    /// The index of the leader: waits until every server that answers names the same one, which answers itself.
    ///
    /// # Errors
    /// If there is none within 30 s.
    pub fn leader(&self) -> io::Result<usize> {
        let leader = wait::until(READY, || {
            let named: Vec<Option<usize>> = self
                .members
                .iter()
                .map(|member| {
                    let says = member.ask("GET", "/v1/status/leader", b"", self.token()).ok()?.text();
                    Some(self.with_server_address(&says).unwrap_or(usize::MAX))
                })
                .collect();
            let mut answers = named.iter().flatten();
            let Some(first) = answers.next() else { return Ok(None) };
            let agreed = answers.all(|other| other == first) && named.get(*first).is_some_and(Option::is_some);
            Ok(agreed.then_some(*first))
        })?;
        leader.ok_or_else(|| wait::timed_out(format!("no Consul leader after {} s", READY.as_secs())))
    }

    /// Asks the first server that answers, past the proxies, with the master token if there is one: the status and the
    /// body.
    ///
    /// # Errors
    /// If none answers within 30 s.
    pub fn http(&self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let mut last = io::Error::other("there is no server");
        for member in &self.members {
            match member.ask(method, path, body, self.token()) {
                Ok(reply) => return Ok((reply.status, reply.body)),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Everything that is stored, for [`restore`](Self::restore).
    ///
    /// # Errors
    /// If it is refused.
    pub fn snapshot(&self) -> io::Result<Vec<u8>> {
        self.must("GET", "/v1/snapshot", b"")
    }

    /// Puts back what was stored, indexes too: they go back.
    ///
    /// # Errors
    /// If it is refused.
    pub fn restore(&self, snapshot: &[u8]) -> io::Result<()> {
        self.must("PUT", "/v1/snapshot", snapshot).map(drop)
    }

    fn must(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        match self.http(method, path, body)? {
            (200, body) => Ok(body),
            (status, body) => {
                let text = String::from_utf8_lossy(&body);
                Err(io::Error::other(format!("{method} {path} answers {status}: {text}")))
            }
        }
    }

    fn with_server_address(&self, says: &str) -> Option<usize> {
        let port: u16 = says.trim().trim_matches('"').rsplit_once(':')?.1.parse().ok()?;
        self.members.iter().position(|member| member.ports.server == port)
    }
}

impl Drop for Consul {
    /// Kills the servers before their files go.
    fn drop(&mut self) {
        for member in &self.members {
            member.kill().ok();
        }
    }
}
