//! The trials of the contract's chapter 13 that are about `kvdb-compat`, over each store.

mod code_server;
mod events;
mod kvi;
mod locks;
mod registry;
mod resume;
mod temp_keys;
mod tree;
mod watches;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use kvdb::prelude::*;
use kvdb_compat::hmetcd::Kvi;
use kvdb_compat::libkv::KvStore;
use kvdb_testsuite::help::SOON;
use kvdb_testsuite::{Place, Proof, Store};
use libtest_mimic::{Failed, Trial};

type Run = fn(On) -> Pin<Box<dyn Future<Output = Proof> + Send>>;

macro_rules! table {
    ($($table:ident { $($name:literal => $run:path;)* })*) => {$(
        const $table: &[(&str, Run)] = &[$(($name, |on| Box::pin($run(on)))),*];
    )*};
}

table! {
    ON_EVERY_STORE {
        "13.1 get tells a value with its existence, and deleting nothing is Ok" => kvi::values;
        "13.1 what was stored is there after close, and close ends the handle alone" => kvi::close;
        "13.1 get_range includes both ends and is sorted" => kvi::range;
        "13.2 transaction chooses its branch by each operator" => kvi::operators;
        "13.2 an absent key fails every operator" => kvi::absent;
        "13.2 another operator is an error and nothing runs" => kvi::no_operator;
        "13.2 a transaction is one step among many writers" => kvi::one_step;
        "13.2 tas is false on absence, and one of many wins" => kvi::tas;
        "13.3 temp_key is there on return, and heals a deletion and an overwrite" => temp_keys::heals;
        "13.3 temp_key outlives its TTL, and goes with its handle" => temp_keys::lives_with_its_handle;
        "13.4 dist_lock excludes others, and a second one on the same handle is LockHeld" => locks::excludes;
        "13.4 dist_lock waits for ever" => locks::waits;
        "13.4 dist_timed_lock waits its seconds, and 0 tries once" => locks::timed;
        "13.4 dist_unlock is idempotent, and a wait that was given up leaves nothing" => locks::unlock;
        "13.4 a lock that was lost may be taken anew" => locks::lost;
        "13.4 the lock's name is DIST_LOCK_KEY unless set" => locks::name;
        "13.5 watch blocks until the first change" => watches::first_change;
        "13.5 watch_with_cb calls with what its op is about, and the user's data" => watches::calls;
        "13.5 watch_with_cb ends on false" => watches::ends_on_false;
        "13.5 watch_with_cb ends on delete, unless the option is off" => watches::ends_on_delete;
        "13.5 nothing is called after cancel, close or drop" => watches::cancelled;
        "13.5 a watch that breaks tells why" => watches::breaks;
        "code-server: a persistent lease, snapshots and waits by the library's names" => code_server::names;
        "code-server: a record that does not transform is not in the tree" => code_server::transform;
        "13.11 keys and directories are read, listed and there" => tree::read;
        "13.11 get_tree has all below, sorted, or the one key" => tree::get_tree;
        "13.11 delete takes a key, or with recursive exactly its directory" => tree::delete;
        "13.11 watch begins with INIT and tells each change with its pair" => events::watch;
        "13.11 a recursive watch has the key and all below it" => events::recursive;
        "13.11 watch_tree has the whole tree with each event" => events::watch_tree;
        "13.11 deletion of the watched directory ends the events" => events::deleted;
        "13.11 a directory that one transaction empties and fills again is not deleted" => events::refilled;
        "13.11 a watch that breaks ends with ERROR" => events::breaks;
        "13.11 after an index the events go on without INIT" => resume::goes_on;
        "13.11 after a gap the events begin anew with INIT" => resume::begins_anew;
    }
    IN_MEMORY {
        "13.1 mem: is one store for the process, alive after close" => kvi::shared;
        "13.1 open takes the library's endpoints and options" => kvi::open;
        "13.6 the library's constants and types by name" => kvi::names;
        "13.11 actions, errors and events have the library's numbers, names and texts" => registry::names;
        "13.12 register makes a store known to new, in place of another too" => registry::register;
        "13.12 new opens what is linked in, and lists the names where there is none" => registry::new;
        "13.12 create_endpoints puts the scheme in front" => registry::endpoints;
    }
}

/// The trials over these stores; those that are about memory alone run if it is among them.
#[must_use]
pub fn trials(stores: &[Arc<dyn Store>]) -> Vec<Trial> {
    let on_one = |store: &Arc<dyn Store>| {
        let here = if store.name() == "mem" { IN_MEMORY } else { &[] };
        let store = Arc::clone(store);
        ON_EVERY_STORE.iter().chain(here).map(move |(name, run)| {
            let (store, run) = (Arc::clone(&store), *run);
            Trial::test(format!("{name} [{}]", store.label()), move || start(store, run))
        })
    };
    stores.iter().flat_map(on_one).collect()
}

/// The names of the trials, without their stores.
pub fn names() -> impl Iterator<Item = &'static str> {
    ON_EVERY_STORE.iter().chain(IN_MEMORY).map(|(name, _)| *name)
}

fn start(store: Arc<dyn Store>, run: Run) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let trial = async {
        let place = store.place().await?;
        let domain = format!("trial-{:016x}", rand::random::<u64>());
        run(On { store, place: place.into(), domain }).await
    };
    let proof = runtime.block_on(async { tokio::time::timeout(SOON * 2, trial).await });
    proof.map_err(|_| Failed::from("the trial took too long"))?.map_err(|failure| Failed::from(failure.to_string()))
}

/// A place in a store, and a domain that nobody else uses.
#[derive(Clone, Debug)]
struct On {
    store: Arc<dyn Store>,
    place: Arc<dyn Place>,
    domain: String,
}

impl On {
    /// One more handle, as an app has it.
    async fn open(&self) -> Result<Handle> {
        self.open_with(Options::new()).await
    }

    async fn open_with(&self, options: Options) -> Result<Handle> {
        // Short, so that a holder's death shows soon.
        let ttl = std::time::Duration::from_secs(3).max(self.store.limits().ttl_min);
        Handle::open(
            self.store.name(),
            self.place.connect(&Options::new()).await?,
            &self.domain,
            &options.lock_ttl(ttl),
        )
    }

    async fn kvi(&self) -> Result<Kvi> {
        Ok(Kvi::over(self.open().await?))
    }

    async fn libkv(&self) -> Result<KvStore> {
        Ok(KvStore::over(self.open().await?))
    }

    fn has(&self, capability: Capabilities) -> bool {
        self.store.capabilities().contains(capability)
    }
}
