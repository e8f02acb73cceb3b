//! The demo holds on every store, and notices each promise that a store breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvdb::{Handle, Options};
use kvdb_cli::Failure;
use kvdb_cli::demo::{Line, Report, Verdict, run};
use kvdb_memory::{MemoryBackend, MemoryConfig};

use crate::broken::{Broken, Fault};
use crate::command::Kvdb;

/// Runs the demo's own code over a store with this fault.
async fn demo_with(fault: Fault) -> Report {
    static STORES: AtomicU64 = AtomicU64::new(0);
    let name = format!("demo-{}", STORES.fetch_add(1, Ordering::Relaxed));
    let config = MemoryConfig { keep: true, ..MemoryConfig::default() };
    let open = || {
        let inner = match fault {
            Fault::Forgets => MemoryBackend::new(&config),
            _ => MemoryBackend::named(&name, &config),
        };
        let store = Broken { inner, fault, durable: true };
        std::future::ready(Handle::open("broken", Arc::new(store), "", &Options::new()))
    };
    let mut shown = Vec::new();
    let mut out = |line: &Line| {
        shown.push(line.clone());
        Ok::<_, Failure>(())
    };
    let report = run(open, &mut out).await.unwrap();
    assert_eq!(shown, report.lines);
    report
}

fn broken_lines(report: &Report) -> Vec<&'static str> {
    report.lines.iter().filter(|line| line.verdict == Verdict::Broken).map(|line| line.promise).collect()
}

#[tokio::test]
async fn a_store_that_keeps_every_promise_has_no_broken_line() {
    let report = demo_with(Fault::None).await;
    assert_eq!(broken_lines(&report), [""; 0], "{report:#?}");
    assert_eq!((report.count(Verdict::Held), report.exit_code()), (7, 0));
}

/// The line of this promise and no other is broken, and the exit code is 1.
async fn only_broken(fault: Fault, promise: &str) {
    let report = demo_with(fault).await;
    assert_eq!(broken_lines(&report), [promise], "{report:#?}");
    assert_eq!(report.exit_code(), 1);
}

#[tokio::test]
async fn a_watch_that_drops_an_event_breaks_its_line() {
    only_broken(Fault::DropsAnEvent, "watch").await;
}

#[tokio::test]
async fn a_lock_that_is_granted_twice_breaks_its_line() {
    only_broken(Fault::GrantsTwice, "lock").await;
}

#[tokio::test]
async fn a_ttl_that_is_ignored_breaks_its_line() {
    only_broken(Fault::IgnoresTtl, "time to live").await;
}

#[tokio::test]
async fn a_compare_and_set_that_is_lost_breaks_its_line() {
    only_broken(Fault::LosesACas, "compare and set").await;
}

#[tokio::test]
async fn a_durable_store_that_forgets_breaks_its_line() {
    only_broken(Fault::Forgets, "close and reopen").await;
}

#[test]
fn the_demo_exits_with_0_on_a_fresh_file_twice() {
    let kvdb = Kvdb::new();
    for _ in 0..2 {
        let ran = kvdb.run(&["demo"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.contains("kvdb demo on redb:") && ran.out.contains("7 of 7 promises held"), "{ran:?}");
        assert!(!kvdb.path("kvdb.redb").exists(), "the demo wrote into the default store");
    }
}

#[test]
fn the_demo_says_what_a_store_lacks_and_does_not_count_it() {
    let ran = Kvdb::new().run(&["--store", "mem:", "demo"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("absent  close and reopen") && ran.out.contains("6 of 6 promises held"), "{ran:?}");
}

#[test]
fn the_demo_leaves_the_keys_of_a_store_as_they_were() {
    let kvdb = Kvdb::new();
    kvdb.ok(&["put", "mine", "1"]);
    kvdb.ok(&["--store", "redb:kvdb.redb", "demo"]);
    assert_eq!(kvdb.ok(&["ls"]), "mine\t1\n");
}

#[test]
fn the_demo_tells_a_json_document_a_line() {
    let ran = Kvdb::new().run(&["--store", "mem:", "--json", "demo"]);
    let lines: Vec<serde_json::Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 7);
    assert!(lines.iter().all(|line| line["outcome"] == "held" || line["outcome"] == "absent"), "{ran:?}");
}

#[test]
fn the_demo_shows_no_secret_of_its_store() {
    let ran = Kvdb::new().run(&["--store", "mem:demo?password=canary", "demo"]);
    assert!(ran.out.starts_with("kvdb demo on mem:demo\n"), "{ran:?}");
    assert!(!ran.out.contains("canary") && !ran.err.contains("canary"), "{ran:?}");
}
