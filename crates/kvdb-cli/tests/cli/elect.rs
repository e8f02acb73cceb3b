//! `kvdb elect`: a command that runs only while we lead.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process, test_kill_process};
use serde_json::json;

use crate::command::{Kvdb, pid, until};

#[test]
fn the_leader_has_a_token_that_rises_and_exits_as_its_command() {
    let kvdb = Kvdb::new();
    let token =
        || kvdb.ok(&["elect", "job", "--", "sh", "-c", "echo $KVDB_FENCING_TOKEN"]).trim().parse::<u64>().unwrap();
    let tokens = [token(), token(), token()];
    assert!(tokens.is_sorted_by(|earlier, later| earlier < later), "{tokens:?}");
    assert_eq!(kvdb.run(&["elect", "job", "--again", "--", "sh", "-c", "exit 7"]).code, 7);
    let err = kvdb.fails(1, &["elect", "job", "--", "nosuchcommand"]);
    assert!(err.contains("nosuchcommand"), "{err}");
    // It resigned: nobody is waited for, and nothing is left.
    kvdb.ok(&["lock", "job", "--wait", "0s", "--", "true"]);
    assert_eq!(kvdb.ok(&["ls"]), "");
}

#[test]
fn who_leads_is_told_also_that_nobody_does() {
    let kvdb = Kvdb::new();
    let script = "echo $$; exec sleep 600";
    let arguments = ["elect", "job", "--id", "me", "--value", "here:80", "--ttl", "2s", "--", "sh", "-c", script];
    let mut dead = kvdb.start(&arguments);
    let child = pid(dead.line().parse().unwrap());
    dead.signal(Signal::KILL);
    kill_process(child, Signal::KILL).unwrap();
    dead.end();
    let mut observer = kvdb.start(&["elect", "job"]);
    let leader = observer.line();
    assert!(leader.starts_with("me\t") && leader.ends_with("\there:80"), "{leader}");
    assert_eq!(observer.line(), "nobody");
    observer.signal(Signal::INT);
    assert_eq!(observer.end().code, 0);
    let mut observer = kvdb.start(&["elect", "job", "--json"]);
    assert_eq!(observer.line(), "{\"leader\":null}");
}

#[test]
fn a_second_candidate_leads_once_the_first_has_ended() {
    let kvdb = Kvdb::new();
    let mut first = kvdb.start(&["elect", "job", "--", "sh", "-c", "echo first; exec sleep 600"]);
    assert_eq!(first.line(), "first");
    let mut second = kvdb.start(&["elect", "job", "--", "echo", "second"]);
    first.signal(Signal::TERM);
    assert_eq!(first.end().code, 128 + 15);
    assert_eq!(second.line(), "second");
    assert_eq!(second.end().code, 0);
}

/// Stopped for longer than its TTL, then woken: another one may lead, so the command must end, and may run anew.
#[test]
fn the_loss_of_leadership_ends_the_command() {
    for again in [false, true] {
        let kvdb = Kvdb::new();
        let script = "sleep 600 & echo $! $$; wait";
        let options: &[&str] = if again { &["--again"] } else { &[] };
        let arguments = [&["elect", "job", "--ttl", "1s"], options, &["--", "sh", "-c", script]].concat();
        let mut leader = kvdb.start(&arguments);
        let pids = |line: String| line.split(' ').map(|number| pid(number.parse().unwrap())).collect::<Vec<_>>();
        let processes = pids(leader.line());
        leader.signal(Signal::STOP);
        let woken = Instant::now() + Duration::from_secs(3);
        until("the TTL has passed", || (Instant::now() >= woken).then_some(()));
        leader.signal(Signal::CONT);
        if again {
            let anew = pids(leader.line());
            assert_ne!(anew, processes);
            leader.signal(Signal::TERM);
        }
        let ran = leader.end();
        assert_eq!(ran.code, if again { 128 + 15 } else { 1 }, "{ran:?}");
        assert!(ran.err.contains("lock lost") && ran.err.contains("job"), "{ran:?}");
        for process in processes {
            until("the command has ended", || test_kill_process(process).is_err().then_some(()));
        }
    }
}

#[test]
fn bad_input_is_refused_and_runs_nothing() {
    let kvdb = Kvdb::new();
    for arguments in [
        ["elect"].as_slice(),
        &["elect", "", "--", "touch", "ran"],
        &["elect", "_kvdb", "--", "touch", "ran"],
        &["elect", "_kvdb"],
        &["elect", "job", "--ttl", "0s", "--", "touch", "ran"],
        &["elect", "job", "--ttl", "soon", "--", "touch", "ran"],
        // What only a candidate has.
        &["elect", "job", "--again"],
        &["elect", "job", "--value", "1"],
    ] {
        kvdb.fails(2, arguments);
        assert!(!kvdb.path("ran").exists(), "{arguments:?}");
    }
    let ran = kvdb.run(&["--json", "elect", "_kvdb"]);
    assert_eq!((ran.code, &ran.error()["kind"]), (2, &json!("InvalidArgument")), "{ran:?}");
}
