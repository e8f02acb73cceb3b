//! A mirror between each pair of stores, and what it must do on each store.

mod faults;
mod kill;
mod pairs;
mod same;

pub use kill::child;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use kvdb::prelude::*;
use kvdb_testsuite::{Place, Proof, Store};
use libtest_mimic::{Failed, Trial};

/// The trials of every pair of these stores, and of each.
#[must_use]
pub fn trials(stores: &[Arc<dyn Store>]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for from in stores {
        for to in stores {
            let between = |name: &str| format!("mirror: {name} [{} to {}]", from.label(), to.label());
            let mut add = |name: &str, run: Run| {
                let (from, to) = (Arc::clone(from), Arc::clone(to));
                trials.push(trial(between(name), move || run(Side::of(from), Side::of(to))));
            };
            add("both sides end equal under writes", |from, to| Box::pin(pairs::under_writes(from, to)));
            add("dropped anywhere it goes on from there", |from, to| Box::pin(pairs::dropped(from, to)));
        }
        let on = |name: &str| format!("mirror: {name} [{}]", from.label());
        let mut add = |name: &str, run: Run| {
            let store = Arc::clone(from);
            trials.push(trial(on(name), move || run(Side::of(Arc::clone(&store)), Side::of(store))));
        };
        add("only differences are written, extra keys go, reserved ones stay", |a, b| {
            Box::pin(same::differences(a, b))
        });
        add("a prefix is a directory, and nothing beside it is touched", |a, b| Box::pin(same::prefix(a, b)));
        add("leased keys become permanent and go with the source's", |a, b| Box::pin(same::leased(a, b)));
        add("a transaction is one commit", |a, b| Box::pin(same::transactions(a, b)));
        add("one place of one store is refused, another one of it is not", |a, b| Box::pin(same::one_place(a, b)));
        add("of two mirrors to one place the second is refused", |a, b| Box::pin(same::two(a, b)));
        add("another source is compared, not gone on with", |a, b| Box::pin(same::other_source(a, b)));
        add("history that is gone is compared again and said so", |a, b| Box::pin(same::compacted(a, b)));
        add("writes whose answers are lost are not done by halves or twice", |a, b| {
            Box::pin(faults::lost_answers(a, b))
        });
        add("a position that others changed is not gone on with", |a, b| Box::pin(faults::position_changed(a, b)));
        add("a lock that was taken away is noticed with the next write", |a, b| Box::pin(faults::lock_taken(a, b)));
        add("a write that arrives late writes nothing", |a, b| Box::pin(faults::late(a, b)));
        add("a mirror that lost its lock writes nothing more", |a, b| Box::pin(faults::stale(a, b)));
    }
    let has = |name: &str| stores.iter().any(|store| store.name().starts_with(name));
    if has("etcd") && has("redb") {
        trials.push(trial(
            "mirror: killed at any moment it goes on from there [etcdv3 to redb]".to_owned(),
            kill::rounds,
        ));
    }
    trials
}

type Run = fn(Side, Side) -> Pin<Box<dyn Future<Output = Proof>>>;

fn trial<F: Future<Output = Proof>>(name: String, run: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(run()).map_err(|failure| Failed::from(failure.to_string()))
    })
}

/// One side of a mirror.
struct Side {
    store: Arc<dyn Store>,
}

impl Side {
    const fn of(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// A place, and a domain in it that nobody else has.
    async fn open(&self) -> kvdb::Result<There> {
        self.at(self.store.place().await?)
    }

    /// The same in a store that nobody else uses.
    async fn open_own(&self) -> kvdb::Result<There> {
        self.at(self.store.place_of_its_own().await?)
    }

    fn at(&self, place: Box<dyn Place>) -> kvdb::Result<There> {
        Ok(There { store: Arc::clone(&self.store), place, domain: format!("trial-{:016x}", rand::random::<u64>()) })
    }
}

/// A domain in a place.
struct There {
    store: Arc<dyn Store>,
    place: Box<dyn Place>,
    domain: String,
}

impl There {
    async fn handle(&self) -> kvdb::Result<Handle> {
        self.handle_in(&self.domain).await
    }

    async fn handle_in(&self, domain: &str) -> kvdb::Result<Handle> {
        let backend = self.place.connect(&Options::new()).await?;
        Handle::open(self.store.name(), backend, domain, &Options::new())
    }

    /// A handle whose calls meet with faults.
    async fn faulty(
        &self,
        plan: impl FnMut(&kvdb_testsuite::decorate::Call) -> kvdb_testsuite::decorate::Fault + Send + 'static,
    ) -> kvdb::Result<Handle> {
        let backend = self.place.connect(&Options::new()).await?;
        let faulty = kvdb_testsuite::decorate::Faulty::new(backend, plan);
        Handle::open(self.store.name(), Arc::new(faulty), &self.domain, &Options::new())
    }
}

/// Everything that is there, by name and value.
async fn content(kv: &Handle) -> kvdb::Result<Vec<(String, Bytes)>> {
    Ok(kv.list("").await?.into_iter().map(|pair| (pair.key, pair.value)).collect())
}
