//! `kvdb group`: who is there while a command runs.

use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::command::{Kvdb, pid, until};

#[test]
fn a_member_is_there_while_its_command_runs() {
    let kvdb = Kvdb::new();
    let script = "echo $KVDB_MEMBER_ID; exit 7";
    let ran = kvdb.run(&["group", "join", "workers", "--id", "me", "--data", "here", "--", "sh", "-c", script]);
    assert_eq!((ran.code, ran.out.as_str()), (7, "me\n"), "{ran:?}");
    let random = [0, 1].map(|_| kvdb.ok(&["group", "join", "workers", "--", "sh", "-c", "echo $KVDB_MEMBER_ID"]));
    assert!(random[0].trim().len() == 32 && random[0] != random[1], "{random:?}");
    assert_eq!(kvdb.ok(&["group", "list", "workers"]), "");
    // The member was a key of the group's directory.
    let mut watch = kvdb.start(&["watch", "workers/me", "--after", "1", "--json"]);
    let put: serde_json::Value = serde_json::from_str(&watch.line()).unwrap();
    assert_eq!((&put["key"], &put["value"], &put["event"]), (&json!("workers/me"), &json!("here"), &json!("put")));
    assert!(watch.line().contains("\"event\":\"delete\""));
}

#[test]
fn one_that_died_is_seen_until_its_ttl_is_over() {
    let kvdb = Kvdb::new();
    let script = "echo $$; exec sleep 600";
    let arguments =
        ["group", "join", "workers", "--id", "me", "--data", "here", "--ttl", "2s", "--", "sh", "-c", script];
    let mut dead = kvdb.start(&arguments);
    let child = pid(dead.line().parse().unwrap());
    dead.signal(Signal::KILL);
    kill_process(child, Signal::KILL).unwrap();
    dead.end();
    let list = until("the file is free", || {
        let ran = kvdb.run(&["group", "list", "workers"]);
        (ran.code == 0).then_some(ran.out)
    });
    assert!(list.starts_with("me\t") && list.ends_with("\there\n"), "{list}");
    let member = kvdb.run(&["group", "list", "workers", "--json"]).json();
    assert_eq!((&member["id"], &member["data"]), (&json!("me"), &json!("here")), "{member}");
    assert!(member["since"].as_u64().unwrap() > 1, "{member}");
    // The present set, and then the one without it.
    let mut watch = kvdb.start(&["group", "watch", "workers"]);
    assert_eq!([watch.line(), watch.line()], ["1\tme", "0"]);
    watch.signal(Signal::INT);
    assert_eq!(watch.end().code, 0);
    let mut watch = kvdb.start(&["group", "watch", "workers", "--json"]);
    assert_eq!(watch.line(), "{\"members\":[]}");
}

#[test]
fn an_interrupt_ends_the_command_and_the_membership() {
    let kvdb = Kvdb::new();
    let script = "trap 'echo bye; exit 3' INT TERM; echo up; while :; do sleep 0.05; done";
    let mut member = kvdb.start(&["group", "join", "workers", "--ttl", "1h", "--", "sh", "-c", script]);
    assert_eq!(member.line(), "up");
    member.signal(Signal::INT);
    let ran = member.end();
    assert_eq!((ran.code, ran.out.as_str()), (3, "bye\n"), "{ran:?}");
    assert_eq!(kvdb.ok(&["group", "list", "workers"]), "");
}

#[test]
fn bad_input_is_refused_and_runs_nothing() {
    let kvdb = Kvdb::new();
    for arguments in [
        ["group"].as_slice(),
        &["group", "join", "workers"],
        &["group", "join", "_kvdb", "--", "touch", "ran"],
        &["group", "join", "", "--", "touch", "ran"],
        &["group", "join", "workers", "--id", "a/b", "--", "touch", "ran"],
        &["group", "join", "workers", "--id", "", "--", "touch", "ran"],
        &["group", "join", "workers", "--ttl", "0s", "--", "touch", "ran"],
        &["group", "list", "a/../b"],
        &["group", "watch", "a/../b"],
    ] {
        kvdb.fails(2, arguments);
        assert!(!kvdb.path("ran").exists(), "{arguments:?}");
    }
}
