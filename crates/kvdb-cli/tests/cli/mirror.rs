//! `kvdb mirror` and `kvdb diff`: two stores.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::command::{Kvdb, until};

const ONE: &str = "redb:one.redb";
const OTHER: &str = "redb:other.redb";

/// Files of keys `k00000`.. below a directory, to be imported.
fn keys(kvdb: &Kvdb, count: usize) {
    std::fs::create_dir(kvdb.path("in")).unwrap();
    for n in 0..count {
        std::fs::write(kvdb.path("in").join(format!("k{n:05}")), format!("value {n}")).unwrap();
    }
    kvdb.ok(&["--store", ONE, "import", "in"]);
}

fn documents(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {out}"))).collect()
}

/// What a mirror that is run to its end tells last.
fn mirrored(kvdb: &Kvdb, more: &[&str]) -> Value {
    let ran = kvdb.run(&[&["mirror", ONE, OTHER, "--once", "--json"], more].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    documents(&ran.out).pop().unwrap()
}

fn count(kvdb: &Kvdb, store: &str) -> usize {
    kvdb.ok(&["--store", store, "ls", "--keys"]).lines().count()
}

#[test]
fn one_store_becomes_what_the_other_is_and_says_how_much_it_read() {
    let kvdb = Kvdb::new();
    keys(&kvdb, 20);
    kvdb.ok(&["--store", OTHER, "put", "extra", "1"]);
    kvdb.ok(&["--store", OTHER, "put", "k00003", "another"]);
    let out = kvdb.ok(&["mirror", ONE, OTHER, "--once"]);
    assert!(out.starts_with("copying: nothing was copied before\n"), "{out}");
    assert!(out.contains("read 20, wrote 20, deleted 1"), "{out}");
    assert_eq!(kvdb.ok(&["diff", ONE, OTHER]), "");
    kvdb.ok(&["--store", ONE, "put", "k00004", "new"]);
    kvdb.ok(&["--store", ONE, "del", "k00005"]);
    let done = mirrored(&kvdb, &[]);
    assert_eq!(
        (&done["stage"], &done["read"], &done["written"], &done["deleted"]),
        (&json!("done"), &json!(2), &json!(1), &json!(1)),
        "{done}"
    );
    assert_eq!(kvdb.ok(&["diff", ONE, OTHER]), "");
    // With nothing to do it reads nothing, and still says where it is.
    let again = mirrored(&kvdb, &[]);
    assert_eq!((&again["read"], &again["revision"]), (&json!(0), &done["revision"]), "{again}");
    kvdb.ok(&["--store", OTHER, "put", "k00006", "by hand"]);
    let ran = kvdb.run(&["mirror", ONE, OTHER, "--once", "--compare", "--json"]);
    let told = documents(&ran.out);
    assert_eq!((&told[0]["stage"], &told[0]["reason"]), (&json!("copying"), &json!("comparing again, as asked")));
    assert_eq!((&told[1]["read"], &told[1]["written"]), (&json!(19), &json!(1)), "{told:?}");
}

#[test]
fn only_a_directory_is_mirrored_and_compared_if_asked() {
    let kvdb = Kvdb::new();
    for (store, value) in [(ONE, "1"), (OTHER, "2")] {
        kvdb.ok(&["--store", store, "put", "a/x", value]);
        kvdb.ok(&["--store", store, "put", "b/x", value]);
    }
    kvdb.ok(&["mirror", ONE, OTHER, "--once", "--prefix", "a"]);
    assert_eq!(kvdb.ok(&["--store", OTHER, "ls"]), "a/x\t1\nb/x\t2\n");
    assert_eq!(kvdb.ok(&["diff", ONE, OTHER, "--prefix", "a"]), "");
    let ran = kvdb.run(&["diff", ONE, OTHER]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (1, "~ b/x\t1\t2\n", ""));
}

#[test]
fn an_interrupt_ends_it_with_its_place_kept() {
    let kvdb = Kvdb::new();
    keys(&kvdb, 20);
    let mut mirror = kvdb.start(&["mirror", ONE, OTHER, "--json"]);
    let told: Vec<Value> =
        [mirror.line(), mirror.line()].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&told[0]["stage"], &told[1]["stage"]), (&json!("copying"), &json!("following")), "{told:?}");
    assert_eq!((&told[1]["read"], &told[1]["written"]), (&json!(20), &json!(20)), "{told:?}");
    mirror.signal(Signal::INT);
    let ran = mirror.end();
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert_eq!(documents(&ran.out).last().unwrap()["stage"], "ended");
    // Its lock is free at once.
    let started = Instant::now();
    assert_eq!(mirrored(&kvdb, &["--wait", "0s"])["read"], 0);
    assert!(started.elapsed() < Duration::from_secs(5), "it waited for {:?}", started.elapsed());
}

