//! What a ZooKeeper ensemble is to be like.

use super::member::Ports;
use crate::certs::Certs;
use crate::tls::Tls;
use std::path::Path;

/// What [`ZooKeeper::start`](super::ZooKeeper::start) starts; by default one server with ticks of 500 ms, so that
/// sessions time out after 1 s to 40 s, which removes empty containers after half a second.
#[derive(Clone, Debug)]
pub struct ZooKeeperSetup {
    pub(super) nodes: usize,
    pub(super) tls: Tls,
    pub(super) expired_server: bool,
    pub(super) client_proxy: bool,
    pub(super) super_user: bool,
    pub(super) max_client_cnxns: u32,
    pub(super) container_check_ms: u64,
    pub(super) config: Vec<String>,
}

impl Default for ZooKeeperSetup {
    fn default() -> Self {
        Self {
            nodes: 1,
            tls: Tls::Off,
            expired_server: false,
            client_proxy: false,
            super_user: false,
            max_client_cnxns: 0,
            container_check_ms: 500,
            config: Vec::new(),
        }
    }
}

impl ZooKeeperSetup {
    /// How many servers, 1 by default.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// How clients reach it: plain text by default. The certificates are
    /// [`ZooKeeper::certs`](super::ZooKeeper::certs).
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Every server shows a certificate that has expired.
    #[must_use]
    pub fn expired_server(mut self) -> Self {
        self.expired_server = true;
        self
    }

    /// With a proxy before each server, which clients are told of in place of the server:
    /// [`Member::client_proxy`](crate::Member::client_proxy).
    #[must_use]
    pub fn client_proxy(mut self) -> Self {
        self.client_proxy = true;
        self
    }

    /// With [`ZooKeeper::SUPER`](super::ZooKeeper::SUPER), whom no list of rights keeps from anything.
    #[must_use]
    pub fn super_user(mut self) -> Self {
        self.super_user = true;
        self
    }

    /// How many connections a client's host may have; 0, the default, is any number. ZooKeeper's own default is 60.
    #[must_use]
    pub fn max_client_cnxns(mut self, connections: u32) -> Self {
        self.max_client_cnxns = connections;
        self
    }

    /// How often empty containers are removed, in milliseconds; 500 by default. ZooKeeper's own default is a minute.
    #[must_use]
    pub fn container_check_ms(mut self, interval: u64) -> Self {
        self.container_check_ms = interval;
        self
    }

    /// One more line of configuration for every server; it wins over ours of the same name.
    #[must_use]
    pub fn config(mut self, line: &str) -> Self {
        self.config.push(line.to_owned());
        self
    }

    /// The configuration file of one server.
    pub(super) fn file(
        &self,
        ports: Ports,
        all: &[Ports],
        data: &Path,
        certs: Option<&Certs>,
        key_store: &Path,
    ) -> String {
        let mut lines = vec![
            "tickTime=500".to_owned(),
            "maxSessionTimeout=40000".to_owned(),
            "initLimit=20".to_owned(),
            "syncLimit=4".to_owned(),
            format!("dataDir={}", data.display()),
            format!("maxClientCnxns={}", self.max_client_cnxns),
            "4lw.commands.whitelist=*".to_owned(),
            "admin.enableServer=false".to_owned(),
        ];
        if all.len() == 1 {
            lines.push(format!("clientPort={}", ports.client));
            lines.push("clientPortAddress=127.0.0.1".to_owned());
        } else {
            lines.push("standaloneEnabled=false".to_owned());
            lines.push("quorumListenOnAllIPs=false".to_owned());
            lines.extend(all.iter().enumerate().map(|(index, other)| {
                let Ports { client, quorum, election, .. } = other;
                format!("server.{}=127.0.0.1:{quorum}:{election}:participant;127.0.0.1:{client}", index + 1)
            }));
        }
        if let Some(certs) = certs {
            lines.extend([
                format!("secureClientPort={}", ports.secure),
                "secureClientPortAddress=127.0.0.1".to_owned(),
                "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned(),
                format!("ssl.keyStore.location={}", key_store.display()),
                "ssl.keyStore.type=PEM".to_owned(),
                format!("ssl.trustStore.location={}", certs.ca().display()),
                "ssl.trustStore.type=PEM".to_owned(),
                format!("ssl.clientAuth={}", if self.tls == Tls::Mutual { "need" } else { "none" }),
                "ssl.hostnameVerification=false".to_owned(),
            ]);
        }
        lines.extend(self.config.iter().cloned());
        lines.join("\n") + "\n"
    }

    /// The properties of its Java machine.
    pub(super) fn properties(&self) -> Vec<String> {
        // The digest of `super:superpw`.
        const SUPER: &str = "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=";
        // The server keeps all values in memory, and its last writes once more: 500 of them unless told otherwise, which
        // with values of 1 MB is more than the heap.
        let mut args: Vec<String> = [
            "-Xms64m",
            "-Xmx768m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xshare:auto",
            "-Dzookeeper.commitLogCount=50",
        ]
        .map(str::to_owned)
        .into();
        args.push("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".to_owned());
        args.push(format!("-Dznode.container.checkIntervalMs={}", self.container_check_ms));
        if self.super_user {
            args.push(format!("-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER}"));
        }
        args
    }
}
