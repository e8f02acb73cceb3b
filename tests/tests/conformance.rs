//! The conformance suite over every store, and the trials of the contract that need the facade.
//! `KVDB_TEST_STORES=memory,redb` narrows the stores, `KVDB_TEST_WRAPPERS=log,no-quorum` or `none` what the suite runs
//! under once more.

use std::process::ExitCode;

use kvdb_tests::{dumps, facade, portworx, readme, statements, stores, wrapped, wrappers};

fn main() -> ExitCode {
    let stores = stores();
    let mut extra = facade::trials();
    extra.extend(portworx::trials(&stores.iter().map(|store| store.name()).collect::<Vec<_>>()));
    extra.extend(wrappers::trials(&stores));
    extra.extend(dumps::trials());
    let names: Vec<String> = extra.iter().map(|trial| trial.name().to_owned()).collect();
    // A run on no store of them still has their names.
    let all = names.iter().cloned().chain(portworx::names().map(str::to_owned)).collect();
    extra.push(statements::trial(names));
    extra.push(readme::trial(all));
    let wrapped = wrapped(&stores);
    kvdb_testsuite::main([stores, wrapped].concat(), extra)
}