/// Killed at random moments, it goes on behind what is there, and reads nothing twice.
#[test]
fn a_kill_at_any_moment_loses_nothing_and_has_nothing_read_again() {
    const KEYS: usize = 10_000;
    let kvdb = Kvdb::new();
    keys(&kvdb, KEYS);
    let (mut copied, mut resumed, mut counted) = (0, 0, 0);
    for kill in 1.. {
        assert!(kill < 100, "{resumed} copies went on, {counted} were counted");
        if resumed >= 3 && counted >= 3 {
            break;
        }
        if copied == KEYS {
            // The last kill came too late: once more from the beginning.
            std::fs::remove_file(kvdb.path("other.redb")).unwrap();
            copied = 0;
        }
        let mut mirror = kvdb.start(&["mirror", ONE, OTHER, "--ttl", "200ms", "--json"]);
        let first = until("it copies", || {
            let told: Value = serde_json::from_str(&mirror.line()).unwrap();
            (told["stage"] != "waiting").then_some(told)
        });
        if copied > 0 {
            assert!(first["reason"].as_str().unwrap().contains("goes on where it was cut short"), "{first}");
            resumed += 1;
        }
        // A copy takes some tenths of a second.
        let moment = Instant::now() + Duration::from_millis(rand::random_range(0..300));
        until("the moment of the kill", || (Instant::now() >= moment).then_some(()));
        mirror.signal(Signal::KILL);
        mirror.end();
        let now = count(&kvdb, OTHER);
        eprintln!("kill {kill}: {now} of {KEYS} keys are there");
        assert!(now >= copied, "{now} keys after {copied}: something was lost");
        // The place is kept with the keys: exactly the rest is read.
        if now > copied && now < KEYS {
            std::fs::copy(kvdb.path("other.redb"), kvdb.path("twin.redb")).unwrap();
            let ran = kvdb.run(&["mirror", ONE, "redb:twin.redb", "--once", "--json"]);
            assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
            let done = documents(&ran.out).pop().unwrap();
            assert_eq!(done["read"], json!(KEYS - now), "{done}");
            assert_eq!(kvdb.ok(&["diff", ONE, "redb:twin.redb"]), "");
            std::fs::remove_file(kvdb.path("twin.redb")).unwrap();
            counted += 1;
        }
        copied = now;
    }
    assert_eq!(mirrored(&kvdb, &[])["read"], json!(KEYS - copied));
    assert_eq!(kvdb.ok(&["diff", ONE, OTHER]), "");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["--store", ONE, "put", "a", "1"]);
    for command in ["mirror", "diff"] {
        assert!(kvdb.fails(2, &[command]).contains("Usage"));
        assert!(kvdb.fails(2, &[command, ONE]).contains("required"));
        assert!(kvdb.fails(2, &[command, "nosuch:x", ONE]).contains("nosuch"));
        assert!(kvdb.fails(1, &[command, ONE, ONE]).contains("already open"));
        assert!(kvdb.fails(2, &[command, ONE, OTHER, "--prefix", "a/../b"]).contains("invalid argument"));
        let ran = kvdb.run(&[command, ONE, "redb:no/such/place.redb", "--json"]);
        assert_eq!((ran.code, &ran.error()["kind"]), (2, &json!("InvalidConfig")), "{ran:?}");
    }
    let err = kvdb.fails(2, &["mirror", "mem:same", "mem:same", "--once"]);
    assert!(err.contains("one place of one store"), "{err}");
    let err = kvdb.fails(2, &["mirror", "mem:same?domain=app", "mem:same", "--once"]);
    assert!(err.contains("one place of one store"), "{err}");
    kvdb.ok(&["mirror", "mem:same?domain=a", "mem:same?domain=b", "--once"]);
}

#[test]
fn a_value_that_does_not_fit_is_named() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["--store", ONE, "put", "small", "1"]);
    kvdb.ok(&["--store", ONE, "put", "long", &"x".repeat(2_000)]);
    let ran = kvdb.run(&["--json", "mirror", ONE, "redb:small.redb?max_value_bytes=1000", "--once"]);
    let error = ran.error();
    assert_eq!((ran.code, &error["kind"], &error["key"]), (1, &json!("TooLarge"), &json!("long")), "{ran:?}");
}

#[test]
fn differences_are_told_in_order_with_their_values() {
    let kvdb = Kvdb::new();
    for (key, value) in [("a", "1"), ("a/b", "line\nbreak"), ("same", "1"), ("z", "1")] {
        kvdb.ok(&["--store", ONE, "put", key, value]);
    }
    for (key, value) in [("a", "2"), ("a-b", "3"), ("same", "1"), ("z", "1")] {
        kvdb.ok(&["--store", OTHER, "put", key, value]);
    }
    let ran = kvdb.run(&["diff", ONE, OTHER]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "~ a\t1\t2\n+ a-b\t3\n- a/b\tline\\nbreak\n"), "{ran:?}");
    let ran = kvdb.run(&["diff", ONE, OTHER, "--keys"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "~ a\n+ a-b\n- a/b\n"), "{ran:?}");
    let told = documents(&kvdb.run(&["diff", ONE, OTHER, "--json"]).out);
    assert_eq!(
        told,
        [
            json!({ "change": "changed", "key": "a", "a": "1", "b": "2" }),
            json!({ "change": "added", "key": "a-b", "b": "3" }),
            json!({ "change": "removed", "key": "a/b", "a": "line\nbreak" }),
        ]
    );
    assert_eq!(documents(&kvdb.run(&["diff", ONE, OTHER, "--json", "--keys"]).out).len(), 3);
    kvdb.ok(&["mirror", ONE, OTHER, "--once"]);
    assert_eq!(kvdb.ok(&["diff", ONE, OTHER]), "");
}

#[test]
fn an_empty_source_does_not_empty_the_target_unless_told_so() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["--store", OTHER, "put", "k", "1"]);
    let refused = kvdb.run(&["mirror", "redb:mistyped.redb", OTHER, "--once"]);
    assert!(refused.code == 2 || refused.code == 1, "{refused:?}");
    assert!(refused.err.contains("--compare"), "{refused:?}");
    assert_eq!(count(&kvdb, OTHER), 1);
    kvdb.ok(&["mirror", "redb:mistyped.redb", OTHER, "--once", "--compare"]);
    assert_eq!(count(&kvdb, OTHER), 0);
}
