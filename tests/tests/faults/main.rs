//! Faults of a store's servers, lines and callers under load (F4 to F9 and F12 of the fault list): many clients, watches
//! and lock holders, and afterwards every answer is held to one order.
//!
//! `KVDB_TEST_STORES` narrows the stores, `KVDB_SEED` repeats a seed that was printed, and `KVDB_FAULTS=long` makes the
//! runs on servers as long as a release wants them: 50,000 calls and more, 20 kills and 10 pauses instead of 15,000, 6
//! and 3.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// What a run proved is in its numbers.
#![allow(clippy::print_stdout)]

mod checks;
mod client;
mod cluster;
mod consul;
mod etcd;
mod holder;
mod load;
mod local;
mod locks;
mod quorum;
mod refusals;
mod restored;
mod run;
mod trials;
mod watch;
mod watchers;
mod zookeeper;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kvdb_testsuite::Store;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

/// A run on a store of this process, by its seed.
type Run = fn(&Arc<dyn Store>, u64) -> Result<(), Failed>;

fn main() -> ExitCode {
    let seed = seed();
    println!("faults seed: KVDB_SEED={seed}");
    let mut trials = Vec::new();
    for store in kvdb_tests::stores().plain {
        let name = store.name();
        if name == kvdb_etcd::FACTORY.name {
            trials.extend(trials::trials(name, etcd::start, seed));
            continue;
        }
        if name == kvdb_consul::FACTORY.name {
            trials.extend(consul::trials(seed));
            continue;
        }
        if name == kvdb_zookeeper::FACTORY.name {
            trials.extend(zookeeper::trials(seed));
            continue;
        }
        // Stores of this process; of the others a line alone is not all that can fail.
        if !store.counts_exactly() {
            continue;
        }
        let runs: [(&str, Run); 3] = [
            ("F7 answers that are lost leave one order of all calls", local::lost_answers),
            ("F7 the same without ordered updates, past revisions and native transactions", local::by_cuts),
            ("F7 a line that calls lost answers unsent writes is found", local::lies),
        ];
        for (what, run) in runs {
            let store = Arc::clone(&store);
            trials.push(Trial::test(format!("{what} [{name}]"), move || run(&store, seed)));
        }
    }
    // One after the other: the servers need the processors.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn seed() -> u64 {
    match std::env::var("KVDB_SEED") {
        Ok(seed) => seed.parse().expect("KVDB_SEED is a number"),
        Err(_) => rand::random(),
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
