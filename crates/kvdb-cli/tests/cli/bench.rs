//! `kvdb bench`, and `--log`.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use serde_json::Value;

use crate::command::{Kvdb, until};

#[test]
fn every_kind_of_work_is_measured_and_nothing_is_left_behind() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "mine", "1"]);
    for kind in ["put", "get", "mixed", "watch", "lock"] {
        let told = kvdb.run(&["--json", "bench", kind, "--ops", "40", "--keys", "5", "--clients", "4"]).json();
        assert_eq!((&told["kind"], &told["ops"], &told["clients"]), (&kind.into(), &40.into(), &4.into()), "{told}");
        assert_eq!(told["interrupted"], false);
        let times = ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"].map(|name| told[name].as_f64().unwrap());
        assert!(times[0] > 0.0 && times.is_sorted(), "{told}");
        assert!(told["ops_per_second"].as_f64().unwrap() > 0.0, "{told}");
        assert_eq!(kvdb.ok(&["ls"]), "mine\t1\n", "{kind}");
    }
    let text = kvdb.ok(&["bench", "put", "--ops", "10", "--clients", "1"]);
    assert!(text.starts_with("put: 10 operations, 1 at a time, in ") && text.contains("p999"), "{text}");
}

#[test]
fn the_times_of_one_client_add_up_to_the_time_it_took() {
    let told = Kvdb::new().run(&["--json", "bench", "put", "--ops", "100", "--clients", "1"]).json();
    let number = |name: &str| told[name].as_f64().unwrap();
    let (ops, all) = (number("ops"), number("seconds") * 1e6);
    // Half of the operations took the median or longer, none longer than the longest. A percentile has three digits.
    assert!(number("p50_us") * ops / 2.0 <= all * 1.01, "{told}");
    assert!(number("max_us") * ops >= all / 10.0, "{told}");
}

#[test]
fn an_interrupted_bench_tells_what_was_measured_and_cleans_up() {
    let kvdb = Kvdb::new();
    let log = kvdb.path("calls.log");
    let bench = kvdb.start(&[
        "--json",
        "--log=calls.log",
        "bench",
        "put",
        "--duration",
        "1h",
        "--keys",
        "10",
        "--clients",
        "2",
    ]);
    let lines = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    until("some were written", || (lines() > 20).then_some(()));
    bench.signal(Signal::INT);
    let ran = bench.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    let told = ran.json();
    assert_eq!(told["interrupted"], true);
    assert!(told["ops"].as_u64().unwrap() >= 18, "{told}");
    assert_eq!(kvdb.ok(&["ls"]), "");
}

#[test]
fn a_duration_bounds_the_measuring() {
    let told = Kvdb::new().run(&["--json", "--store", "mem:", "bench", "get", "--duration", "300ms"]).json();
    assert!(told["seconds"].as_f64().unwrap() >= 0.3 && told["ops"].as_u64().unwrap() > 0, "{told}");
}

#[test]
fn what_fails_while_measuring_is_told() {
    let kvdb = Kvdb::new();
    let ran = kvdb.run(&["--store", "mem:?max_value_bytes=10", "bench", "put", "--value-size", "11"]);
    assert!(ran.code == 1 && ran.err.contains("too large"), "{ran:?}");
    for arguments in [["bench", "nosuch"].as_slice(), &["bench", "--clients", "0"], &["bench", "--keys", "0"]] {
        kvdb.fails(2, arguments);
    }
}

#[test]
fn every_call_is_logged_to_a_file_or_to_stderr_without_values() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["--log=calls.log", "put", "a", "secret"]);
    kvdb.run(&["get", "nosuch", "--log=calls.log"]);
    let log = std::fs::read_to_string(kvdb.path("calls.log")).unwrap();
    let calls: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(calls.iter().any(|call| call["verb"] == "put" && call["key"] == "a" && call["revision"] == 2), "{log}");
    assert!(calls.iter().any(|call| call["verb"] == "get" && call["key"] == "nosuch"), "{log}");
    assert!(!log.contains("secret"), "{log}");
    assert_eq!(std::fs::metadata(kvdb.path("calls.log")).unwrap().permissions().mode() & 0o777, 0o600);

    let ran = kvdb.run(&["--log", "get", "a"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "secret"), "{ran:?}");
    assert!(ran.err.lines().any(|line| line.contains("\"verb\":\"get\"")) && !ran.err.contains("secret"), "{ran:?}");
}

#[test]
fn a_log_on_stderr_and_an_error_do_not_write_over_each_other_in_a_file() {
    let kvdb = Kvdb::new();
    let err = std::fs::File::create(kvdb.path("err")).unwrap();
    let status = kvdb.command(&["--log", "get", "nosuch"]).stderr(err).status().unwrap();
    assert_eq!(status.code(), Some(3));
    let err = std::fs::read_to_string(kvdb.path("err")).unwrap();
    assert!(err.contains("\"verb\":\"get\"") && err.contains("\"verb\":\"close\""), "{err}");
    assert!(err.ends_with("kvdb: get nosuch on redb: key not found: nothing is stored under it\n"), "{err}");
}
