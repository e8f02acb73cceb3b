//! ZooKeeper: one server or an ensemble.

mod java;
mod member;
mod setup;
mod words;

pub use member::ZooKeeperMember;
pub use setup::ZooKeeperSetup;

use crate::certs::Certs;
use crate::tls::Tls;
use crate::wait::{self, READY};
use crate::{janitor, retry, uri};
use java::Java;
use member::{Plan, Ports};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use tempfile::TempDir;

/// A running ZooKeeper ensemble. Dropping it kills the servers and removes their files.
#[derive(Debug)]
pub struct ZooKeeper {
    members: Vec<Arc<ZooKeeperMember>>,
    tls: Tls,
    certs: Option<Certs>,
    /// Goes last, after the servers.
    _dir: TempDir,
}

impl ZooKeeper {
    /// The user that may do anything where the setup asked for [`super_user`](ZooKeeperSetup::super_user), and its
    /// password.
    pub const SUPER: (&'static str, &'static str) = ("super", "superpw");

    /// Starts an ensemble and waits until every server serves.
    ///
    /// # Errors
    /// If the servers or Java are missing (the text says how to get them), or a server does not serve within 30 s.
    pub fn start(setup: ZooKeeperSetup) -> io::Result<Self> {
        let java = Java::find()?;
        retry::on_taken_port(|| Self::try_start(&setup, &java))
    }

    fn try_start(setup: &ZooKeeperSetup, java: &Java) -> io::Result<Self> {
        let dir = janitor::directory("kvdb-zookeeper-")?;
        let certs = (setup.tls != Tls::Off).then(|| Certs::new("kvdb-client")).transpose()?;
        let ports = (0..setup.nodes).map(|_| Ports::free()).collect::<io::Result<Vec<_>>>()?;
        let plan = Plan { setup, java, dir: dir.path(), certs: certs.as_ref(), ports: &ports };
        let cluster: u64 = rand::random();
        let members = (0..ports.len())
            .map(|index| Ok(Arc::new(plan.member(format!("kvdb-{cluster:016x}-{}", index + 1), index)?)))
            .collect::<io::Result<Vec<_>>>()?;
        let ensemble = Self { members, tls: setup.tls, certs, _dir: dir };
        ensemble.members.iter().try_for_each(|member| member.launch())?;
        ensemble.ready()?;
        Ok(ensemble)
    }

    /// The client addresses of all servers: `host:port`, with `https://` in front where clients speak TLS.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| member.endpoint().to_owned()).collect()
    }

    /// The store URI, with the options that a client needs for its TLS.
    #[must_use]
    pub fn uri(&self) -> String {
        uri::uri("zk", &self.endpoints(), &uri::tls_options(self.tls, self.certs()))
    }

    /// The certificates, if clients speak TLS.
    #[must_use]
    pub fn certs(&self) -> Option<&Certs> {
        self.certs.as_ref()
    }

    /// All servers.
    #[must_use]
    pub fn members(&self) -> Vec<Arc<ZooKeeperMember>> {
        self.members.clone()
    }

    /// The server with this index, from 0.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn member(&self, index: usize) -> io::Result<Arc<ZooKeeperMember>> {
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

    /// The index of the leader, or of the only server: waits until exactly one server that answers leads.
    ///
    /// # Errors
    /// If there is none within 30 s.
    pub fn leader(&self) -> io::Result<usize> {
        let leader = wait::until(READY, || {
            let leads = |member: &Arc<ZooKeeperMember>| {
                member.word("srvr").is_ok_and(|says| says.contains("Mode: leader") || says.contains("Mode: standalone"))
            };
            let leaders: Vec<usize> =
                self.members.iter().enumerate().filter_map(|(index, member)| leads(member).then_some(index)).collect();
            Ok(<[usize; 1]>::try_from(leaders).ok().map(|[leader]| leader))
        })?;
        leader.ok_or_else(|| wait::timed_out(format!("no ZooKeeper leader after {} s", READY.as_secs())))
    }

    /// The ids of the sessions that have not ended, as the leader knows them.
    ///
    /// # Errors
    /// If there is no leader within 30 s.
    pub fn sessions(&self) -> io::Result<BTreeSet<i64>> {
        let text = self.member(self.leader()?)?.word("dump")?;
        Ok(words::sessions(&text))
    }

    /// Waits until a session has ended. It ends once its client was cut off for longer than its timeout: see
    /// [`client_proxy`](ZooKeeperSetup::client_proxy).
    ///
    /// # Errors
    /// If it has not ended within 30 s.
    pub fn expired(&self, session: i64) -> io::Result<()> {
        let gone = wait::until(READY, || Ok((!self.sessions()?.contains(&session)).then_some(())))?;
        gone.ok_or_else(|| wait::timed_out(format!("session {session:#x} lives after {} s", READY.as_secs())))
    }
}

impl Drop for ZooKeeper {
    /// Kills the servers before their files go.
    fn drop(&mut self) {
        for member in &self.members {
            member.kill().ok();
        }
    }
}
