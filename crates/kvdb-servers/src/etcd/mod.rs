//! etcd: one node or a cluster.

mod ctl;
mod member;
mod partition;
mod plan;
mod setup;

pub use member::EtcdMember;
pub use plan::EtcdSpare;
pub use setup::EtcdSetup;

use crate::certs::Certs;
use crate::tls::Tls;
use crate::wait::{self, READY, lock};
use crate::{binary, janitor, metrics, retry, uri};
use plan::Members;
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// The user that [`EtcdSetup::auth`] makes, and its password.
pub const ROOT: (&str, &str) = ("root", "rootpw");

/// A running etcd cluster. Dropping it kills the members and removes their files.
#[derive(Debug)]
pub struct Etcd {
    setup: EtcdSetup,
    members: Arc<Members>,
    /// Those that a partition keeps from leading.
    cut_off: Mutex<HashSet<usize>>,
    certs: Option<Certs>,
    ctl: PathBuf,
    dir: TempDir,
}

impl Etcd {
    /// Starts a cluster and waits until every member serves.
    ///
    /// # Errors
    /// If the binaries are missing (the text says how to get them), or a member does not serve within 30 s.
    pub fn start(setup: EtcdSetup) -> io::Result<Self> {
        retry::on_taken_port(|| Self::try_start(setup.clone()))
    }

    fn try_start(setup: EtcdSetup) -> io::Result<Self> {
        let ctl = binary::find("etcd", "etcdctl")?;
        let dir = janitor::directory("kvdb-etcd-")?;
        let certs = (setup.tls != Tls::Off).then(|| Certs::new(&setup.client_name)).transpose()?;
        let etcd = Self { setup, members: Arc::default(), cut_off: Mutex::default(), certs, ctl, dir };
        let token = unique();
        let spares = (1..=etcd.setup.nodes)
            .map(|n| EtcdSpare::new(&etcd.setup, format!("{token}-{n}"), &etcd.members))
            .collect::<io::Result<Vec<_>>>()?;
        let all: Vec<String> = spares.iter().map(|spare| format!("{}={}", spare.name, spare.peer_url)).collect();
        for spare in spares {
            etcd.launch(spare, &all.join(","), &format!("--initial-cluster-token={token}"))?;
        }
        etcd.ready()?;
        if etcd.setup.auth {
            etcd.enable_auth()?;
        }
        Ok(etcd)
    }

    /// The client URLs of all members.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members().iter().map(|member| member.endpoint().to_owned()).collect()
    }

    /// The store URI, with the options that a client needs for its TLS and its users.
    ///
    /// # Errors
    /// If the file of root's password cannot be written.
    pub fn uri(&self) -> io::Result<String> {
        let mut options = uri::tls_options(self.setup.tls, self.certs());
        if self.setup.auth {
            let file = self.dir.path().join("password");
            std::fs::write(&file, ROOT.1)?;
            options.push(("username", ROOT.0.to_owned()));
            options.push(("password_file", file.display().to_string()));
        }
        Ok(uri::uri("etcd", &self.endpoints(), &options))
    }

    /// The certificates, if clients speak TLS.
    #[must_use]
    pub fn certs(&self) -> Option<&Certs> {
        self.certs.as_ref()
    }

    /// All members, in the order they were started.
    #[must_use]
    pub fn members(&self) -> Vec<Arc<EtcdMember>> {
        lock(&self.members).clone()
    }

    /// The member with this index, from 0.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn member(&self, index: usize) -> io::Result<Arc<EtcdMember>> {
        let found = lock(&self.members).get(index).cloned();
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no member {index}")))
    }

    /// Waits until every member serves; see [`Member::ready`](crate::Member::ready).
    ///
    /// # Errors
    /// If one has ended, or does not serve within 30 s.
    pub fn ready(&self) -> io::Result<()> {
        self.members().iter().try_for_each(|member| member.ready())
    }

    /// The index of the leader: waits until exactly one member says that it leads, of those that answer and are not on
    /// the smaller side of a partition.
    ///
    /// # Errors
    /// If there is none within 30 s.
    pub fn leader(&self) -> io::Result<usize> {
        let leader = wait::until(READY, || {
            let cut_off = lock(&self.cut_off).clone();
            let leads = |member: &EtcdMember| {
                let text = member.metrics().unwrap_or_default();
                metrics::sum(&text, "etcd_server_is_leader", &[]) == Some(1.0)
            };
            let members = self.members();
            let leaders: Vec<usize> = members
                .iter()
                .enumerate()
                .filter(|(index, member)| !cut_off.contains(index) && leads(member))
                .map(|(index, _)| index)
                .collect();
            Ok(match *leaders {
                [leader] => Some(leader),
                _ => None,
            })
        })?;
        leader.ok_or_else(|| wait::timed_out(format!("no etcd leader after {} s", READY.as_secs())))
    }

    /// A member to add: first tell the cluster its name and peer URL, then let it [`join`](Self::join).
    ///
    /// # Errors
    /// If there are no free ports.
    pub fn spare(&self) -> io::Result<EtcdSpare> {
        EtcdSpare::new(&self.setup, unique(), &self.members)
    }

    /// Starts a member that the cluster has been told of, waits until it serves or follows as a learner, and answers
    /// its index. `initial_cluster` is `name=peer URL`, comma separated, of all members, itself included.
    ///
    /// # Errors
    /// If it does not serve within 30 s.
    pub fn join(&self, spare: EtcdSpare, initial_cluster: &str) -> io::Result<usize> {
        let index = self.launch(spare, initial_cluster, "--initial-cluster-state=existing")?;
        self.member(index)?.ready()?;
        Ok(index)
    }

    fn launch(&self, spare: EtcdSpare, initial_cluster: &str, more: &str) -> io::Result<usize> {
        let more = [format!("--initial-cluster={initial_cluster}"), more.to_owned()];
        let member = Arc::new(spare.into_member(&self.setup, self.dir.path(), self.certs.as_ref(), more)?);
        let index = {
            let mut members = lock(&self.members);
            members.push(Arc::clone(&member));
            members.len() - 1
        };
        member.launch()?;
        Ok(index)
    }
}

impl Drop for Etcd {
    /// Kills the members before their files go.
    fn drop(&mut self) {
        let members = std::mem::take(&mut *lock(&self.members));
        for member in members {
            member.kill().ok();
        }
    }
}

fn unique() -> String {
    format!("kvdb-{:016x}", rand::random::<u64>())
}
