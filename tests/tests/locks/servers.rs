//! The servers of each store.

use std::any::Any;
use std::io;

use kvdb_servers::{Consul, ConsulSetup, Etcd, EtcdSetup, Proxy, ZooKeeper, ZooKeeperSetup};
use libtest_mimic::Failed;

/// Servers that run until this is dropped, and their URI.
pub(crate) struct Servers {
    pub(crate) uri: String,
    _servers: Box<dyn Any + Send>,
}

/// Starts the servers of a store.
pub(crate) type Start = fn() -> io::Result<Servers>;

/// The store of this name and how to start it; `None` for one that processes cannot share.
pub(crate) fn of(name: &str) -> Option<(&'static str, Start)> {
    let etcd: Start = || {
        let etcd = Etcd::start(EtcdSetup::default())?;
        Ok(Servers { uri: etcd.uri()?, _servers: Box::new(etcd) })
    };
    let consul: Start = || {
        let consul = Consul::start(ConsulSetup::default())?;
        Ok(Servers { uri: consul.uri(), _servers: Box::new(consul) })
    };
    let zookeeper: Start = || {
        let zookeeper = ZooKeeper::start(ZooKeeperSetup::default())?;
        Ok(Servers { uri: zookeeper.uri(), _servers: Box::new(zookeeper) })
    };
    let all = [
        (kvdb_etcd::FACTORY.name, etcd),
        (kvdb_consul::FACTORY.name, consul),
        (kvdb_zookeeper::FACTORY.name, zookeeper),
    ];
    all.into_iter().find(|(known, _)| *known == name)
}

/// A line to the server of this URI, and the URI at its near end.
pub(crate) fn line(uri: &str) -> Result<(Proxy, String), Failed> {
    let (before, port) = uri.rsplit_once(':').ok_or("the URI has a port")?;
    let line = Proxy::start(port.parse()?)?;
    let near = format!("{before}:{}", line.port());
    Ok((line, near))
}
