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
fn a_process_that_is_killed_leaves_a_file_that_opens() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", "1"]);
    let mut watch = kvdb.start(&["watch", "--tree", "--current"]);
    assert_eq!(watch.line(), "put\ta\t2\t1");
    watch.signal(Signal::KILL);
    assert_eq!(watch.end().code, -1);
    until("the file can be opened", || (kvdb.run(&["get", "a"]).out == "1").then_some(()));
}
