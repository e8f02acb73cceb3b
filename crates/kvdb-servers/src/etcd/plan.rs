//! A member before it is started.

use super::member::{EtcdMember, Ports};
use super::setup::EtcdSetup;
use crate::certs::Certs;
use crate::member::Member;
use crate::proxy::Proxy;
use crate::tls::Tls;
use crate::wait::lock;
use crate::{binary, ownership, ports};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

/// All members of a cluster. The peer proxies look up whose connections they get.
pub(super) type Members = Mutex<Vec<Arc<EtcdMember>>>;

/// A member that is not started yet, with its ports and its proxies.
#[derive(Debug)]
pub struct EtcdSpare {
    pub(super) name: String,
    pub(super) endpoint: String,
    pub(super) peer_url: String,
    ports: Ports,
    client_proxy: Option<Proxy>,
    peer_proxy: Option<Proxy>,
}

impl EtcdSpare {
    pub(super) fn new(setup: &EtcdSetup, name: String, members: &Arc<Members>) -> io::Result<Self> {
        let [client, peer, metrics] =
            <[u16; 3]>::try_from(ports::free(3)?).map_err(|_| io::Error::other("no free ports"))?;
        let client_proxy = setup.client_proxy.then(|| Proxy::start(client)).transpose()?;
        let peer_proxy = setup.peer_proxy.then(|| {
            let members = Arc::downgrade(members);
            Proxy::start_telling(peer, Box::new(move |from| whose(&members, from)))
        });
        let peer_proxy = peer_proxy.transpose()?;
        let scheme = if setup.tls == Tls::Off { "http" } else { "https" };
        let shown = |proxy: &Option<Proxy>, port| proxy.as_ref().map_or(port, Proxy::port);
        Ok(Self {
            name,
            endpoint: format!("{scheme}://127.0.0.1:{}", shown(&client_proxy, client)),
            peer_url: format!("http://127.0.0.1:{}", shown(&peer_proxy, peer)),
            ports: Ports { client, peer, metrics },
            client_proxy,
            peer_proxy,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client URL that it will have.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The URL that its peers are to find it at.
    #[must_use]
    pub fn peer_url(&self) -> &str {
        &self.peer_url
    }

    /// The port of [`peer_url`](Self::peer_url), whose host is 127.0.0.1.
    #[must_use]
    pub fn peer_port(&self) -> u16 {
        self.peer_proxy.as_ref().map_or(self.ports.peer, Proxy::port)
    }

    pub(super) fn into_member(
        self,
        setup: &EtcdSetup,
        dir: &Path,
        certs: Option<&Certs>,
        more: [String; 2],
    ) -> io::Result<EtcdMember> {
        let Ports { client, peer, metrics } = self.ports;
        let scheme = if setup.tls == Tls::Off { "http" } else { "https" };
        let mut args = vec![
            format!("--name={}", self.name),
            format!("--data-dir={}", dir.join(&self.name).display()),
            format!("--listen-client-urls={scheme}://127.0.0.1:{client}"),
            format!("--advertise-client-urls={}", self.endpoint),
            format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-advertise-peer-urls={}", self.peer_url),
            format!("--listen-metrics-urls=http://127.0.0.1:{metrics}"),
        ];
        args.extend(more);
        args.extend(setup.flags());
        if let Some(certs) = certs {
            let files = if setup.expired_server { certs.expired_server() } else { certs.server_files() };
            args.push(format!("--cert-file={}", files.cert.display()));
            args.push(format!("--key-file={}", files.key.display()));
            if setup.tls == Tls::Mutual {
                args.push("--client-cert-auth".to_owned());
                args.push(format!("--trusted-ca-file={}", certs.ca().display()));
            }
        }
        let member = Member {
            log: dir.join(format!("{}.log", self.name)),
            name: self.name,
            endpoint: self.endpoint,
            binary: binary::find("etcd", "etcd")?,
            args,
            probe: self.ports.probe(),
            client_proxy: self.client_proxy,
            process: Mutex::default(),
        };
        Ok(EtcdMember { member, ports: self.ports, peer_proxy: self.peer_proxy })
    }
}

/// The index of the member whose process this connection comes from.
fn whose(members: &Weak<Members>, from: SocketAddr) -> Option<usize> {
    let members = members.upgrade()?;
    let members = lock(&members);
    members
        .iter()
        .position(|member| member.process().is_ok_and(|process| ownership::connects_from(process.pid(), from.port())))
}
