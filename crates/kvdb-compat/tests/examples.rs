//! The examples print what the Go libraries' READMEs promise, and the same on every store.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::{Command, Output};

/// Each example, and what it prints.
const EXAMPLES: &[(&str, &str)] = &[
    ("code_server", include_str!("examples/code_server.txt")),
    ("hmetcd", include_str!("examples/hmetcd.txt")),
    ("libkv", include_str!("examples/libkv.txt")),
    ("portworx", include_str!("examples/portworx.txt")),
];

/// An example as `cargo test` has just built it, beside this test.
fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(name);
    assert!(program.exists(), "{program:?} is not built: `cargo build -p kvdb-compat --examples` does it");
    program
}

fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(program(name)).args(arguments).output().unwrap()
}

/// Runs every example on a store; `leave_out` are lines that it cannot print.
fn print_as_expected(uri: impl Fn(&str) -> String, leave_out: &[&str]) {
    for (name, expected) in EXAMPLES {
        let uri = uri(name);
        let output = run(name, &[&uri]);
        let (printed, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name} on {uri}: {told}");
        let expected: Vec<&str> = expected.lines().filter(|line| !leave_out.contains(line)).collect();
        assert_eq!(printed.lines().collect::<Vec<_>>(), expected, "{name} on {uri}");
        assert_eq!(told, "", "{name} on {uri}");
    }
}

#[test]
fn in_memory() {
    print_as_expected(|_| "mem:".to_owned(), &[]);
    for (name, expected) in EXAMPLES {
        assert_eq!(String::from_utf8_lossy(&run(name, &[]).stdout), *expected, "{name} without an argument");
    }
}

#[test]
fn in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let uri = |name: &str| format!("redb:{}", directory.path().join(name).display());
    // A file is open in one process at a time, and in one handle.
    print_as_expected(uri, &["Another instance gets it: false", "Unlocked.", "Another instance has it."]);
}

/// The variable that narrows the stores of all tests to a list such as `memory,redb`.
#[cfg(feature = "etcd")]
fn is_wanted(store: &str) -> bool {
    let wanted = std::env::var("KVDB_TEST_STORES").unwrap_or_default();
    wanted.is_empty() || wanted.split([',', ' ']).any(|name| name == store)
}

#[cfg(feature = "etcd")]
#[test]
fn on_etcd() {
    if !is_wanted("etcd") {
        return;
    }
    let servers = kvdb_servers::Etcd::start(kvdb_servers::EtcdSetup::default()).unwrap();
    let endpoint = servers.endpoints().remove(0);
    let host = endpoint.trim_start_matches("http://");
    // Twice: what one run leaves is not in the way of the next.
    for _ in 0..2 {
        print_as_expected(|_| format!("etcd://{host}"), &[]);
    }
    // As the Go package has endpoints.
    let (name, expected) = EXAMPLES[1];
    assert_eq!(String::from_utf8_lossy(&run(name, &[&format!("http://{host}")]).stdout), expected);
}

#[test]
fn help_is_told_and_nonsense_refused() {
    for (name, _) in EXAMPLES {
        for help in ["-h", "--help"] {
            let output = run(name, &[help]);
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && told.contains("URI") && told.contains("etcd://"), "{name}: {told}");
        }
        for nonsense in [&["--hlep"][..], &["mem:", "mem:"]] {
            let output = run(name, nonsense);
            assert_eq!(output.status.code(), Some(2), "{name} {nonsense:?}");
            assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{name} {nonsense:?}");
        }
        let output = run(name, &["nothing:"]);
        assert_eq!(output.status.code(), Some(1), "{name} on a store that is not known");
    }
}
