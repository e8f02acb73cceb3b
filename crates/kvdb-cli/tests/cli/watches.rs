//! `kvdb watch`: every change, until Ctrl-C.

use rustix::process::Signal;
use serde_json::json;

use crate::command::{Kvdb, until};

#[test]
fn an_interrupt_ends_a_watch_cleanly() {
    for signal in [Signal::INT, Signal::TERM] {
        let kvdb = Kvdb::new();
        kvdb.ok(&["put", "a", "1"]);
        let mut watch = kvdb.start(&["watch", "a", "--current"]);
        assert_eq!([watch.line(), watch.line()], ["put\ta\t2\t1", "synced\t\t2"]);
        watch.signal(signal);
        let ran = watch.end();
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
        assert_eq!(kvdb.ok(&["get", "a"]), "1");
    }
}

#[test]
fn a_watch_after_a_revision_tells_the_history_since() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "config/a", "1"]);
    kvdb.ok(&["put", "config/a", "2"]);
    kvdb.ok(&["put", "other", "x"]);
    kvdb.ok(&["del", "config/a"]);
    let mut watch = kvdb.start(&["watch", "--tree", "config", "--after", "2"]);
    assert_eq!([watch.line(), watch.line()], ["put\tconfig/a\t3\t2", "delete\tconfig/a\t5"]);
    watch.signal(Signal::INT);
    assert_eq!(watch.end().code, 0);
}

#[test]
fn an_expiry_is_told_while_it_happens() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "session", "here", "--ttl", "300ms"]);
    let mut watch = kvdb.start(&["watch", "--tree", "--after", "1", "--json"]);
    let [put, expired] =
        [watch.line(), watch.line()].map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
    assert_eq!((&put["event"], &put["value"]), (&json!("put"), &json!("here")));
    assert_eq!((&expired["event"], &expired["key"]), (&json!("expire"), &json!("session")));
    watch.signal(Signal::INT);
    assert_eq!(watch.end().code, 0);
}

#[test]
fn exec_runs_for_every_event_in_order_with_the_value_in_full() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "a", "1"]);
    assert_eq!(kvdb.run_with(&["put", "b", "-"], b"x\0y").code, 0);
    kvdb.ok(&["del", "a"]);
    let script = "echo $KVDB_ACTION $KVDB_KEY $KVDB_REVISION \"[$KVDB_VALUE]\" $(wc -c) >> log; exit 1";
    let watch = kvdb.start(&["watch", "--tree", "--after", "1", "--exec", script]);
    let wanted = "put a 2 [1] 1\nput b 3 [] 3\ndelete a 4 [1] 1\n";
    until("three events", || std::fs::read_to_string(kvdb.path("log")).ok().filter(|log| log.lines().count() == 3));
    assert_eq!(std::fs::read_to_string(kvdb.path("log")).unwrap(), wanted);
    watch.signal(Signal::INT);
    let ran = watch.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("ended with exit status: 1"), "{ran:?}");
}

#[test]
fn history_that_is_gone_is_an_error() {
    let kvdb = Kvdb::new();
    let store = ["--store", "redb:kvdb.redb?history_revisions=1"];
    for number in 0..5 {
        kvdb.ok(&[store[0], store[1], "put", "a", &number.to_string()]);
    }
    let ran = kvdb.run(&[store[0], store[1], "--json", "watch", "a", "--after", "2"]);
    assert_eq!((ran.code, &ran.error()["kind"]), (1, &json!("Compacted")), "{ran:?}");
    let err = kvdb.fails(1, &["watch", "a", "--after", "1000"]);
    assert!(err.contains("future"), "{err}");
}
