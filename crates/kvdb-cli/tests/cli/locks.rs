//! `kvdb lock`: a command that runs only while the lock is held.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process, test_kill_process};

use crate::command::{Kvdb, pid, until};

#[test]
fn the_exit_code_is_the_commands_own() {
    let kvdb = Kvdb::new();
    assert_eq!(kvdb.ok(&["lock", "job", "--", "echo", "hello"]), "hello\n");
    assert_eq!(kvdb.run(&["lock", "job", "--", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(kvdb.run(&["lock", "job", "--", "sh", "-c", "kill -9 $$"]).code, 128 + 9);
    let err = kvdb.fails(1, &["lock", "job", "--", "nosuchcommand"]);
    assert!(err.contains("nosuchcommand"), "{err}");
}

#[test]
fn the_fencing_token_rises_with_every_holder() {
    let kvdb = Kvdb::new();
    let token =
        || kvdb.ok(&["lock", "job", "--", "sh", "-c", "echo $KVDB_FENCING_TOKEN"]).trim().parse::<u64>().unwrap();
    let tokens = [token(), token(), token()];
    assert!(tokens.is_sorted_by(|earlier, later| earlier < later), "{tokens:?}");
}

#[test]
fn a_lock_is_released_at_the_end_and_shows_nowhere() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["lock", "job", "--ttl", "1h", "--", "true"]);
    kvdb.ok(&["lock", "job", "--wait", "0s", "--", "true"]);
    assert_eq!(kvdb.ok(&["ls"]), "");
}

#[test]
fn a_lock_that_another_holds_exits_with_5_and_names_the_holder() {
    let kvdb = Kvdb::new();
    // Killed: its lock outlives it for its TTL, and the file is free at once.
    let mut dead =
        kvdb.start(&["lock", "job", "--id", "alice", "--ttl", "1h", "--", "sh", "-c", "echo $$; exec sleep 600"]);
    let child = pid(dead.line().parse().unwrap());
    dead.signal(Signal::KILL);
    kill_process(child, Signal::KILL).unwrap();
    dead.end();
    let ran = until("the file is free", || {
        let ran = kvdb.run(&["--json", "lock", "job", "--wait", "200ms", "--", "touch", "ran"]);
        (ran.code != 1).then_some(ran)
    });
    assert_eq!((ran.code, &ran.error()["kind"]), (5, &"LockTimeout".into()), "{ran:?}");
    assert!(ran.err.contains("alice") && !kvdb.path("ran").exists(), "{ran:?}");
}

#[test]
fn an_interrupt_ends_the_command_and_releases_the_lock() {
    for signal in [Signal::INT, Signal::TERM] {
        let kvdb = Kvdb::new();
        let script = "trap 'echo bye; exit 3' INT TERM; echo $$; while :; do sleep 0.05; done";
        let mut lock = kvdb.start(&["lock", "job", "--ttl", "1h", "--", "sh", "-c", script]);
        let child = pid(lock.line().parse().unwrap());
        lock.signal(signal);
        let ran = lock.end();
        assert_eq!((ran.code, ran.out.as_str()), (3, "bye\n"), "{ran:?}");
        assert!(test_kill_process(child).is_err());
        kvdb.ok(&["lock", "job", "--wait", "0s", "--", "true"]);
    }
}

#[test]
fn a_second_interrupt_kills_a_command_that_does_not_listen() {
    let kvdb = Kvdb::new();
    let script = "trap 'echo no' INT; echo $$; while :; do sleep 0.05; done";
    let mut lock = kvdb.start(&["lock", "job", "--", "sh", "-c", script]);
    let child = pid(lock.line().parse().unwrap());
    lock.signal(Signal::INT);
    assert_eq!(lock.line(), "no");
    lock.signal(Signal::INT);
    assert_eq!(lock.end().code, 128 + 9);
    assert!(test_kill_process(child).is_err());
}

/// Stopped for longer than its TTL, then woken: the lock is gone, and so must be the command, with what it started.
#[test]
fn the_loss_of_the_lock_ends_the_command() {
    let kvdb = Kvdb::new();
    let script = "sleep 600 & echo $!; echo $$; wait";
    let mut lock = kvdb.start(&["lock", "job", "--ttl", "1s", "--", "sh", "-c", script]);
    let grandchild = pid(lock.line().parse().unwrap());
    let child = pid(lock.line().parse().unwrap());
    lock.signal(Signal::STOP);
    let woken = Instant::now() + Duration::from_secs(3);
    until("the TTL has passed", || (Instant::now() >= woken).then_some(()));
    lock.signal(Signal::CONT);
    let ran = lock.end();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("lock lost") && ran.err.contains("job"), "{ran:?}");
    for process in [child, grandchild] {
        until("the command has ended", || test_kill_process(process).is_err().then_some(()));
    }
}
