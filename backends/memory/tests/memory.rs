//! The memory store through the `Backend` trait.

#[cfg(test)]
mod checks;

use std::sync::Arc;
use std::time::Duration;

use checks::{batch, feed, gone, key, kind, put, put_leased, read, step, write};
use kvdb_core::toolkit::{Clock, ManualClock};
use kvdb_core::{Backend, Change, ErrorKind, KeyRange, Options, Read, Revision, WatchSpec};
use kvdb_memory::{FACTORY, MemoryBackend, MemoryConfig};

fn config() -> MemoryConfig {
    MemoryConfig::default()
}

#[cfg(test)]
async fn connect(name: &str, options: Options) -> Arc<dyn Backend> {
    (FACTORY.connect)(vec![name.to_owned()], options).await.unwrap()
}

#[tokio::test]
async fn every_check_of_the_shared_index_holds() {
    checks::all(async || MemoryBackend::new(&config())).await;
}

#[tokio::test]
async fn a_name_is_one_store_until_its_last_handle_is_gone() {
    let one = connect("shared-by-name", Options::new()).await;
    let two = connect("shared-by-name", Options::new()).await;
    write(&*one, vec![put("a", "1")]).await;
    assert!(read(&*two, "a").await.is_some());
    let mut open = feed(&*two, KeyRange::all(), None).await;
    one.close().await.unwrap();
    drop(one);
    write(&*two, vec![put("a", "2")]).await;
    assert_eq!(batch(&mut open).await.0, Revision::new(3));
    drop(two);
    assert_eq!(kind(step(&mut open).await).await, ErrorKind::Closed);
    drop(open);
    assert_eq!(read(&*connect("shared-by-name", Options::new()).await, "a").await, None);
    let private = connect("", Options::new()).await;
    write(&*private, vec![put("a", "1")]).await;
    assert_eq!(read(&*connect("", Options::new()).await, "a").await, None);
}

#[tokio::test]
async fn a_kept_name_outlives_its_handles() {
    let kept = connect("kept-by-name", Options::new().set("keep", true)).await;
    write(&*kept, vec![put("a", "1")]).await;
    kept.close().await.unwrap();
    drop(kept);
    assert!(read(&*connect("kept-by-name", Options::new()).await, "a").await.is_some());
    assert!(read(&*connect("kept-by-name", Options::new()).await, "a").await.is_some());
}

#[tokio::test]
async fn two_names_and_a_misspelt_option_are_refused() {
    let two = (FACTORY.connect)(vec!["a".into(), "b".into()], Options::new()).await;
    assert_eq!(kind(two).await, ErrorKind::InvalidConfig);
    let typo = (FACTORY.connect)(vec![], Options::new().set("history_revision", 1)).await.unwrap_err();
    assert!(typo.to_string().contains("`history_revisions`"), "{typo}");
}

#[tokio::test]
async fn a_lease_lives_exactly_by_monotonic_time() {
    let clock = Arc::new(ManualClock::new());
    let store = MemoryBackend::with_clock(&config(), Arc::clone(&clock) as Arc<dyn Clock>);
    let (lease, _) = store.grant(Duration::from_secs(10)).await.unwrap();
    write(&store, vec![put_leased("a", &lease)]).await;
    let hour = Duration::from_secs(3600);
    clock.step_wall(clock.wall() + hour);
    clock.step_wall(clock.wall() - 2 * hour);
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(store.lease_info(&lease).await.unwrap().remaining, Duration::from_millis(1));
    assert_eq!(store.keep_alive(&lease).await.unwrap(), Duration::from_secs(10));
    clock.advance(Duration::from_millis(9_999));
    assert!(read(&store, "a").await.is_some(), "never gone early");
    let mut open = feed(&store, KeyRange::all(), None).await;
    clock.advance(Duration::from_millis(1));
    assert_eq!(kind(store.keep_alive(&lease).await).await, ErrorKind::LeaseNotFound);
    gone(&store, "a").await;
    let (_, changes) = batch(&mut open).await;
    assert!(matches!(changes.as_slice(), [Change::Delete { expired: true, .. }]), "{changes:?}");
}

