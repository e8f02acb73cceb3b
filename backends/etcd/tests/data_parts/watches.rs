//! Watches: nothing missed, revisions whole, positions that move, servers that fall silent.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use kvdb_core::{Backend, Change, Changes, ErrorKind, Feed, KeyRange, Op, Retry, Revision, WatchSpec};
use kvdb_etcd::EtcdConfig;
use kvdb_servers::{Etcd, EtcdSetup};

use crate::checks::{batch, commit, delete, feed, key, kind, put, revision, step, write};
use crate::cluster::{open, open_with, start};

/// How long a condition may take to come true before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn asking_every(milliseconds: u64) -> EtcdConfig {
    let mut config = EtcdConfig::default();
    config.watch_progress_interval = Duration::from_millis(milliseconds);
    config
}

fn put_sized(name: &str, size: usize) -> Op {
    Op::Put { key: key(name), value: vec![7; size].into(), lease: None, previous: false }
}

/// The feed's next progress of at least `revision`; no change may come before it.
async fn progress(feed: &mut Feed, revision: Revision) -> Revision {
    loop {
        match step(feed).await.unwrap() {
            Changes::Progress(reached) if reached >= revision => return reached,
            Changes::Progress(_) => {}
            other => panic!("a change came in between: {other:?}"),
        }
    }
}

/// Watches of the first member.
fn watchers(cluster: &Etcd) -> f64 {
    cluster.member(0).unwrap().metric_sum("etcd_debugging_mvcc_watcher_total", &[]).unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, met).await.expect("the condition comes true");
}

#[tokio::test]
async fn a_long_history_comes_in_pieces_and_revisions_stay_whole() {
    let cluster = start();
    let store = open(&cluster).await;
    let start = revision(&store).await;
    let mut expected = Vec::new();
    // Ten times two values in one revision: with the entries before them more than the server sends at once.
    for _ in 0..10 {
        expected.push(write(&store, vec![put_sized("w/a", 700_000), put_sized("w/b", 700_000), put("x", "")]).await);
    }
    let whole = KeyRange::prefix(b"w/");
    let mut history = feed(&store, whole.clone(), Some(start)).await;
    for (index, revision) in expected.iter().enumerate() {
        let (told, changes) = batch(&mut history).await;
        assert_eq!(told, *revision);
        let keys: BTreeSet<String> = changes.iter().map(|change| change.key().to_string()).collect();
        assert_eq!((changes.len(), keys), (2, ["w/a", "w/b"].map(String::from).into()));
        let previous = |change: &Change| matches!(change, Change::Put { previous: Some(_), .. });
        assert!(changes.iter().all(|change| previous(change) == (index > 0)));
    }
    let last = *expected.last().unwrap();
    assert_eq!(step(&mut history).await.unwrap(), Changes::Progress(last));
    // The same as it happens.
    let mut live = feed(&store, whole, None).await;
    let revision = write(&store, vec![put_sized("w/a", 700_000), put_sized("w/b", 700_000)]).await;
    for feed in [&mut live, &mut history] {
        let (told, changes) = batch(feed).await;
        assert_eq!((told, changes.len()), (revision, 2));
    }
}

#[tokio::test]
async fn a_reader_that_stops_misses_nothing() {
    let cluster = start();
    let store = open(&cluster).await;
    let mut feed = feed(&store, KeyRange::all(), None).await;
    let mut expected = Vec::new();
    for _ in 0..40 {
        expected.push(write(&store, vec![put_sized("a", 1_000_000)]).await);
    }
    for revision in expected {
        assert_eq!(batch(&mut feed).await.0, revision);
    }
}

#[tokio::test]
async fn a_feed_from_the_past_tells_when_it_has_caught_up() {
    let cluster = start();
    let store = open(&cluster).await;
    let start = revision(&store).await;
    for round in 0..1500 {
        write(&store, vec![put(if round % 2 == 0 { "even" } else { "odd" }, "")]).await;
    }
    let last = revision(&store).await;
    // With changes up to the present, with older ones alone, and with none at all.
    for (range, changes) in [("", 1500), ("even", 750), ("none", 0)] {
        let mut feed = feed(&store, KeyRange::prefix(range.as_bytes()), Some(start)).await;
        assert_eq!(feed.revision, last);
        let mut told = Vec::new();
        let reached = loop {
            match step(&mut feed).await.unwrap() {
                Changes::Batch { revision, .. } => told.push(revision),
                Changes::Progress(reached) => break reached,
                Changes::Resync { .. } => panic!("etcd knows its history"),
            }
        };
        assert!(reached == last && told.len() == changes && told.is_sorted(), "{range}: {reached}, {}", told.len());
    }
    // Nothing can be told of the present revision.
    let mut feed = feed(&store, KeyRange::all(), Some(last)).await;
    assert_eq!(step(&mut feed).now_or_never().unwrap().unwrap(), Changes::Progress(last));
}

