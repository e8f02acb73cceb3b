//! The conformance suite over every store, and the trials of the contract that need the facade.
//! `KVDB_TEST_STORES=memory,redb` narrows the stores, `KVDB_TEST_WRAPPERS=log,no-quorum` or `none` what the suite runs
//! under once more.

use std::process::ExitCode;

use kvdb_tests::{
    admin, compat, demo, dumps, facade, mirror, portworx, readme, roundtrips, statements, stores, wrapped, wrappers,
};

fn main() -> ExitCode {
    if let Some(child) = mirror::child() {
        return child;
    }
    let stores = stores();
    let mut extra = facade::trials();
    let plain: Vec<&str> = stores.plain.iter().map(|store| store.name()).collect();
    extra.extend(portworx::trials(&plain));
    extra.extend(admin::trials(&plain));
    extra.extend(wrappers::trials(&stores.plain));
    extra.extend(compat::trials(&stores.plain));
    extra.extend(dumps::trials());
    extra.extend(demo::trials(&stores.plain));
    extra.extend(mirror::trials(&stores.plain));
    if stores.plain.iter().any(|store| store.name().starts_with("etcd")) {
        extra.extend(roundtrips::trials());
    }
    // A run on no store of them still has their names.
    let elsewhere = portworx::names().chain(compat::names()).map(str::to_owned);
    let names: Vec<String> = extra.iter().map(|trial| trial.name().to_owned()).chain(elsewhere).collect();
    extra.push(statements::trial(names.clone()));
    extra.push(readme::trial(names));
    let wrapped = wrapped(&stores.plain);
    kvdb_testsuite::main([stores.plain, stores.otherwise, wrapped].concat(), extra)
}
