use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use kvdb_core::{Backend, Capabilities, Limits, Options, Result, Secret};
use kvdb_servers::{Etcd as Cluster, EtcdSetup};
use kvdb_testsuite::{Place, Store, Trial};
use tokio::sync::OnceCell;

use crate::servers::{blocking, shared};

/// The user of [`Way::User`] has this prefix, in which every trial's domain lies, and nothing else.
const PREFIX: &str = "trial-";
const USER: (&str, &str) = ("suite", "only its prefix");

/// How etcd is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    One,
    Three,
    User,
}

/// etcd: real servers, which trials share unless they restart or compact them.
#[derive(Debug)]
pub struct Etcd {
    way: Way,
    shared: OnceCell<Arc<Cluster>>,
}

/// Where a trial takes place: a cluster, and the user that it opens it as.
#[derive(Debug)]
struct InCluster {
    cluster: Arc<Cluster>,
    way: Way,
    own: bool,
}

impl Etcd {
    const fn new(way: Way) -> Self {
        Self { way, shared: OnceCell::const_new() }
    }

    /// One node.
    #[must_use]
    pub const fn one() -> Self {
        Self::new(Way::One)
    }

    /// Three nodes.
    #[must_use]
    pub const fn three() -> Self {
        Self::new(Way::Three)
    }

    /// One node with users, as one that has only its prefix (contract 11.3).
    #[must_use]
    pub const fn as_user() -> Self {
        Self::new(Way::User)
    }

    async fn start(&self) -> Result<Arc<Cluster>> {
        let way = self.way;
        blocking(move || {
            let setup = EtcdSetup::default();
            match way {
                Way::One => Cluster::start(setup),
                Way::Three => Cluster::start(setup.nodes(3)),
                Way::User => with_user(Cluster::start(setup.auth())?),
            }
        })
        .await
        .map(Arc::new)
    }
}

fn with_user(cluster: Cluster) -> io::Result<Cluster> {
    let (name, password) = USER;
    for arguments in [
        vec!["user", "add", &format!("{name}:{password}")],
        vec!["role", "add", name],
        vec!["role", "grant-permission", name, "--prefix=true", "readwrite", PREFIX],
        vec!["user", "grant-role", name, name],
    ] {
        let output = cluster.etcdctl(&arguments)?;
        if !output.status.success() {
            return Err(io::Error::other(format!(
                "etcdctl {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            )));
        }
    }
    Ok(cluster)
}

#[async_trait]
impl Store for Etcd {
    fn name(&self) -> &'static str {
        kvdb_etcd::FACTORY.name
    }

    fn capabilities(&self) -> Capabilities {
        match self.way {
            // etcd lets root alone compact: the call answers PermissionDenied.
            Way::User => kvdb_etcd::FACTORY.capabilities - Capabilities::COMPACT,
            _ => kvdb_etcd::FACTORY.capabilities,
        }
    }

    fn limits(&self) -> Limits {
        (kvdb_etcd::FACTORY.limits)()
    }

    fn unsupported(&self) -> &'static [&'static str] {
        &[]
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
        // What a restart keeps of a lease is redb's promise (6.8): etcd begins every lease anew with its leader.
        !trial.name.starts_with("6.8 ")
    }

    async fn place(&self) -> Result<Box<dyn Place>> {
        let cluster = Arc::clone(self.shared.get_or_try_init(|| self.start()).await?);
        Ok(Box::new(InCluster { cluster, way: self.way, own: false }))
    }

    async fn place_of_its_own(&self) -> Result<Box<dyn Place>> {
        Ok(Box::new(InCluster { cluster: self.start().await?, way: self.way, own: true }))
    }
}

#[async_trait]
impl Place for InCluster {
    async fn connect(&self, options: &Options) -> Result<Arc<dyn Backend>> {
        let options = match self.way {
            Way::User => options.clone().username(USER.0).password(&Secret::new(USER.1)),
            _ => options.clone(),
        };
        (kvdb_etcd::FACTORY.connect)(self.cluster.endpoints(), options).await
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
