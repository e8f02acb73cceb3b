//! The Go library's spellings as its users write them: through the facade, on every store.

mod open;
mod verbs;

use std::future::Future;
use std::pin::Pin;

use kvdb::portworx::{Handle, Options, new};
use kvdb_testsuite::Proof;
use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;

/// A store of its own for one trial.
#[derive(Debug)]
struct Place {
    /// The Go library's name of the store.
    name: &'static str,
    /// The Go library's word for endpoints.
    machines: Vec<String>,
    directory: TempDir,
    _servers: Option<Box<dyn std::any::Any + Send + Sync>>,
}

impl Place {
    fn new(store: &str) -> Proof<Self> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("kvdb.redb").to_string_lossy().into_owned();
        let (name, machines, servers): (_, _, Option<Box<dyn std::any::Any + Send + Sync>>) = match store {
            "mem" => ("kv-mem", vec![], None),
            "redb" => ("bolt-kv", vec![file], None),
            "consul" => {
                let cluster = kvdb_servers::Consul::start(kvdb_servers::ConsulSetup::default())?;
                ("consul-kv", cluster.endpoints(), Some(Box::new(cluster) as _))
            }
            "zookeeper" => {
                let cluster = kvdb_servers::ZooKeeper::start(kvdb_servers::ZooKeeperSetup::default())?;
                ("zookeeper-kv", cluster.endpoints(), Some(Box::new(cluster) as _))
            }
            _ => {
                let cluster = kvdb_servers::Etcd::start(kvdb_servers::EtcdSetup::default())?;
                ("etcdv3-kv", cluster.endpoints(), Some(Box::new(cluster) as _))
            }
        };
        Ok(Self { name, machines, directory, _servers: servers })
    }

    fn machines(&self) -> Vec<&str> {
        self.machines.iter().map(String::as_str).collect()
    }

    /// The path of a file in the trial's directory.
    fn path(&self, file: &str) -> String {
        self.directory.path().join(file).to_string_lossy().into_owned()
    }

    async fn open(&self, options: Options) -> Proof<Handle> {
        Ok(new(self.name, "app", &self.machines(), options, None).await?)
    }
}

type Run = fn(Place) -> Pin<Box<dyn Future<Output = Proof> + Send>>;

macro_rules! on_every_store {
    ($($name:literal => $run:path;)*) => {
        const TRIALS: &[(&str, Run)] = &[$(($name, |place| Box::pin($run(place)))),*];
    };
}

on_every_store! {
    "portworx: new opens a store by the library's name, with domain, options and callback" => open::by_name;
    "portworx: register adds a store that new and version then know" => open::registered;
    "portworx: add_wrapper and remove_wrapper by the library's names" => open::wrappers;
    "portworx: register_wrapper adds a wrapper" => open::registered_wrapper;
    "portworx: what is set of locks is what is got, and the fatal callback is called" => open::settings;
    "portworx: every option is taken by the library's name" => open::options;
    "portworx: actions, flags, permissions and capabilities have the library's numbers" => verbs::numbers;
    "portworx: text and bytes are stored as they are, anything else as JSON, TTLs are seconds" => verbs::values;
    "portworx: get_val, get_with_copy and the select verbs" => verbs::selects;
    "portworx: a snapshot has its index and takes snap_put alone" => verbs::snapshot;
    "portworx: a Tx has put, get, get_val, prepare, commit and abort" => verbs::transaction;
    "portworx: an updates collector replays by prefix and index" => verbs::collector;
    "portworx: serialize and deserialize" => verbs::dump;
    "portworx: lock, lock_with_id, lock_with_timeout, is_key_locked, unlock" => verbs::locks;
    "portworx: users and members are Unsupported, naming what is lacking" => verbs::administration;
}

/// What is true of the stores in this process alone: they have no users, no members and no connection to set up.
const EMBEDDED: &[&str] = &[
    "portworx: every option is taken by the library's name",
    "portworx: users and members are Unsupported, naming what is lacking",
];

/// The trials on these stores.
#[must_use]
pub fn trials(stores: &[&'static str]) -> Vec<Trial> {
    let on_one = |store: &'static str| {
        let runs = move |name: &str| ["mem", "redb"].contains(&store) || !EMBEDDED.contains(&name);
        let trials = TRIALS.iter().filter(move |(name, _)| runs(name));
        trials.map(move |(name, run)| Trial::test(format!("{name} [{store}]"), move || start(store, *run)))
    };
    stores.iter().copied().flat_map(on_one).collect()
}

/// The names of the trials, without their stores.
pub fn names() -> impl Iterator<Item = &'static str> {
    TRIALS.iter().map(|(name, _)| *name)
}

fn start(store: &'static str, run: Run) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let trial = async { run(Place::new(store)?).await };
    let proof = runtime.block_on(async { tokio::time::timeout(kvdb_testsuite::help::SOON * 2, trial).await });
    proof.map_err(|_| Failed::from("the trial took too long"))?.map_err(|failure| Failed::from(failure.to_string()))
}
