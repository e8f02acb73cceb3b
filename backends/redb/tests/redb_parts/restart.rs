//! What survives a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kvdb_core::toolkit::ManualClock;
use kvdb_core::{Backend, Change, Changes, ErrorKind, KeyRange, Revision, Scan, WatchSpec};
use kvdb_redb::{RedbBackend, RedbConfig};

use crate::checks::{at, batch, delete, feed, gone, key, kind, names, put, put_leased, read, step, write};
use crate::{config, open};

async fn with_clock(path: &Path, clock: &Arc<ManualClock>) -> RedbBackend {
    RedbBackend::open_with_clock(path, config(), Arc::clone(clock) as Arc<_>).await.unwrap()
}

#[tokio::test]
async fn keys_history_and_revisions_survive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&path).await;
    let first = write(&store, vec![put("a", "1"), put("b", "1"), put("empty", "")]).await;
    let second = write(&store, vec![put("a", "2"), delete("b")]).await;
    let (lease, _) = store.grant(Duration::from_secs(600)).await.unwrap();
    let third = write(&store, vec![put_leased("c", &lease), put("b", "3")]).await;
    let entries = async |store: &RedbBackend| {
        let mut entries = Vec::new();
        for name in ["a", "b", "c", "empty"] {
            entries.push(read(store, name).await.unwrap());
        }
        entries
    };
    let before = entries(&store).await;
    let facts = store.details();
    store.close().await.unwrap();

    let store = open(&path).await;
    assert_eq!(entries(&store).await, before);
    let past = async |name: &str, revision| store.get(&key(name), &at(revision)).await.unwrap().entry;
    assert_eq!(past("a", first).await.unwrap().value.as_ref(), b"1");
    assert_eq!(past("b", second).await, None);
    let mut resumed = feed(&store, KeyRange::all(), Some(first)).await;
    let (revision, changes) = batch(&mut resumed).await;
    assert_eq!((revision, changes.len()), (second, 2));
    let deleted = changes.iter().find(|change| change.key() == &key("b")).unwrap();
    assert!(matches!(deleted, Change::Delete { previous: Some(before), .. } if before.value.as_ref() == b"1"));
    assert_eq!(batch(&mut resumed).await.0, third);
    assert_eq!(step(&mut resumed).await.unwrap(), Changes::Progress(third));
    assert_eq!(store.lease_info(&lease).await.unwrap().keys, ["c"]);
    assert_eq!(write(&store, vec![put("d", "4")]).await, third.next());
    let again = store.details();
    let fact = |facts: &[(&str, String)], name: &str| facts.iter().find(|(of, _)| *of == name).unwrap().1.clone();
    assert_eq!(fact(&facts, "store"), fact(&again, "store"));
    assert_eq!((fact(&facts, "epoch").as_str(), fact(&again, "epoch").as_str()), ("1", "2"));
    assert_eq!(fact(&again, "path"), path.display().to_string());
}

#[tokio::test]
async fn compaction_survives_and_takes_no_revision_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&path).await;
    write(&store, vec![put("kept", "1"), put("gone", "1")]).await;
    write(&store, vec![put("kept", "2")]).await;
    let last = write(&store, vec![delete("gone")]).await;
    store.compact(last).await.unwrap();
    store.close().await.unwrap();
    let store = open(&path).await;
    // The row of the last revision, a deletion, is compacted away.
    assert_eq!(crate::checks::revision(&store).await, last);
    let compacted = ErrorKind::Compacted { oldest: last };
    assert_eq!(kind(store.get(&key("kept"), &at(Revision::new(3))).await).await, compacted);
    let spec = WatchSpec::new(KeyRange::all(), Some(Revision::new(3)), false);
    assert_eq!(kind(store.watch(&spec).await).await, compacted);
    assert_eq!(read(&store, "kept").await.unwrap().value.as_ref(), b"2");
    assert_eq!(write(&store, vec![put("gone", "2")]).await, last.next());
    assert_eq!(read(&store, "gone").await.unwrap().version, Some(1));
}

