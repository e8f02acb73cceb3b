use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kvdb_core::{Backend, Capabilities, Limits, Options, Result, Secret};
use kvdb_servers::{ZooKeeper as Cluster, ZooKeeperSetup};
use kvdb_testsuite::{Place, Store, Trial};
use tokio::sync::OnceCell;

use crate::servers::{blocking, shared};

/// Who makes every node of [`Way::User`], for itself alone.
const USER: (&str, &str) = ("suite", "only its own");

/// How ZooKeeper is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    One,
    Three,
    User,
}

/// ZooKeeper: real servers whose sessions last 1 s at least, which trials share unless they restart them.
#[derive(Debug)]
pub struct ZooKeeper {
    way: Way,
    shared: OnceCell<Arc<Cluster>>,
}

/// Where a trial takes place.
#[derive(Debug)]
struct There {
    cluster: Arc<Cluster>,
    way: Way,
    own: bool,
}

impl ZooKeeper {
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

    /// One server, as a user by the scheme `digest`.
    #[must_use]
    pub const fn as_user() -> Self {
        Self::new(Way::User)
    }

    async fn start(&self) -> Result<Arc<Cluster>> {
        let setup = ZooKeeperSetup::default().nodes(if self.way == Way::Three { 3 } else { 1 });
        blocking(move || Cluster::start(setup)).await.map(Arc::new)
    }
}

#[async_trait]
impl Store for ZooKeeper {
    fn name(&self) -> &'static str {
        kvdb_zookeeper::FACTORY.name
    }

    fn capabilities(&self) -> Capabilities {
        kvdb_zookeeper::FACTORY.capabilities
    }

    fn limits(&self) -> Limits {
        Limits { ttl_min: Duration::from_secs(1), ..(kvdb_zookeeper::FACTORY.limits)() }
    }

    fn unsupported(&self) -> &'static [&'static str] {
        &[
            "get at",
            "list at",
            "put ttl",
            "lease_info",
            "compact",
            "add_user",
            "remove_user",
            "grant_user_access",
            "revoke_user_access",
            "defragment",
        ]
    }

    fn leases_make_anew(&self) -> bool {
        true
    }

    fn shares_the_machine(&self) -> bool {
        true
    }

    fn label(&self) -> String {
        match self.way {
            Way::One => self.name().to_owned(),
            Way::Three => format!("{} of three", self.name()),
            Way::User => format!("{} as a user", self.name()),
        }
    }

    fn runs(&self, trial: &Trial) -> bool {
        // What a restart keeps of a lease is redb's promise (6.8).
        !trial.name.starts_with("6.8 ")
    }

    async fn place(&self) -> Result<Box<dyn Place>> {
        let cluster = Arc::clone(self.shared.get_or_try_init(|| self.start()).await?);
        Ok(Box::new(There { cluster, way: self.way, own: false }))
    }

    async fn place_of_its_own(&self) -> Result<Box<dyn Place>> {
        Ok(Box::new(There { cluster: self.start().await?, way: self.way, own: true }))
    }
}

#[async_trait]
impl Place for There {
    async fn connect(&self, options: &Options) -> Result<Arc<dyn Backend>> {
        let options = match self.way {
            Way::User => options.clone().username(USER.0).password(&Secret::new(USER.1)),
            _ => options.clone(),
        };
        (kvdb_zookeeper::FACTORY.connect)(self.cluster.endpoints(), options).await
    }

    async fn restart(&self) -> Result<()> {
        if !self.own {
            return Err(shared());
        }
        let cluster = Arc::clone(&self.cluster);
        blocking(move || {
            let members = cluster.members();
            members.iter().try_for_each(|member| member.kill())?;
            members.iter().try_for_each(|member| member.launch())?;
            cluster.ready()
        })
        .await
    }
}