#[tokio::test]
async fn the_position_of_a_quiet_range_moves_with_the_store() {
    let cluster = start();
    let store = open_with(&cluster, asking_every(200)).await;
    let mut quiet = feed(&store, KeyRange::prefix(b"quiet/"), None).await;
    let mut reached = quiet.revision;
    for _ in 0..3 {
        let elsewhere = write(&store, vec![put("x", "")]).await;
        reached = progress(&mut quiet, elsewhere).await.max(reached);
    }
    // So that what it has seen may be compacted, and it still resumes.
    store.compact(reached).await.unwrap();
    drop(quiet);
    let mut resumed = feed(&store, KeyRange::prefix(b"quiet/"), Some(reached)).await;
    let written = write(&store, vec![put("quiet/a", "")]).await;
    assert_eq!(batch(&mut resumed).await.0, written);
}

#[tokio::test]
async fn history_that_is_gone_is_told_when_it_is_asked_for() {
    let cluster = start();
    let store = open(&cluster).await;
    let first = write(&store, vec![put("a", "1")]).await;
    for _ in 0..4 {
        write(&store, vec![put("a", "2")]).await;
    }
    let oldest = write(&store, vec![delete("a")]).await;
    let last = write(&store, vec![put("a", "3")]).await;
    store.compact(oldest).await.unwrap();
    for after in [Revision::ZERO, first, Revision::new(oldest.get() - 2)] {
        for range in [KeyRange::all(), KeyRange::prefix(b"none/")] {
            let refused = store.watch(&WatchSpec::new(range, Some(after), false)).await;
            assert_eq!(kind(refused).await, ErrorKind::Compacted { oldest }, "after {after}");
        }
    }
    // The oldest revision itself is still there, deletions included.
    let mut feed = feed(&store, KeyRange::all(), Some(Revision::new(oldest.get() - 1))).await;
    let (told, changes) = batch(&mut feed).await;
    assert!(told == oldest && matches!(changes.as_slice(), [Change::Delete { expired: false, .. }]));
    assert_eq!(batch(&mut feed).await.0, last);
}

#[tokio::test]
async fn a_range_in_which_no_key_can_lie_is_quiet_for_ever() {
    let cluster = start();
    let store = open(&cluster).await;
    let last = write(&store, vec![put("a", "1")]).await;
    let nowhere = KeyRange { start: Bound::Included(key("b")), end: Bound::Excluded(key("b")) };
    let mut now = feed(&store, nowhere.clone(), None).await;
    assert_eq!(now.revision, last);
    let mut after = feed(&store, nowhere.clone(), Some(Revision::ZERO)).await;
    assert_eq!(step(&mut after).await.unwrap(), Changes::Progress(last));
    let future = store.watch(&WatchSpec::new(nowhere, Some(last.next()), false)).await;
    assert_eq!(kind(future).await, ErrorKind::FutureRevision { current: last });
    write(&store, vec![put("b", "1")]).await;
    store.close().await.unwrap();
    for feed in [&mut now, &mut after] {
        assert_eq!(kind(step(feed).await).await, ErrorKind::Closed);
        assert!(feed.changes.next().await.is_none());
    }
}

#[tokio::test]
async fn dropping_a_feed_ends_the_servers_watch() {
    let cluster = start();
    let store = open(&cluster).await;
    let first = feed(&store, KeyRange::all(), None).await;
    let second = feed(&store, KeyRange::prefix(b"a"), Some(revision(&store).await)).await;
    until(|| watchers(&cluster) == 2.0).await;
    drop(first);
    until(|| watchers(&cluster) == 1.0).await;
    drop(second);
    until(|| watchers(&cluster) == 0.0).await;
}

