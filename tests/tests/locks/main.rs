//! Locks on real servers: two processes that pass one on a thousand times, and holders that are killed or cut off. And, on
//! every store, leaders that stand still.
//!
//! `KVDB_TEST_STORES` narrows the stores, `KVDB_SEED` repeats a seed that was printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// What a run proved is in its numbers.
#![allow(clippy::print_stdout)]

mod child;
mod election;
mod expired;
mod killed;
mod servers;
mod turns;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::servers::Start;

fn main() -> ExitCode {
    if let Some(code) = child::run() {
        return code;
    }
    let seed = seed();
    println!("locks seed: KVDB_SEED={seed}");
    let mut trials = Vec::new();
    for (name, start) in kvdb_tests::stores().plain.iter().filter_map(|store| servers::of(store.name())) {
        let mut trial = |what: &str, run: fn(&'static str, Start, u64) -> Result<(), Failed>| {
            trials.push(Trial::test(format!("{what} [{name}]"), move || run(name, start, seed)));
        };
        trial("8.1 8.6 two processes pass a lock on and never hold it at once", turns::passed_on);
        trial("8.2 a lock whose holder's process is killed goes to the next one in time", killed::rounds);
        trial("8.1 8.2 8.5 8.6 a holder that is cut off is told before the next one holds, in time", expired::rounds);
    }
    for store in kvdb_tests::stores().plain {
        let what =
            format!("13.13 a leader that stands still past its TTL never writes beside the next [{}]", store.name());
        trials.push(Trial::test(what, move || election::paused(&store)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
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
