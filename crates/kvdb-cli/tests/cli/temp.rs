//! `kvdb temp`: a key that is there while a command runs.

use rustix::process::{Signal, kill_process};

use crate::command::{Kvdb, pid, until};

#[test]
fn the_key_goes_with_the_command_whose_exit_code_is_ours() {
    let kvdb = Kvdb::new();
    assert_eq!(kvdb.ok(&["temp", "//alive/me/", "--", "sh", "-c", "echo $KVDB_KEY"]), "alive/me\n");
    assert_eq!(kvdb.run(&["temp", "alive/me", "--", "sh", "-c", "exit 7"]).code, 7);
    let err = kvdb.fails(1, &["temp", "alive/me", "--", "nosuchcommand"]);
    assert!(err.contains("nosuchcommand"), "{err}");
    assert_eq!(kvdb.ok(&["ls"]), "");
    // It was there: a creation, a deletion.
    let mut watch = kvdb.start(&["watch", "--tree", "--after", "1"]);
    for expected in ["put\talive/me\t", "delete\talive/me\t", "put\talive/me\t", "delete\talive/me\t"] {
        let line = watch.line();
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn the_value_and_the_ttl_are_what_was_asked_for() {
    let kvdb = Kvdb::new();
    let script = "echo $$; exec sleep 600";
    let mut temp = kvdb.start(&["temp", "a", "--value", "here", "--ttl", "300ms", "--", "sh", "-c", script]);
    let child = pid(temp.line().parse().unwrap());
    temp.signal(Signal::KILL);
    // It would keep the pipe open.
    kill_process(child, Signal::KILL).unwrap();
    temp.end();
    until("the key has gone by itself", || {
        let ran = kvdb.run(&["get", "a"]);
        assert!(matches!((ran.code, ran.out.as_str()), (0, "here") | (1 | 3, "")), "{ran:?}");
        (ran.code == 3).then_some(())
    });
    let out = kvdb.ok(&["watch", "a", "--after", "1", "--json", "--exec", "kill -INT $PPID"]);
    assert!(out.contains("\"value\":\"here\""), "{out}");
}

#[test]
fn an_interrupt_ends_the_command_and_the_key() {
    let kvdb = Kvdb::new();
    let script = "trap 'echo bye; exit 3' INT TERM; echo up; while :; do sleep 0.05; done";
    let mut temp = kvdb.start(&["temp", "a", "--ttl", "1h", "--", "sh", "-c", script]);
    assert_eq!(temp.line(), "up");
    temp.signal(Signal::TERM);
    let ran = temp.end();
    assert_eq!((ran.code, ran.out.as_str()), (3, "bye\n"), "{ran:?}");
    assert_eq!(kvdb.ok(&["ls"]), "");
}

#[test]
fn bad_input_is_refused_and_runs_nothing() {
    let kvdb = Kvdb::new();
    for arguments in [
        ["temp", "_kvdb", "--", "touch", "ran"].as_slice(),
        &["temp", "", "--", "touch", "ran"],
        &["temp", "a", "--ttl", "0s", "--", "touch", "ran"],
        &["temp", "a", "--ttl", "soon", "--", "touch", "ran"],
        &["temp", "a"],
    ] {
        kvdb.fails(2, arguments);
        assert!(!kvdb.path("ran").exists(), "{arguments:?}");
    }
}
