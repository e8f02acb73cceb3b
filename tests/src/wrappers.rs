//! The trials of contract chapter 12, over each store.

mod auto;
mod log;
mod names;
mod table;
mod traffic;

use std::future::Future;
use std::sync::Arc;

use kvdb::prelude::*;
use kvdb_testsuite::decorate::{Call, Fault, Faulty};
use kvdb_testsuite::{Place, Proof, Store, ensure};
use libtest_mimic::{Failed, Trial};

/// The trials by their names without the store's.
const TRIALS: &[(&str, Run)] = &[
    ("12.1 a raised no-quorum refuses and lets pass what the table says", |on| Box::pin(table::every_call(on))),
    ("12.1 what is held and open lives under a raised no-quorum", |on| Box::pin(table::held_and_open(on))),
    ("12.1 new watches wait until no-quorum is gone", |on| Box::pin(table::watches_wait(on))),
    ("12.2 auto rises on a lost quorum and falls with a probe", |on| Box::pin(auto::lost_quorum(on))),
    ("12.2 auto rises when the store is out of reach for a while", |on| Box::pin(auto::out_of_reach(on))),
    ("12.2 an answer in between starts the time anew", |on| Box::pin(auto::answer_in_between(on))),
    ("12.2 auto counts only what was asked of the store", |on| Box::pin(auto::only_what_was_asked(on))),
    ("12.2 auto knows nothing of the last outage", |on| Box::pin(auto::forgets_the_outage(on))),
    ("12.2 auto over a healthy store stays down", |on| Box::pin(auto::stays_down(on))),
    ("12.3 log: one line a call, to tracing and to the file alike", |on| Box::pin(log::lines(on))),
    ("12.3 log: no value and no secret in any line", |on| Box::pin(log::canary(on))),
    ("12.3 log: the file is the owner's alone and appended to", |on| Box::pin(log::file(on))),
    ("12.3 log: a file that cannot be written fails no call", |on| Box::pin(log::full(on))),
    ("12.4 wrappers go on and off under traffic, and no call is lost", |on| Box::pin(traffic::on_and_off(on))),
    ("12.4 every clone sees a change at once", |on| Box::pin(traffic::every_clone(on))),
    ("12.4 log is outermost whatever the order of adding", |on| Box::pin(traffic::log_outermost(on))),
    ("12.5 a second one, an unknown one, an absent one", |on| Box::pin(names::names(on))),
    ("12.5 options that make no sense add nothing", |on| Box::pin(names::options(on))),
];

type Run = fn(On) -> std::pin::Pin<Box<dyn Future<Output = Proof> + Send>>;

/// The trials over these stores.
#[must_use]
pub fn trials(stores: &[Arc<dyn Store>]) -> Vec<Trial> {
    let all = stores.iter().flat_map(|store| TRIALS.iter().map(move |trial| (store, trial)));
    all.map(|(store, (name, run))| {
        let (store, run) = (Arc::clone(store), *run);
        Trial::test(format!("{name} [{}]", store.name()), move || {
            // One thread, so that a subscriber of this thread alone sees every line of the trial.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let limit = std::time::Duration::from_secs(60);
            let proof = runtime.block_on(async {
                let place = store.place_of_its_own().await.map_err(kvdb_testsuite::Failure::from)?;
                // Makes the linked wrappers known, as opening a store through the facade does.
                ensure!(!kvdb::wrappers().is_empty(), "no wrapper is linked");
                tokio::time::timeout(limit, run(On { store, place: place.into() })).await?
            });
            proof.map_err(|failure| Failed::from(failure.to_string()))
        })
    })
    .collect()
}

/// A place in a store.
#[derive(Clone, Debug)]
struct On {
    store: Arc<dyn Store>,
    place: Arc<dyn Place>,
}

impl On {
    /// A handle, as an app has it.
    async fn open(&self) -> Result<Handle> {
        self.open_with(Options::new()).await
    }

    async fn open_with(&self, options: Options) -> Result<Handle> {
        Handle::open(self.store.name(), self.place.connect(&Options::new()).await?, "app", &options)
    }

    /// A handle over a store on whose line `plan` says what befalls the calls.
    async fn over(&self, options: Options, plan: impl FnMut(&Call) -> Fault + Send + 'static) -> Result<Handle> {
        let faulty = Faulty::new(self.place.connect(&Options::new()).await?, plan);
        Handle::open(self.store.name(), Arc::new(faulty), "app", &options)
    }

    /// A TTL of about this length that the store grants.
    fn ttl(&self, wanted: std::time::Duration) -> std::time::Duration {
        let limits = self.store.limits();
        wanted.clamp(limits.ttl_min, limits.ttl_max.unwrap_or(std::time::Duration::MAX))
    }

    fn has(&self, capability: Capabilities) -> bool {
        self.store.capabilities().contains(capability)
    }
}
