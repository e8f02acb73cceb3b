//! What a Consul cluster is to be like.

use super::member::Ports;
use crate::certs::Certs;
use crate::tls::Tls;
use serde_json::{Value, json};

/// What [`Consul::start`](super::Consul::start) starts; by default one server in memory, with sessions of 1 s or more.
///
/// A server in memory runs with `-dev`, which among other things indents its JSON: not for measurements.
#[derive(Clone, Debug)]
pub struct ConsulSetup {
    pub(super) nodes: usize,
    pub(super) durable: bool,
    pub(super) default_sessions: bool,
    pub(super) acl: bool,
    pub(super) tls: Tls,
    pub(super) expired_server: bool,
    pub(super) client_proxy: bool,
    pub(super) config: Value,
}

impl Default for ConsulSetup {
    fn default() -> Self {
        Self {
            nodes: 1,
            durable: false,
            default_sessions: false,
            acl: false,
            tls: Tls::Off,
            expired_server: false,
            client_proxy: false,
            config: json!({}),
        }
    }
}

impl ConsulSetup {
    /// How many servers, 1 by default. More than one keep their data over a restart.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// One server, too, keeps its data over a restart; it takes 2 s longer to start.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Sessions live from 10 s to 24 h, as by default in production, and not from 1 s.
    #[must_use]
    pub fn default_sessions(mut self) -> Self {
        self.default_sessions = true;
        self
    }

    /// Who has no token may do nothing; see [`Consul::token`](super::Consul::token).
    #[must_use]
    pub fn acl(mut self) -> Self {
        self.acl = true;
        self
    }

    /// How clients reach it: plain text by default. The certificates are [`Consul::certs`](super::Consul::certs).
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

    /// More configuration for every server; a member of the object replaces ours of the same name.
    #[must_use]
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    pub(super) fn in_memory(&self) -> bool {
        self.nodes == 1 && !self.durable
    }

    /// The configuration file of one server.
    pub(super) fn file(&self, ports: Ports, certs: Option<&Certs>, token: Option<&str>) -> Value {
        let mut all = json!({
            "limits": {"http_max_conns_per_client": 2000},
            "disable_update_check": true,
            "leave_on_terminate": false,
            "skip_leave_on_interrupt": true,
            "autopilot": {"cleanup_dead_servers": false, "server_stabilization_time": "500ms"},
            "gossip_lan": {
                "gossip_interval": "50ms", "probe_interval": "100ms", "probe_timeout": "80ms",
                "suspicion_mult": 2, "retransmit_mult": 2,
            },
        });
        let mut add = |more: Value| {
            if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
                all.extend(more);
            }
        };
        if !self.in_memory() {
            add(json!({"performance": {"raft_multiplier": 1}}));
        }
        if !self.default_sessions {
            add(json!({"session_ttl_min": "1s"}));
        }
        if let Some(token) = token {
            let tokens = json!({"master": token, "agent": token});
            add(json!({"acl": {"enabled": true, "default_policy": "deny", "tokens": tokens}}));
        }
        if let Some(certs) = certs {
            let files = if self.expired_server { certs.expired_server() } else { certs.server_files() };
            add(json!({
                "ports": {"https": ports.https}, "ca_file": certs.ca(), "cert_file": files.cert, "key_file": files.key,
                "verify_incoming": false, "verify_incoming_https": self.tls == Tls::Mutual, "verify_outgoing": false,
            }));
        }
        add(self.config.clone());
        all
    }
}