#[tokio::test]
async fn the_reaper_ends_with_its_store() {
    let clock = Arc::new(ManualClock::new());
    let store = MemoryBackend::with_clock(&config(), Arc::clone(&clock) as Arc<dyn Clock>);
    store.grant(Duration::from_secs(10)).await.unwrap();
    drop(store);
    // The store held the clock; the thread, which holds the store weakly, is not in the way.
    let freed = async {
        while Arc::strong_count(&clock) > 1 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(20), freed).await.expect("the store is freed");
}

#[tokio::test]
async fn history_is_bounded_by_revisions() {
    let store = MemoryBackend::new(&MemoryConfig { history_revisions: 100, ..config() });
    let spec = WatchSpec::new(KeyRange::all(), None, false);
    let mut slow = store.watch(&spec).await.unwrap();
    for _ in 0..1000 {
        write(&store, vec![put("a", "v")]).await;
    }
    let past = async |revision| store.get(&key("a"), &checks::at(Revision::new(revision))).await;
    assert!(past(901).await.is_ok(), "a hundred revisions are kept");
    assert!(matches!(kind(past(800).await).await, ErrorKind::Compacted { .. }), "and not many more");
    assert!(matches!(kind(step(&mut slow).await).await, ErrorKind::Compacted { .. }));
    let unbounded = MemoryBackend::new(&MemoryConfig { history_revisions: 0, ..config() });
    for _ in 0..12_000 {
        write(&unbounded, vec![put("a", "v")]).await;
    }
    assert!(unbounded.get(&key("a"), &checks::at(Revision::new(2))).await.unwrap().entry.is_some());
}

#[tokio::test]
async fn history_is_bounded_by_age() {
    let clock = Arc::new(ManualClock::new());
    let config = MemoryConfig { history_age: Some(Duration::from_secs(60)), history_revisions: 0, ..config() };
    let store = MemoryBackend::with_clock(&config, Arc::clone(&clock) as Arc<dyn Clock>);
    for _ in 0..10 {
        write(&store, vec![put("a", "v")]).await;
        clock.advance(Duration::from_secs(20));
    }
    let past = async |revision| store.get(&key("a"), &checks::at(Revision::new(revision))).await;
    assert!(past(9).await.is_ok(), "what is younger than the age is kept");
    assert!(matches!(kind(past(3).await).await, ErrorKind::Compacted { .. }));
}

#[tokio::test]
async fn a_listing_that_takes_too_long_ends_with_a_reason() {
    use futures_util::StreamExt;
    let clock = Arc::new(ManualClock::new());
    let store = MemoryBackend::with_clock(&config(), Arc::clone(&clock) as Arc<dyn Clock>);
    write(&store, (0..600).map(|n| put(&format!("{n:03}"), "v")).collect()).await;
    let mut scan = kvdb_core::Scan::default();
    scan.page_bytes = 100;
    let mut listing = store.list(&KeyRange::all(), &scan);
    listing.next().await.unwrap().unwrap();
    clock.advance(Duration::from_secs(59));
    let last = write(&store, vec![put("000", "w")]).await;
    store.compact(last).await.unwrap();
    listing.next().await.unwrap().unwrap();
    clock.advance(Duration::from_secs(1));
    store.compact(last).await.unwrap();
    assert_eq!(kind(listing.next().await.unwrap()).await, ErrorKind::Compacted { oldest: last });
    assert!(listing.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_racing_creates_wins() {
    let store = Arc::new(MemoryBackend::new(&config()));
    for round in 0..200 {
        let name = format!("race/{round}");
        let racers = (0..8).map(|_| {
            let (store, name) = (Arc::clone(&store), name.clone());
            tokio::spawn(async move {
                let guards = vec![kvdb_core::Guard::Absent(key(&name))];
                checks::commit(&*store, guards, vec![put(&name, "mine")]).await.unwrap()
            })
        });
        let mut winners = 0;
        for racer in racers.collect::<Vec<_>>() {
            winners += u32::from(racer.await.unwrap() != kvdb_core::Outcome::Conflict);
        }
        assert_eq!(winners, 1);
    }
    assert_eq!(store.get(&key("x"), &Read::default()).await.unwrap().revision, Revision::new(201));
}
