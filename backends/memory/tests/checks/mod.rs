//! What every store over the shared index must do, asked through the `Backend` trait alone. The file store runs the
//! same checks.

use std::ops::Bound;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use kvdb_core::{
    Backend, Batch, Bytes, Change, Changes, Entry, ErrorKind, Feed, Guard, Key, KeyRange, LeaseId, Op, OpResult,
    Outcome, Page, Read, Result, Revision, Scan, WatchSpec,
};

/// How long a condition may take to come true before a check fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn key(text: &str) -> Key {
    Key::from(text)
}

pub(crate) fn put(name: &str, value: &str) -> Op {
    Op::Put { key: key(name), value: Bytes::copy_from_slice(value.as_bytes()), lease: None, previous: false }
}

pub(crate) fn put_leased(name: &str, lease: &LeaseId) -> Op {
    Op::Put { key: key(name), value: Bytes::from_static(b"leased"), lease: Some(lease.clone()), previous: false }
}

pub(crate) fn delete(name: &str) -> Op {
    Op::Delete { key: key(name), previous: true }
}

pub(crate) async fn commit(store: &dyn Backend, guards: Vec<Guard>, ops: Vec<Op>) -> Result<Outcome> {
    store.commit(&Batch { guards, ops }).await
}

pub(crate) async fn write(store: &dyn Backend, ops: Vec<Op>) -> Revision {
    match commit(store, Vec::new(), ops).await.unwrap() {
        Outcome::Committed { revision, .. } => revision,
        Outcome::Conflict => panic!("a batch without guards has no conflict"),
    }
}

pub(crate) async fn read(store: &dyn Backend, name: &str) -> Option<Entry> {
    store.get(&key(name), &Read::default()).await.unwrap().entry
}

pub(crate) async fn revision(store: &dyn Backend) -> Revision {
    store.get(&key("any"), &Read::default()).await.unwrap().revision
}

pub(crate) fn at(revision: Revision) -> Read {
    let mut read = Read::default();
    read.at = Some(revision);
    read
}

pub(crate) async fn pages(store: &dyn Backend, range: &KeyRange, scan: &Scan) -> Vec<Page> {
    store.list(range, scan).map(|page| page.unwrap()).collect().await
}

pub(crate) async fn names(store: &dyn Backend, range: &KeyRange, scan: &Scan) -> Vec<String> {
    let pages = pages(store, range, scan).await;
    pages.iter().flat_map(|page| &page.entries).map(|entry| entry.key.to_string()).collect()
}

pub(crate) async fn feed(store: &dyn Backend, range: KeyRange, after: Option<Revision>) -> Feed {
    store.watch(&WatchSpec::new(range, after, true)).await.unwrap()
}

/// The next step of a feed, if there is one within the patience of a test.
pub(crate) async fn step(feed: &mut Feed) -> Result<Changes> {
    tokio::time::timeout(PATIENCE, feed.changes.next()).await.expect("a feed has something to say").expect("not over")
}

pub(crate) async fn batch(feed: &mut Feed) -> (Revision, Vec<Change>) {
    loop {
        match step(feed).await.unwrap() {
            Changes::Batch { revision, changes } => return (revision, changes),
            Changes::Progress(_) => {}
            Changes::Resync { .. } => panic!("this store knows its history"),
        }
    }
}

pub(crate) async fn kind<T: std::fmt::Debug>(answer: Result<T>) -> ErrorKind {
    answer.unwrap_err().kind().clone()
}

