//! The conformance suite over every store, and the trials of the contract that need the facade.
//! `KVDB_TEST_STORES=memory,redb` narrows the stores.

use std::process::ExitCode;

use kvdb_tests::{facade, statements, stores};

fn main() -> ExitCode {
    let mut extra = facade::trials();
    let names = extra.iter().map(|trial| trial.name().to_owned()).collect();
    extra.push(statements::trial(names));
    kvdb_testsuite::main(stores(), extra)
}