#[tokio::test]
async fn a_server_that_falls_silent_ends_the_feed() {
    let cluster = start();
    let store = open_with(&cluster, asking_every(200)).await;
    let mut feed = feed(&store, KeyRange::all(), None).await;
    cluster.member(0).unwrap().pause().unwrap();
    let ended = loop {
        match step(&mut feed).await {
            Ok(Changes::Progress(_)) => {}
            Ok(other) => panic!("nobody wrote: {other:?}"),
            Err(error) => break error,
        }
    };
    cluster.member(0).unwrap().resume().unwrap();
    assert_eq!((ended.kind(), ended.retry()), (&ErrorKind::Unavailable, Retry::Safe));
    assert!(feed.changes.next().await.is_none());
}

#[tokio::test]
async fn a_feed_that_nobody_read_for_long_is_not_taken_for_silent() {
    let cluster = start();
    let store = open_with(&cluster, asking_every(20)).await;
    let mut feed = feed(&store, KeyRange::all(), None).await;
    // Time itself is what this is about.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(feed.changes.next().now_or_never().is_none());
    let written = write(&store, vec![put("a", "")]).await;
    assert_eq!(batch(&mut feed).await.0, written);
}

#[tokio::test]
async fn a_member_that_lags_tells_nothing_from_before_the_watch() {
    let cluster = Etcd::start(EtcdSetup::default().nodes(3)).expect("three nodes");
    let leader = cluster.leader().unwrap();
    let behind = (leader + 1) % 3;
    let one = |index: usize| vec![cluster.member(index).unwrap().endpoint().to_owned()];
    let ahead = kvdb_etcd::EtcdBackend::connect(&one(leader), &EtcdConfig::default()).await.unwrap();
    let lagging = kvdb_etcd::EtcdBackend::connect(&one(behind), &EtcdConfig::default()).await.unwrap();
    write(&ahead, vec![put("a", "0")]).await;
    for round in 0..20 {
        let before = write(&ahead, vec![put("a", &format!("before {round}"))]).await;
        let mut feed = feed(&lagging, KeyRange::all(), None).await;
        assert!(feed.revision >= before, "a feed from now on begins behind what was answered");
        let after = write(&ahead, vec![put("a", "after")]).await;
        assert_eq!(batch(&mut feed).await.0, after);
        // The same of a revision that the member may not have reached.
        let mut resumed = crate::checks::feed(&lagging, KeyRange::all(), Some(after)).await;
        assert!(progress(&mut resumed, after).await >= after);
        commit(&ahead, vec![], vec![delete("a")]).await.unwrap();
        assert!(matches!(batch(&mut resumed).await.1.as_slice(), [Change::Delete { .. }]));
    }
}

#[tokio::test]
async fn a_watch_outlives_its_token_and_a_forbidden_one_is_refused() {
    let cluster = Etcd::start(EtcdSetup::default().auth().token_ttl(Duration::from_secs(1))).expect("a node");
    for arguments in [
        &["user", "add", "app:pw"][..],
        &["role", "add", "app"],
        &["role", "grant-permission", "app", "--prefix=true", "readwrite", "app/"],
        &["user", "grant-role", "app", "app"],
    ] {
        assert!(cluster.etcdctl(arguments).unwrap().status.success());
    }
    let options = kvdb_core::Options::new().username("app").password(&kvdb_core::Secret::new("pw"));
    let store = (kvdb_etcd::FACTORY.connect)(cluster.endpoints(), options).await.unwrap();
    let allowed = KeyRange::prefix(b"app/");
    let mut early = feed(&*store, allowed.clone(), None).await;
    for forbidden in [KeyRange::all(), KeyRange::prefix(b"other/")] {
        for after in [None, Some(early.revision)] {
            let refused = store.watch(&WatchSpec::new(forbidden.clone(), after, false)).await;
            assert_eq!(kind(refused).await, ErrorKind::PermissionDenied);
        }
    }
    // Time itself is what this is about: the token runs out.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let mut late = feed(&*store, allowed.clone(), Some(early.revision)).await;
    let written = write(&*store, vec![put("app/a", "")]).await;
    for feed in [&mut early, &mut late] {
        assert_eq!(batch(feed).await.0, written);
    }
}
