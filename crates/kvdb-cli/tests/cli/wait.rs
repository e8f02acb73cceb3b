//! `kvdb wait`: until a key is as wanted.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::command::Kvdb;

#[test]
fn what_holds_already_is_answered_at_once() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", "1"]);
    assert_eq!(kvdb.ok(&["wait", "a"]), "a\t1\n");
    assert_eq!(kvdb.ok(&["wait", "a", "--exists", "--timeout", "1m"]), "a\t1\n");
    assert_eq!(kvdb.ok(&["wait", "a", "--value", "1"]), "a\t1\n");
    assert_eq!(kvdb.ok(&["wait", "a", "--above", "1"]), "a\t1\n");
    assert_eq!(kvdb.ok(&["wait", "b", "--absent"]), "");
    let pair = kvdb.run(&["wait", "a", "--json"]).json();
    assert_eq!((&pair["key"], &pair["value"], &pair["modified_index"]), (&json!("a"), &json!("1"), &json!(2)));
    assert_eq!(kvdb.run(&["wait", "b", "--absent", "--json"]).json(), json!({ "key": "b", "absent": true }));
}

#[test]
fn the_end_of_its_time_is_exit_code_5() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", "1"]);
    for arguments in [
        ["wait", "b", "--timeout", "100ms"].as_slice(),
        &["wait", "a", "--absent", "--timeout", "100ms"],
        &["wait", "a", "--value", "2", "--timeout", "100ms"],
        &["wait", "a", "--above", "2", "--timeout", "100ms"],
    ] {
        let err = kvdb.fails(5, arguments);
        assert!(err.contains("timed out") && err.contains(arguments[1]), "{err}");
    }
    let ran = kvdb.run(&["--json", "wait", "b", "--timeout", "100ms"]);
    assert_eq!((ran.code, &ran.error()["kind"], &ran.error()["key"]), (5, &json!("Timeout"), &json!("b")), "{ran:?}");
}

#[test]
fn it_ends_with_what_it_waits_for() {
    let kvdb = Kvdb::new();
    let started = Instant::now();
    kvdb.ok(&["put", "a", "1", "--ttl", "1s"]);
    assert_eq!(kvdb.ok(&["wait", "a", "--absent", "--timeout", "1m"]), "");
    // Not by a look now and then, nor at the end of its time.
    assert!(started.elapsed() >= Duration::from_secs(1) && started.elapsed() < Duration::from_secs(30));
    assert_eq!(kvdb.run(&["get", "a"]).code, 3);
}

#[test]
fn an_interrupt_ends_the_wait() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", "1"]);
    let wait = kvdb.command(&["wait", "b", "--log"]).spawn().unwrap();
    // It listens before it opens the store, which shows by the lock on the file.
    crate::command::until("it has the file", || {
        let ran = kvdb.run(&["get", "a"]);
        (ran.code == 1 && ran.err.contains("already open")).then_some(())
    });
    rustix::process::kill_process(rustix::process::Pid::from_child(&wait), Signal::INT).unwrap();
    assert_eq!(wait.wait_with_output().unwrap().status.code(), Some(128 + 2));
}

#[test]
fn bad_input_is_refused() {
    let kvdb = Kvdb::new();
    for arguments in [
        ["wait"].as_slice(),
        &["wait", "_kvdb"],
        &["wait", ""],
        &["wait", "a", "--exists", "--absent"],
        &["wait", "a", "--value", "1", "--above", "1"],
        &["wait", "a", "--above", "soon"],
        &["wait", "a", "--timeout", "soon"],
    ] {
        kvdb.fails(2, arguments);
    }
}
