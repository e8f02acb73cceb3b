//! The trials of contract chapter 11, over real etcd clusters.

mod endpoints;
mod grants;
mod list;
mod members;
mod refused;
mod users;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kvdb::prelude::*;
use kvdb::{Options, Secret};
use kvdb_servers::{Etcd, EtcdSetup, ROOT};
use kvdb_testsuite::{Proof, fail};
use libtest_mimic::{Failed, Trial};

/// Longer than a trial takes on a machine with much else to do.
const LIMIT: Duration = Duration::from_secs(120);

type Run = fn(Place) -> std::pin::Pin<Box<dyn Future<Output = Proof> + Send>>;

/// What a trial needs.
#[derive(Clone, Copy)]
enum Needs {
    /// One node where authentication is on.
    Users,
    /// Three nodes.
    Three,
}

/// The trials by their names without the store's.
const TRIALS: &[(&str, Needs, Run)] = &[
    ("11.1 a user is added with its role and removed with it", Needs::Users, |on| Box::pin(users::added(on))),
    ("11.1 what failed half way is finished by asking again", Needs::Users, |on| Box::pin(users::half_way(on))),
    ("11.1 what is there is not taken over", Needs::Users, |on| Box::pin(users::taken(on))),
    ("11.2 each permission is what it says, below its directory alone", Needs::Users, |on| Box::pin(grants::each(on))),
    ("11.2 the locks of a directory are granted with it", Needs::Users, |on| Box::pin(grants::locks(on))),
    ("11.2 what is revoked is refused, and twice is Ok", Needs::Users, |on| Box::pin(grants::revoked(on))),
    ("11.2 the whole domain, and no other", Needs::Users, |on| Box::pin(grants::whole_domain(on))),
    ("11.3 one that has only its prefix administers nothing", Needs::Users, |on| Box::pin(refused::every_call(on))),
    ("11.4 a learner is added, started, promoted and removed", Needs::Three, |on| Box::pin(members::learner(on))),
    ("11.4 a voter is added by name, and moved", Needs::Three, |on| Box::pin(members::moved(on))),
    ("11.4 removing twice is Ok, and 10.0.0.1 is not 10.0.0.10", Needs::Three, |on| Box::pin(members::removed(on))),
    ("11.5 every member is told, dead and stopped ones as unhealthy", Needs::Three, |on| Box::pin(list::unhealthy(on))),
    ("11.5 members are listed without a quorum, in parallel", Needs::Three, |on| Box::pin(list::no_quorum(on))),
    ("11.6 calls go where the endpoints say", Needs::Three, |on| Box::pin(endpoints::set(on))),
    ("11.6 defragmenting gives room back; a wrong endpoint is typed", Needs::Three, |on| {
        Box::pin(endpoints::defragment(on))
    }),
    ("11.7 an unknown name in update is MemberNotFound", Needs::Three, |on| Box::pin(members::unknown(on))),
];

/// The trials; on `stores` without etcd none is run.
#[must_use]
pub fn trials(stores: &[&'static str]) -> Vec<Trial> {
    let name = kvdb_etcd::FACTORY.name;
    let skipped = !stores.contains(&name);
    let all = TRIALS.iter().map(|(trial, needs, run)| {
        let (needs, run) = (*needs, *run);
        Trial::test(format!("{trial} [{name}]"), move || start(needs, run)).with_ignored_flag(skipped)
    });
    all.collect()
}

fn start(needs: Needs, run: Run) -> Result<(), Failed> {
    let setup = match needs {
        Needs::Users => EtcdSetup::default().auth(),
        Needs::Three => EtcdSetup::default().nodes(3),
    };
    let place = Place { cluster: Arc::new(Etcd::start(setup)?) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let proof = runtime.block_on(async { tokio::time::timeout(LIMIT, run(place)).await.map_err(|_| "over time") })?;
    proof.map_err(|failure| Failed::from(failure.to_string()))
}

/// A cluster, and how to open it.
#[derive(Clone)]
struct Place {
    cluster: Arc<Etcd>,
}

impl Place {
    /// Opens the domain `app` on all members.
    async fn open(&self) -> Proof<Handle> {
        self.open_at(&self.cluster.endpoints(), "app", Options::new()).await
    }

    async fn open_at(&self, endpoints: &[String], domain: &str, options: Options) -> Proof<Handle> {
        let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
        Ok(kvdb::new(kvdb_etcd::FACTORY.name, domain, &endpoints, options).await?)
    }

    /// The domain `app` as this user.
    async fn open_as(&self, user: &str, password: &str) -> kvdb::Result<Handle> {
        let endpoints = self.cluster.endpoints();
        let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
        let options = Options::new().username(user).password(&Secret::new(password));
        kvdb::new(kvdb_etcd::FACTORY.name, "app", &endpoints, options).await
    }

    async fn root(&self) -> Proof<Handle> {
        Ok(self.open_as(ROOT.0, ROOT.1).await?)
    }

    /// What etcd's own command says, and whether it is content.
    async fn etcdctl(&self, arguments: &[&str]) -> Proof<(bool, String)> {
        let cluster = Arc::clone(&self.cluster);
        // Its own 5 s are short where many clusters run beside it.
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--command-timeout=60s"]).collect();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let output = tokio::task::spawn_blocking(move || cluster.etcdctl(&arguments)).await??;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }

    /// The same, which must be content.
    async fn must(&self, arguments: &[&str]) -> Proof {
        match self.etcdctl(arguments).await? {
            (true, _) => Ok(()),
            (false, text) => fail!("etcdctl {arguments:?}: {text}"),
        }
    }
}

/// Runs what waits for servers beside the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Proof<T> {
    Ok(tokio::task::spawn_blocking(work).await??)
}