/// Waits until `name` is gone.
pub(crate) async fn gone(store: &dyn Backend, name: &str) {
    let gone = async {
        while read(store, name).await.is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the key goes");
}

/// Runs every check on stores of their own.
pub(crate) async fn all<S: Backend>(open: impl AsyncFn() -> S) {
    without_much_room(&open).await;
    listings_show_one_revision(&open().await).await;
    listings_obey_limits_and_counts(&open().await).await;
    compaction_drops_what_nobody_reads(&open().await).await;
    leases_take_their_keys(&open().await).await;
    leases_move_with_their_keys(&open().await).await;
}

/// Runs the checks that ask for no large batch, no pinned history and no fine clock: what a server keeps as well.
pub(crate) async fn without_much_room<S: Backend>(open: &impl AsyncFn() -> S) {
    revisions_count_changing_batches(&open().await).await;
    guards_decide_all_or_nothing(&open().await).await;
    range_deletes_see_what_is_there(&open().await).await;
    past_reads_work_inside_the_history(&open().await).await;
    feeds_miss_nothing(&open().await).await;
    feeds_resume_after_a_revision(&open().await).await;
    wrong_batches_write_nothing(&open().await).await;
    closing_ends_everything(&open().await).await;
}

async fn revisions_count_changing_batches(store: &dyn Backend) {
    assert_eq!(revision(store).await, Revision::new(1));
    assert_eq!(write(store, vec![put("a", "1")]).await, Revision::new(2));
    assert_eq!(write(store, vec![put("a", "2"), put("b", "1")]).await, Revision::new(3));
    // Nothing to delete, a failed guard and a pure check take no revision.
    assert_eq!(write(store, vec![delete("none")]).await, Revision::new(3));
    assert_eq!(write(store, vec![]).await, Revision::new(3));
    assert_eq!(commit(store, vec![Guard::Absent(key("a"))], vec![put("a", "3")]).await.unwrap(), Outcome::Conflict);
    store.grant(Duration::from_secs(60)).await.unwrap();
    assert_eq!(write(store, vec![delete("a")]).await, Revision::new(4));
    assert_eq!(write(store, vec![put("a", "4")]).await, Revision::new(5));
    let entry = read(store, "a").await.unwrap();
    assert_eq!((entry.created.get(), entry.modified.get(), entry.version), (5, 5, Some(1)));
    let entry = read(store, "b").await.unwrap();
    assert_eq!((entry.created.get(), entry.modified.get(), entry.version), (3, 3, Some(1)));
}

async fn guards_decide_all_or_nothing(store: &dyn Backend) {
    let first = write(store, vec![put("a", "1")]).await;
    let holding = vec![Guard::Unchanged(key("a"), first), Guard::Present(key("a")), Guard::Absent(key("b"))];
    let batch =
        vec![Op::Put { key: key("a"), value: Bytes::from_static(b"2"), lease: None, previous: true }, put("b", "1")];
    let Outcome::Committed { revision, results } = commit(store, holding.clone(), batch.clone()).await.unwrap() else {
        panic!("all guards hold");
    };
    match results.as_slice() {
        [OpResult::Put { entry, previous: Some(before) }, OpResult::Put { entry: other, previous: None }] => {
            assert_eq!((entry.modified, entry.created, entry.version), (revision, first, Some(2)));
            assert_eq!((before.value.as_ref(), before.modified), (b"1".as_ref(), first));
            assert_eq!(other.created, revision);
        }
        other => panic!("not aligned with the ops: {other:?}"),
    }
    assert_eq!(commit(store, holding, batch).await.unwrap(), Outcome::Conflict);
    assert_eq!(read(store, "a").await.unwrap().value.as_ref(), b"2");
    let Outcome::Committed { results, .. } = commit(store, vec![], vec![delete("a")]).await.unwrap() else {
        panic!("no guard");
    };
    match results.as_slice() {
        [OpResult::Deleted { removed: 1, previous: Some(before) }] => assert_eq!(before.value.as_ref(), b"2"),
        other => panic!("{other:?}"),
    }
}

async fn range_deletes_see_what_is_there(store: &dyn Backend) {
    write(store, vec![put("a/1", ""), put("a/2", ""), put("a", ""), put("ab", "")]).await;
    let range = Op::DeleteRange { range: KeyRange::prefix(b"a/") };
    let Outcome::Committed { results, .. } = commit(store, vec![], vec![range.clone(), put("b", "")]).await.unwrap()
    else {
        panic!("no guard");
    };
    assert_eq!(results.first(), Some(&OpResult::Deleted { removed: 2, previous: None }));
    assert_eq!(names(store, &KeyRange::all(), &Scan::default()).await, ["a", "ab", "b"]);
    let before = revision(store).await;
    assert_eq!(write(store, vec![range]).await, before);
}

async fn past_reads_work_inside_the_history(store: &dyn Backend) {
    let one = write(store, vec![put("a", "1")]).await;
    let two = write(store, vec![put("a", "2"), put("b", "2")]).await;
    let three = write(store, vec![delete("a")]).await;
    let past = async |revision| store.get(&key("a"), &at(revision)).await.unwrap().entry.map(|entry| entry.value);
    assert_eq!(past(Revision::new(1)).await, None);
    assert_eq!(past(one).await.unwrap().as_ref(), b"1");
    assert_eq!(past(two).await.unwrap().as_ref(), b"2");
    assert_eq!(past(three).await, None);
    let future = store.get(&key("a"), &at(three.next())).await;
    assert_eq!(kind(future).await, ErrorKind::FutureRevision { current: three });
    let mut scan = Scan::default();
    scan.read = at(two);
    assert_eq!(names(store, &KeyRange::all(), &scan).await, ["a", "b"]);
    scan.read = at(one);
    assert_eq!(names(store, &KeyRange::all(), &scan).await, ["a"]);
}

async fn listings_show_one_revision(store: &dyn Backend) {
    let all: Vec<String> = (0..900).map(|n| format!("k/{n:04}")).collect();
    let shown = write(store, all.iter().map(|name| put(name, "before")).collect()).await;
    let mut scan = Scan::default();
    scan.page_bytes = 2000;
    let mut listing = store.list(&KeyRange::prefix(b"k/"), &scan);
    let mut entries = listing.next().await.unwrap().unwrap().entries;
    assert!(entries.len() < 300, "a page has about the bytes that were asked for");
    for name in all.iter().step_by(2) {
        write(store, vec![delete(name)]).await;
    }
    let last = write(store, vec![put("k/0000x", "new"), put("k/0899", "after")]).await;
    store.compact(last).await.unwrap();
    while let Some(page) = listing.next().await {
        let page = page.unwrap();
        assert_eq!(page.revision, shown);
        entries.extend(page.entries);
    }
    assert_eq!(entries.iter().map(|entry| entry.key.to_string()).collect::<Vec<_>>(), all);
    assert!(entries.iter().all(|entry| entry.value.as_ref() == b"before" && entry.modified == shown));
    assert_eq!(kind(store.get(&key("k/0001"), &at(shown)).await).await, ErrorKind::Compacted { oldest: last });
    assert_eq!(names(store, &KeyRange::prefix(b"k/"), &Scan::default()).await.len(), 451);
}

async fn listings_obey_limits_and_counts(store: &dyn Backend) {
    write(store, (0..700).map(|n| put(&format!("k/{n:03}"), "")).collect()).await;
    let range = KeyRange::prefix(b"k/");
    let mut scan = Scan::default();
    scan.limit = Some(3);
    assert_eq!(names(store, &range, &scan).await, ["k/000", "k/001", "k/002"]);
    scan.reverse = true;
    assert_eq!(names(store, &range, &scan).await, ["k/699", "k/698", "k/697"]);
    scan.limit = None;
    let mut backwards = names(store, &range, &scan).await;
    backwards.reverse();
    assert_eq!(backwards, names(store, &range, &Scan::default()).await);
    scan.limit = Some(300);
    scan.total = true;
    scan.keys_only = true;
    let answer = pages(store, &range, &scan).await;
    assert!(answer.iter().all(|page| page.count == Some(700) && page.entries.is_empty()));
    assert_eq!(answer.iter().map(|page| page.names.len()).sum::<usize>(), 300);
    scan.count_only = true;
    match pages(store, &range, &scan).await.as_slice() {
        [page] => assert_eq!((page.count, page.names.len(), page.revision), (Some(700), 0, Revision::new(2))),
        other => panic!("a count is one page: {other:?}"),
    }
    for empty in
        [KeyRange::prefix(b"none/"), KeyRange { start: Bound::Excluded(key("b")), end: Bound::Excluded(key("b")) }]
    {
        let answer = pages(store, &empty, &Scan::default()).await;
        assert_eq!(answer.len(), 1, "nothing there is one empty page");
        assert!(answer.iter().all(|page| page.entries.is_empty() && page.revision == Revision::new(2)));
    }
}

async fn compaction_drops_what_nobody_reads(store: &dyn Backend) {
    write(store, vec![put("a", "1"), put("b", "1")]).await;
    let overwritten = write(store, vec![put("a", "2")]).await;
    let deleted = write(store, vec![delete("b")]).await;
    let last = write(store, vec![put("c", "1")]).await;
    assert_eq!(kind(store.compact(last.next()).await).await, ErrorKind::FutureRevision { current: last });
    store.compact(deleted).await.unwrap();
    store.compact(overwritten).await.unwrap();
    let past = async |name: &str, revision| store.get(&key(name), &at(revision)).await;
    assert_eq!(kind(past("a", overwritten).await).await, ErrorKind::Compacted { oldest: deleted });
    assert_eq!(past("a", deleted).await.unwrap().entry.unwrap().value.as_ref(), b"2");
    assert_eq!(past("b", deleted).await.unwrap().entry, None);
    assert_eq!(past("c", deleted).await.unwrap().entry, None);
    let spec = |after| WatchSpec::new(KeyRange::all(), Some(after), false);
    let compacted = ErrorKind::Compacted { oldest: deleted };
    assert_eq!(store.watch(&spec(overwritten)).await.unwrap_err().kind().clone(), compacted);
    let mut feed = store.watch(&spec(deleted)).await.unwrap();
    assert_eq!(batch(&mut feed).await.0, last);
    assert_eq!(write(store, vec![put("b", "2")]).await, last.next());
    assert_eq!(read(store, "b").await.unwrap().version, Some(1));
}

async fn feeds_miss_nothing(store: &dyn Backend) {
    write(store, vec![put("w/old", "0")]).await;
    let mut feed = feed(store, KeyRange::prefix(b"w/"), None).await;
    assert_eq!(feed.revision, Revision::new(2));
    assert!(feed.changes.next().now_or_never().is_none(), "nothing happened since");
    let mut expected = Vec::new();
    for round in 0..300 {
        write(store, vec![put("x", "elsewhere")]).await;
        let revision = write(store, vec![put(&format!("w/{}", round % 7), "v"), put("w/z", "v")]).await;
        expected.push(revision);
    }
    for wanted in expected {
        let (revision, changes) = batch(&mut feed).await;
        assert_eq!((revision, changes.len()), (wanted, 2));
    }
    let revision = write(store, vec![delete("w/old")]).await;
    let (told, changes) = batch(&mut feed).await;
    assert_eq!(told, revision);
    match changes.as_slice() {
        [Change::Delete { key, expired: false, previous: Some(before), revision: of }] => {
            assert_eq!((key.to_string().as_str(), before.value.as_ref(), *of), ("w/old", b"0".as_ref(), revision));
        }
        other => panic!("{other:?}"),
    }
}

async fn feeds_resume_after_a_revision(store: &dyn Backend) {
    let first = write(store, vec![put("a", "1")]).await;
    let second = write(store, vec![put("a", "2"), put("b", "1")]).await;
    let third = write(store, vec![put("c", "1")]).await;
    let mut resumed = feed(store, KeyRange::all(), Some(first)).await;
    let (revision, changes) = batch(&mut resumed).await;
    assert_eq!(revision, second);
    match changes.as_slice() {
        [Change::Put { previous: Some(before), .. }, Change::Put { previous: None, .. }] => {
            assert_eq!(before.value.as_ref(), b"1");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(batch(&mut resumed).await.0, third);
    assert_eq!(step(&mut resumed).await.unwrap(), Changes::Progress(third));
    let mut present = feed(store, KeyRange::prefix(b"none"), Some(third)).await;
    assert_eq!(step(&mut present).await.unwrap(), Changes::Progress(third));
    let future = store.watch(&WatchSpec::new(KeyRange::all(), Some(third.next()), false)).await;
    assert_eq!(kind(future).await, ErrorKind::FutureRevision { current: third });
    let fourth = write(store, vec![put("a", "3")]).await;
    assert_eq!(batch(&mut resumed).await.0, fourth);
}

async fn leases_take_their_keys(store: &dyn Backend) {
    let (lease, ttl) = store.grant(Duration::from_secs(60)).await.unwrap();
    assert_eq!(ttl, Duration::from_secs(60));
    let attached = write(store, vec![put_leased("l/a", &lease), put_leased("l/b", &lease), put("l/c", "")]).await;
    let entry = read(store, "l/a").await.unwrap();
    assert_eq!((entry.lease, entry.ttl), (Some(lease.clone()), Some(ttl)));
    let info = store.lease_info(&lease).await.unwrap();
    assert_eq!(info.keys, ["l/a", "l/b"]);
    assert!(info.granted == ttl && info.remaining <= ttl && info.remaining > ttl / 2);
    assert_eq!(store.keep_alive(&lease).await.unwrap(), ttl);
    let mut feed = feed(store, KeyRange::prefix(b"l/"), None).await;
    store.revoke(&lease).await.unwrap();
    let (revision, changes) = batch(&mut feed).await;
    assert_eq!((revision, changes.len()), (attached.next(), 2));
    assert!(changes.iter().all(|change| matches!(change, Change::Delete { expired: false, .. })));
    assert_eq!(names(store, &KeyRange::prefix(b"l/"), &Scan::default()).await, ["l/c"]);
    let before = self::revision(store).await;
    for wrong in [lease, LeaseId::Number(0), LeaseId::Number(5), LeaseId::Text("a".into())] {
        assert_eq!(kind(store.revoke(&wrong).await).await, ErrorKind::LeaseNotFound);
        assert_eq!(kind(store.keep_alive(&wrong).await).await, ErrorKind::LeaseNotFound);
        assert_eq!(kind(store.lease_info(&wrong).await).await, ErrorKind::LeaseNotFound);
        let refused = commit(store, vec![], vec![put("l/d", ""), put_leased("l/e", &wrong)]).await;
        assert_eq!(kind(refused).await, ErrorKind::LeaseNotFound);
    }
    assert_eq!(self::revision(store).await, before);
    assert!(matches!(kind(store.grant(Duration::ZERO).await).await, ErrorKind::TtlNotSupported { .. }));
    // Without keys a lease ends without a revision.
    let (empty, _) = store.grant(Duration::from_millis(1)).await.unwrap();
    let (other, _) = store.grant(Duration::from_secs(5)).await.unwrap();
    store.revoke(&other).await.unwrap();
    let ended = async {
        while store.lease_info(&empty).await.is_ok() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the lease runs out");
    assert_eq!(self::revision(store).await, before);
}

async fn leases_move_with_their_keys(store: &dyn Backend) {
    let (short, _) = store.grant(Duration::from_millis(100)).await.unwrap();
    let (long, _) = store.grant(Duration::from_secs(600)).await.unwrap();
    let mut feed = feed(store, KeyRange::all(), None).await;
    let attached = ["moved", "freed", "deleted", "stays"].map(|name| put_leased(name, &short));
    write(store, attached.into()).await;
    write(store, vec![put_leased("moved", &long), put("freed", ""), delete("deleted")]).await;
    write(store, vec![put("deleted", "again")]).await;
    for _ in 0..3 {
        batch(&mut feed).await;
    }
    let (_, changes) = batch(&mut feed).await;
    match changes.as_slice() {
        [Change::Delete { key, expired: true, previous: Some(before), .. }] => {
            assert_eq!((key.to_string().as_str(), before.value.as_ref()), ("stays", b"leased".as_ref()));
        }
        other => panic!("only the key that is still attached goes: {other:?}"),
    }
    assert_eq!(names(store, &KeyRange::all(), &Scan::default()).await, ["deleted", "freed", "moved"]);
    assert_eq!(kind(store.keep_alive(&short).await).await, ErrorKind::LeaseNotFound);
    store.revoke(&long).await.unwrap();
    assert_eq!(names(store, &KeyRange::all(), &Scan::default()).await, ["deleted", "freed"]);
}

async fn wrong_batches_write_nothing(store: &dyn Backend) {
    let limits = store.limits();
    let big =
        Op::Put { key: key("a"), value: Bytes::from(vec![0; limits.value_bytes + 1]), lease: None, previous: false };
    let wrong = [
        (vec![put("a", ""), put("a", "")], ErrorKind::InvalidArgument),
        (vec![put("a", ""), Op::DeleteRange { range: KeyRange::all() }], ErrorKind::InvalidArgument),
        (vec![put("b", ""), big], ErrorKind::TooLarge { limit: limits.value_bytes }),
    ];
    for (ops, expected) in wrong {
        assert_eq!(kind(commit(store, vec![], ops).await).await, expected);
    }
    assert_eq!(revision(store).await, Revision::new(1));
    let largest = Bytes::from(vec![7; limits.value_bytes]);
    let fits = Op::Put { key: key("a"), value: largest.clone(), lease: None, previous: false };
    // The batch has room for the largest value only without its key, unless the limit says more.
    if limits.batch_bytes > limits.value_bytes {
        write(store, vec![fits]).await;
        assert_eq!(read(store, "a").await.unwrap().value, largest);
    }
}

async fn closing_ends_everything(store: &dyn Backend) {
    let mut open = feed(store, KeyRange::all(), None).await;
    let mut listing = store.list(&KeyRange::all(), &Scan::default());
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(kind(step(&mut open).await).await, ErrorKind::Closed);
    assert!(open.changes.next().await.is_none());
    assert_eq!(kind(listing.next().await.unwrap()).await, ErrorKind::Closed);
    assert_eq!(kind(store.get(&key("a"), &Read::default()).await).await, ErrorKind::Closed);
    assert_eq!(kind(commit(store, vec![], vec![put("a", "")]).await).await, ErrorKind::Closed);
    assert_eq!(kind(store.grant(Duration::from_secs(1)).await).await, ErrorKind::Closed);
    let spec = WatchSpec::new(KeyRange::all(), None, false);
    assert_eq!(kind(store.watch(&spec).await).await, ErrorKind::Closed);
}
