//! etcd: three nodes that call an election after half a second.

use std::io;
use std::sync::Arc;

use kvdb_core::registry::BackendFactory;
use kvdb_servers::{Etcd, EtcdSetup};

use crate::cluster::Cluster;

/// Starts three nodes.
pub(crate) fn start() -> io::Result<Arc<dyn Cluster>> {
    Ok(Arc::new(Etcd::start(EtcdSetup::default().nodes(3).peer_proxy())?))
}

impl Cluster for Etcd {
    fn factory(&self) -> &'static BackendFactory {
        &kvdb_etcd::FACTORY
    }

    fn endpoints(&self) -> Vec<String> {
        Self::endpoints(self)
    }

    fn leader(&self) -> io::Result<usize> {
        Self::leader(self)
    }

    fn kill(&self, member: usize) -> io::Result<()> {
        self.member(member)?.kill()
    }

    fn launch(&self, member: usize) -> io::Result<()> {
        self.member(member)?.launch()
    }

    fn pause(&self, member: usize) -> io::Result<()> {
        self.member(member)?.pause()
    }

    fn resume(&self, member: usize) -> io::Result<()> {
        self.member(member)?.resume()
    }

    fn isolate(&self, member: usize) -> io::Result<()> {
        Self::isolate(self, member)
    }

    fn rejoin(&self) -> io::Result<()> {
        self.heal()
    }

    fn ready(&self) -> io::Result<()> {
        Self::ready(self)
    }
}
