//! What a crash, a power cut and a failing disk leave of the redb store (F1, F2 and F3 of the fault list).
//!
//! `KVDB_SEED` repeats a seed that was printed; `KVDB_CRASH_ROUNDS` sets the number of kills (200).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// What a run proved is in its numbers.
#![allow(clippy::print_stdout)]

mod disk;
mod faults;
mod history;
mod kill;
mod model;
mod note;
mod power;
mod transfers;
mod work;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    if let Some(child) = kill::child().or_else(transfers::child) {
        return child;
    }
    let seed = seed();
    println!("crash seed: KVDB_SEED={seed}");
    let without_redb = !kvdb_tests::stores().plain.iter().any(|store| store.name() == kvdb_redb::FACTORY.name);
    let trial = |name: &str, run: fn(u64) -> Result<(), Failed>| {
        Trial::test(name, move || run(seed)).with_ignored_flag(without_redb)
    };
    let trials = vec![
        trial("F1 kill -9 loses no acknowledged write and halves none [redb]", kill::rounds),
        trial("F1 kill -9 breaks no transaction in two and lets no two overlook each other [redb]", transfers::rounds),
        trial("F2 power loss at 512 B sectors loses no acknowledged write [redb]", |seed| power::rounds(seed, 512)),
        trial("F2 power loss at 4 KiB sectors loses no acknowledged write [redb]", |seed| power::rounds(seed, 4096)),
        trial("F3 a failed write or fsync poisons the store and never acknowledges [redb]", faults::rounds),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn seed() -> u64 {
    match std::env::var("KVDB_SEED") {
        Ok(seed) => seed.parse().expect("KVDB_SEED is a number"),
        Err(_) => rand::random(),
    }
}