#[tokio::test]
async fn the_log_keeps_no_more_than_the_history() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let bounded = RedbConfig { history_revisions: 50, ..config() };
    let store = RedbBackend::open(&path, bounded).await.unwrap();
    write(&store, vec![put("once", "v")]).await;
    for _ in 0..400 {
        write(&store, vec![put("often", "v")]).await;
    }
    store.close().await.unwrap();
    let rows = {
        use redb::{ReadableDatabase, ReadableTableMetadata};
        let database = redb::Database::open(&path).unwrap();
        let log = redb::TableDefinition::<(u64, u32), &[u8]>::new("log");
        database.begin_read().unwrap().open_table(log).unwrap().len().unwrap()
    };
    assert!((50..=60).contains(&rows), "{rows} rows for 50 revisions of history and one older key");
    let store = open(&path).await;
    assert_eq!(names(&store, &KeyRange::all(), &Scan::default()).await, ["often", "once"]);
    assert_eq!(read(&store, "often").await.unwrap().version, Some(400));
}

#[tokio::test]
async fn a_listing_in_progress_keeps_its_history_in_the_file() {
    use futures_util::StreamExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let store = open(&path).await;
    let names: Vec<String> = (0..600).map(|n| format!("{n:03}")).collect();
    write(&store, names.iter().map(|name| put(name, "before")).collect()).await;
    let mut scan = Scan::default();
    scan.page_bytes = 500;
    let mut listing = store.list(&KeyRange::all(), &scan);
    listing.next().await.unwrap().unwrap();
    let last = write(&store, names.iter().map(|name| put(name, "after")).collect()).await;
    store.compact(last).await.unwrap();
    let page = listing.next().await.unwrap().unwrap();
    assert!(page.entries.iter().all(|entry| entry.value.as_ref() == b"before"));
    store.close().await.unwrap();
    drop(listing);
    // What the listing kept is garbage now, and taken out.
    open(&path).await.close().await.unwrap();
    use redb::{ReadableDatabase, ReadableTableMetadata};
    let database = redb::Database::open(&path).unwrap();
    let log = redb::TableDefinition::<(u64, u32), &[u8]>::new("log");
    assert_eq!(database.begin_read().unwrap().open_table(log).unwrap().len().unwrap(), 600);
}

#[tokio::test]
async fn a_deadline_counts_on_while_the_store_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let clock = Arc::new(ManualClock::new());
    let store = with_clock(&path, &clock).await;
    let (short, _) = store.grant(Duration::from_secs(10)).await.unwrap();
    let (long, _) = store.grant(Duration::from_secs(100)).await.unwrap();
    let (kept, _) = store.grant(Duration::from_secs(10)).await.unwrap();
    let attached = write(&store, vec![put_leased("s", &short), put_leased("l", &long), put_leased("k", &kept)]).await;
    clock.advance(Duration::from_secs(5));
    store.keep_alive(&kept).await.unwrap();
    store.close().await.unwrap();
    clock.advance(Duration::from_secs(7));

    let store = with_clock(&path, &clock).await;
    assert_eq!(read(&store, "s").await, None, "gone before the first read");
    let mut history = feed(&store, KeyRange::all(), Some(attached)).await;
    let (revision, changes) = batch(&mut history).await;
    assert_eq!(revision, attached.next());
    assert!(matches!(changes.as_slice(), [Change::Delete { expired: true, previous: Some(_), .. }]), "{changes:?}");
    assert_eq!(store.lease_info(&long).await.unwrap().remaining, Duration::from_secs(88));
    assert_eq!(store.lease_info(&kept).await.unwrap().remaining, Duration::from_secs(3));
    assert_eq!(kind(store.keep_alive(&short).await).await, ErrorKind::LeaseNotFound);
    clock.advance(Duration::from_millis(2_999));
    assert!(read(&store, "k").await.is_some(), "never gone early");
    clock.advance(Duration::from_millis(1));
    gone(&store, "k").await;
}

#[tokio::test]
async fn a_wall_clock_that_steps_gives_nobody_more_than_the_ttl() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.redb");
    let clock = Arc::new(ManualClock::new());
    let store = with_clock(&path, &clock).await;
    let ttl = Duration::from_secs(10);
    let (lease, _) = store.grant(ttl).await.unwrap();
    write(&store, vec![put_leased("a", &lease)]).await;
    use kvdb_core::toolkit::Clock;
    let hour = Duration::from_secs(3600);
    clock.step_wall(clock.wall() + hour);
    assert_eq!(store.lease_info(&lease).await.unwrap().remaining, ttl);
    clock.step_wall(clock.wall() - 2 * hour);
    store.close().await.unwrap();
    let store = with_clock(&path, &clock).await;
    assert_eq!(store.lease_info(&lease).await.unwrap().remaining, ttl);
    clock.advance(ttl);
    gone(&store, "a").await;
}
