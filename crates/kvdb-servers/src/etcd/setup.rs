//! What an etcd cluster is to be like.

use crate::tls::Tls;
use std::time::Duration;

/// What [`Etcd::start`](super::Etcd::start) starts; by default one node with fast elections that writes without fsync.
#[derive(Clone, Debug)]
pub struct EtcdSetup {
    pub(super) nodes: usize,
    pub(super) tls: Tls,
    pub(super) expired_server: bool,
    pub(super) client_name: String,
    pub(super) auth: bool,
    pub(super) token_ttl: Option<Duration>,
    pub(super) timing: Timing,
    pub(super) fsync: bool,
    pub(super) client_proxy: bool,
    pub(super) peer_proxy: bool,
    pub(super) extra_args: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Timing {
    Fast,
    Servers,
    Set { heartbeat: Duration, election: Duration },
}

impl Default for EtcdSetup {
    fn default() -> Self {
        Self {
            nodes: 1,
            tls: Tls::Off,
            expired_server: false,
            client_name: super::ROOT.0.to_owned(),
            auth: false,
            token_ttl: None,
            timing: Timing::Fast,
            fsync: false,
            client_proxy: false,
            peer_proxy: false,
            extra_args: Vec::new(),
        }
    }
}

impl EtcdSetup {
    /// How many members; 1 by default.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// How clients reach it: plain text by default. The certificates are [`Etcd::certs`](super::Etcd::certs); members
    /// speak plain text to each other.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Every member shows a certificate that has expired.
    #[must_use]
    pub fn expired_server(mut self) -> Self {
        self.expired_server = true;
        self
    }

    /// The common name of the client certificates, `root` by default: the user, where there are users and no password
    /// is told.
    #[must_use]
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = name.into();
        self
    }

    /// With users: `root` whose password is `rootpw`, and authentication switched on.
    #[must_use]
    pub fn auth(mut self) -> Self {
        self.auth = true;
        self
    }

    /// How long a token lives that nobody uses; whole seconds, 300 by default.
    #[must_use]
    pub fn token_ttl(mut self, ttl: Duration) -> Self {
        self.token_ttl = Some(ttl);
        self
    }

    /// The heartbeat interval and the election timeout, instead of 10 ms and 100 ms for one node, 50 ms and 500 ms for
    /// more. The shortest lease is 1.5 election timeouts, rounded up to whole seconds.
    #[must_use]
    pub fn timing(mut self, heartbeat: Duration, election: Duration) -> Self {
        self.timing = Timing::Set { heartbeat, election };
        self
    }

    /// The server's own timing: heartbeats of 100 ms, elections after 1 s.
    #[must_use]
    pub fn default_timing(mut self) -> Self {
        self.timing = Timing::Servers;
        self
    }

    /// Writes with fsync, as in production: for measurements.
    #[must_use]
    pub fn fsync(mut self) -> Self {
        self.fsync = true;
        self
    }

    /// With a proxy before each member, which clients are told of in place of the member:
    /// [`Member::client_proxy`](crate::Member::client_proxy).
    #[must_use]
    pub fn client_proxy(mut self) -> Self {
        self.client_proxy = true;
        self
    }

    /// With a proxy between each member and its peers, for [`Etcd::isolate`](super::Etcd::isolate).
    #[must_use]
    pub fn peer_proxy(mut self) -> Self {
        self.peer_proxy = true;
        self
    }

    /// More flags for every member.
    #[must_use]
    pub fn extra_args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.extra_args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The flags that are the same for every member.
    pub(super) fn flags(&self) -> Vec<String> {
        let mut flags = vec!["--log-level=warn".to_owned()];
        let timing = match (self.timing, self.nodes) {
            (Timing::Servers, _) => None,
            (Timing::Set { heartbeat, election }, _) => Some((heartbeat.as_millis(), election.as_millis())),
            (Timing::Fast, 1) => Some((10, 100)),
            (Timing::Fast, _) => Some((50, 500)),
        };
        if let Some((heartbeat, election)) = timing {
            flags.push(format!("--heartbeat-interval={heartbeat}"));
            flags.push(format!("--election-timeout={election}"));
        }
        if let Some(ttl) = self.token_ttl {
            flags.push("--auth-token=simple".to_owned());
            flags.push(format!("--auth-token-ttl={}", ttl.as_secs()));
        }
        if !self.fsync {
            flags.push("--unsafe-no-fsync".to_owned());
        }
        flags.extend(self.extra_args.iter().cloned());
        flags
    }
}
