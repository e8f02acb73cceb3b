//! One server of a ZooKeeper ensemble.

use super::java::Java;
use super::setup::ZooKeeperSetup;
use super::words;
use crate::certs::Certs;
use crate::member::{Member, Probe};
use crate::ports;
use crate::process::Process;
use crate::proxy::Proxy;
use crate::tls::Tls;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Mutex;

/// One server of a ZooKeeper ensemble.
#[derive(Debug)]
pub struct ZooKeeperMember {
    member: Member,
    ports: Ports,
}

impl Deref for ZooKeeperMember {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.member
    }
}

/// Where a server listens. Plain text is there beside TLS too, for what is asked from outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) client: u16,
    pub(super) secure: u16,
    pub(super) quorum: u16,
    pub(super) election: u16,
}

impl Ports {
    pub(super) fn free() -> io::Result<Self> {
        let [client, secure, quorum, election] =
            <[u16; 4]>::try_from(ports::free(4)?).map_err(|_| io::Error::other("no free ports"))?;
        Ok(Self { client, secure, quorum, election })
    }
}

/// What a server is made from.
pub(super) struct Plan<'a> {
    pub(super) setup: &'a ZooKeeperSetup,
    pub(super) java: &'a Java,
    pub(super) dir: &'a Path,
    pub(super) certs: Option<&'a Certs>,
    /// The ports of all servers.
    pub(super) ports: &'a [Ports],
}

impl Plan<'_> {
    pub(super) fn member(&self, name: String, index: usize) -> io::Result<ZooKeeperMember> {
        let ports = *self.ports.get(index).ok_or_else(|| io::Error::other("a server without ports"))?;
        let data = self.dir.join(&name);
        std::fs::create_dir(&data)?;
        std::fs::write(data.join("myid"), (index + 1).to_string())?;
        let key_store = data.join("key-store.pem");
        if let Some(certs) = self.certs {
            let files = if self.setup.expired_server { certs.expired_server() } else { certs.server_files() };
            let store = [std::fs::read(files.key)?, std::fs::read(files.cert)?].concat();
            std::fs::write(&key_store, store)?;
        }
        let config = self.dir.join(format!("{name}.cfg"));
        std::fs::write(&config, self.setup.file(ports, self.ports, &data, self.certs, &key_store))?;
        let mut args = self.setup.properties();
        args.extend(["-cp".into(), self.java.class_path.to_string_lossy().into_owned()]);
        args.push("org.apache.zookeeper.server.quorum.QuorumPeerMain".into());
        args.push(config.display().to_string());
        let (scheme, port) = if self.setup.tls == Tls::Off { ("", ports.client) } else { ("https://", ports.secure) };
        let client_proxy = self.setup.client_proxy.then(|| Proxy::start(port)).transpose()?;
        let port = client_proxy.as_ref().map_or(port, Proxy::port);
        let member = Member {
            log: self.dir.join(format!("{name}.log")),
            name,
            endpoint: format!("{scheme}127.0.0.1:{port}"),
            binary: self.java.binary.clone(),
            args,
            probe: probe(ports, self.setup.tls),
            client_proxy,
            process: Mutex::default(),
        };
        Ok(ZooKeeperMember { member, ports })
    }
}

impl ZooKeeperMember {
    /// Asks it a word of four letters, such as `srvr` or `mntr`, past its proxy.
    ///
    /// # Errors
    /// If it is dead, paused, or silent for 2 s.
    pub fn word(&self, word: &str) -> io::Result<String> {
        let process = self.process()?;
        if process.is_paused() || !process.listens_on(self.ports.client) {
            return Err(process.error(io::ErrorKind::NotConnected, &format!("{} is dead or paused", self.name())));
        }
        words::ask(self.ports.client, word)
    }
}

/// `imok` comes before it serves; a mode only then.
fn probe(ports: Ports, tls: Tls) -> Probe {
    Box::new(move |process: &Process| {
        process.listens_on(ports.client)
            && (tls == Tls::Off || process.listens_on(ports.secure))
            && words::ask(ports.client, "srvr").is_ok_and(|says| says.contains("Mode: "))
    })
}
