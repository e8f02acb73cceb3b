use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kvdb_core::{Backend, Capabilities, Limits, Options, Result};
use kvdb_servers::{Consul as Cluster, ConsulSetup};
use kvdb_testsuite::{Place, Store, Trial};
use tokio::sync::OnceCell;

use crate::servers::{blocking, shared};

/// The token of [`Way::Token`] may write below this prefix, in which every trial's domain lies, and nothing else.
const PREFIX: &str = "trial-";

/// How Consul is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    One,
    Three,
    Token,
}

/// Consul: real servers that grant TTLs from 1 s on, which trials share unless they restart them.
#[derive(Debug)]
pub struct Consul {
    way: Way,
    shared: OnceCell<Arc<Servers>>,
}

#[derive(Debug)]
struct Servers {
    cluster: Cluster,
    token: Option<String>,
}

/// Where a trial takes place.
#[derive(Debug)]
struct There {
    servers: Arc<Servers>,
    own: bool,
}

impl Consul {
    const fn new(way: Way) -> Self {
        Self { way, shared: OnceCell::const_new() }
    }

    /// One server.
    #[must_use]
    pub const fn one() -> Self {
        Self::new(Way::One)
    }

    /// Three servers.
    #[must_use]
    pub const fn three() -> Self {
        Self::new(Way::Three)
    }

    /// One server that denies by default, with a token for a prefix.
    #[must_use]
    pub const fn with_token() -> Self {
        Self::new(Way::Token)
    }

    async fn start(&self, durable: bool) -> Result<Arc<Servers>> {
        let way = self.way;
        let servers = blocking(move || {
            let setup = if durable { ConsulSetup::default().durable() } else { ConsulSetup::default() };
            let cluster = Cluster::start(match way {
                Way::One => setup,
                // Patient enough that no leader falls because many trials share a small machine.
                Way::Three => setup.nodes(3).config(serde_json::json!({"performance": {"raft_multiplier": 4}})),
                Way::Token => setup.acl(),
            })?;
            let token = (way == Way::Token).then(|| cluster.token_for_prefix(PREFIX)).transpose()?;
            Ok(Servers { cluster, token })
        });
        servers.await.map(Arc::new)
    }
}

#[async_trait]
impl Store for Consul {
    fn name(&self) -> &'static str {
        kvdb_consul::FACTORY.name
    }

    fn capabilities(&self) -> Capabilities {
        kvdb_consul::FACTORY.capabilities
    }

    fn limits(&self) -> Limits {
        Limits { ttl_min: Duration::from_secs(1), ..(kvdb_consul::FACTORY.limits)() }
    }

    fn unsupported(&self) -> &'static [&'static str] {
        &[
            "get at",
            "list at",
            "lease_info",
            "compact",
            "add_user",
            "remove_user",
            "grant_user_access",
            "revoke_user_access",
            "txn version",
            "defragment",
        ]
    }

    fn shares_the_machine(&self) -> bool {
        true
    }

    fn label(&self) -> String {
        match self.way {
            Way::One => self.name().to_owned(),
            Way::Three => format!("{} of three", self.name()),
            Way::Token => format!("{} with a token", self.name()),
        }
    }

    fn runs(&self, trial: &Trial) -> bool {
        // What a restart keeps of a lease is redb's promise (6.8).
        !trial.name.starts_with("6.8 ")
    }

    async fn place(&self) -> Result<Box<dyn Place>> {
        let servers = Arc::clone(self.shared.get_or_try_init(|| self.start(false)).await?);
        Ok(Box::new(There { servers, own: false }))
    }

    async fn place_of_its_own(&self) -> Result<Box<dyn Place>> {
        Ok(Box::new(There { servers: self.start(true).await?, own: true }))
    }
}

#[async_trait]
impl Place for There {
    async fn connect(&self, options: &Options) -> Result<Arc<dyn Backend>> {
        let options = match &self.servers.token {
            Some(token) => options.clone().set("acl_token", token),
            None => options.clone(),
        };
        (kvdb_consul::FACTORY.connect)(self.servers.cluster.endpoints(), options).await
    }

    async fn restart(&self) -> Result<()> {
        if !self.own {
            return Err(shared());
        }
        let servers = Arc::clone(&self.servers);
        blocking(move || {
            let members = servers.cluster.members();
            members.iter().try_for_each(|member| member.kill())?;
            members.iter().try_for_each(|member| member.launch())?;
            servers.cluster.ready()
        })
        .await
    }
}
