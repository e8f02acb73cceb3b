//! Two processes and one file.

use rustix::process::Signal;

use crate::command::{Kvdb, until};

#[test]
fn a_second_process_is_told_which_file_is_open() {
    let kvdb = Kvdb::new();
    let mut first = kvdb.start(&["lock", "job", "--", "sh", "-c", "echo held; exec sleep 600"]);
    assert_eq!(first.line(), "held");
    let err = kvdb.fails(1, &["get", "a"]);
    assert!(err.contains("kvdb.redb") && err.contains("already open"), "{err}");
    assert_eq!(kvdb.run(&["--json", "get", "a"]).error()["kind"], "AlreadyOpen");
    first.signal(Signal::TERM);
    assert_eq!(first.end().code, 128 + 15);
    kvdb.ok(&["put", "a", "1"]);
}

#[test]
fn commands_that_are_run_side_by_side_take_turns() {
    let kvdb = Kvdb::new();
    std::thread::scope(|threads| {
        for key in ["a", "b", "c", "d", "e", "f"] {
            let kvdb = &kvdb;
            threads.spawn(move || kvdb.ok(&["put", key, "1"]));
        }
    });
    assert_eq!(kvdb.ok(&["ls", "--keys"]).lines().count(), 6);
}

#[test]
fn a_lock_is_waited_for_although_another_process_has_the_file() {
    let kvdb = Kvdb::new();
    let mut first = kvdb.start(&["lock", "job", "--", "sh", "-c", "echo held; exec sleep 600"]);
    assert_eq!(first.line(), "held");
    for wait in ["0s", "100ms"] {
        let err = kvdb.fails(5, &["lock", "job", "--wait", wait, "--", "true"]);
        assert!(err.contains("lock job: lock not acquired in time") && err.contains("kvdb.redb"), "{err}");
    }
    let mut second = kvdb.start(&["lock", "job", "--", "echo", "mine"]);
    first.signal(Signal::TERM);
    assert_eq!(first.end().code, 128 + 15);
    assert_eq!(second.line(), "mine");
    assert_eq!(second.end().code, 0);
}

#[test]
fn an_interrupt_ends_the_wait_for_a_file() {
    let kvdb = Kvdb::new();
    let mut first = kvdb.start(&["lock", "job", "--", "sh", "-c", "echo held; exec sleep 600"]);
    assert_eq!(first.line(), "held");
    let mut second = kvdb.command(&["lock", "job", "--", "true"]).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&second);
    // Before it listens a signal ends it as well, only with no code of its own.
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let ended = until("the second one to end", || second.try_wait().unwrap());
    assert!(!ended.success());
    first.signal(Signal::TERM);
    first.end();
}

#[test]
fn a_process_that_is_killed_leaves_a_file_that_opens() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", "1"]);
    let mut watch = kvdb.start(&["watch", "--tree", "--current"]);
    assert_eq!(watch.line(), "put\ta\t2\t1");
    watch.signal(Signal::KILL);
    assert_eq!(watch.end().code, -1);
    until("the file can be opened", || (kvdb.run(&["get", "a"]).out == "1").then_some(()));
}
