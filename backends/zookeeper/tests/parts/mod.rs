//! What the tests share: one server, a fresh directory for each test, and short forms.

mod foreign;
mod leases;
mod races;
mod reads;
mod refused;
mod rights;
mod servers;
mod sessions;
mod watches;
mod writes;

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::StreamExt;
use kvdb_core::{
    Backend, Batch, Change, Changes, Entry, ErrorKind, Feed, Guard, Key, KeyRange, LeaseId, Op, OpResult, Outcome,
    Read, Revision, Scan, WatchSpec,
};
use kvdb_servers::{Proxy, ZooKeeper, ZooKeeperSetup};
use kvdb_zookeeper::{ZooKeeperBackend, ZooKeeperConfig};
use zookeeper::Client;

/// How long a test waits for what must come.
const SOON: Duration = Duration::from_secs(30);

/// The server of all tests that do it no harm.
fn server() -> &'static ZooKeeper {
    static SERVER: OnceLock<ZooKeeper> = OnceLock::new();
    SERVER.get_or_init(|| ZooKeeper::start(ZooKeeperSetup::default()).unwrap())
}

async fn open_at(endpoints: &[String], config: &ZooKeeperConfig) -> ZooKeeperBackend {
    ZooKeeperBackend::open(endpoints, config).await.unwrap()
}

async fn open() -> ZooKeeperBackend {
    open_at(&server().endpoints(), &ZooKeeperConfig::default()).await
}

/// A plain client of the server, which is none of ours.
async fn stranger() -> Client {
    Client::connect(&server().endpoints()[0]).await.unwrap()
}

/// A proxy before the shared server, and its address.
fn proxy() -> (Proxy, String) {
    let port = server().endpoints()[0].rsplit_once(':').unwrap().1.parse().unwrap();
    let proxy = Proxy::start(port).unwrap();
    let address = format!("127.0.0.1:{}", proxy.port());
    (proxy, address)
}

/// A directory that nobody else uses.
fn place() -> String {
    format!("t{:016x}/", rand::random::<u64>())
}

fn put(key: &Key, value: &str) -> Op {
    Op::Put { key: key.clone(), value: value.to_owned().into(), lease: None, previous: false }
}

fn put_held(key: &Key, value: &str, lease: &LeaseId) -> Op {
    Op::Put { key: key.clone(), value: value.to_owned().into(), lease: Some(lease.clone()), previous: false }
}

fn delete(key: &Key) -> Op {
    Op::Delete { key: key.clone(), previous: true }
}

async fn commit(store: &ZooKeeperBackend, guards: Vec<Guard>, ops: Vec<Op>) -> Outcome {
    store.commit(&Batch { guards, ops }).await.unwrap()
}

/// Commits one put; answers its entry.
async fn written(store: &ZooKeeperBackend, guards: Vec<Guard>, op: Op) -> Entry {
    match commit(store, guards, vec![op]).await {
        Outcome::Committed { revision, results } => match results.into_iter().next() {
            Some(OpResult::Put { entry, .. }) => {
                assert_eq!(entry.modified, revision);
                entry
            }
            other => panic!("{other:?}"),
        },
        Outcome::Conflict => panic!("a conflict"),
    }
}

/// Commits one deletion; answers its revision and what was there.
async fn deleted(store: &ZooKeeperBackend, key: &Key) -> (Revision, Option<Entry>) {
    match commit(store, vec![], vec![delete(key)]).await {
        Outcome::Committed { revision, results } => match results.into_iter().next() {
            Some(OpResult::Deleted { removed, previous }) => {
                assert_eq!(removed, u64::from(previous.is_some()));
                (revision, previous)
            }
            other => panic!("{other:?}"),
        },
        Outcome::Conflict => panic!("a conflict"),
    }
}

async fn get(store: &ZooKeeperBackend, key: &Key) -> Option<Entry> {
    store.get(key, &Read::default()).await.unwrap().entry
}

async fn names(store: &ZooKeeperBackend, range: &KeyRange) -> Vec<String> {
    let mut scan = Scan::default();
    scan.keys_only = true;
    let pages: Vec<_> = store.list(range, &scan).collect().await;
    pages.into_iter().flat_map(|page| page.unwrap().names).map(|key| key.to_string()).collect()
}

/// All entries of a range, and the revision of the listing.
async fn listed(store: &ZooKeeperBackend, range: &KeyRange) -> (Vec<Entry>, Revision) {
    let pages: Vec<_> = store.list(range, &Scan::default()).collect().await;
    let pages: Vec<_> = pages.into_iter().map(Result::unwrap).collect();
    let revision = pages[0].revision;
    (pages.into_iter().flat_map(|page| page.entries).collect(), revision)
}

async fn kind<T: std::fmt::Debug>(answer: impl Future<Output = kvdb_core::Result<T>>) -> ErrorKind {
    answer.await.unwrap_err().kind().clone()
}

async fn watch(store: &ZooKeeperBackend, range: KeyRange, after: Option<Revision>) -> Feed {
    store.watch(&WatchSpec::new(range, after, true)).await.unwrap()
}

async fn next(feed: &mut Feed) -> kvdb_core::Result<Changes> {
    tokio::time::timeout(SOON, feed.changes.next()).await.expect("a step in time").expect("the feed goes on")
}

/// The next cut as `+key=value` and `-key`.
async fn cut(feed: &mut Feed) -> (Revision, Vec<String>) {
    match next(feed).await.unwrap() {
        Changes::Batch { revision, changes } => {
            let told = |change: &Change| match change {
                Change::Put { entry, .. } => format!("+{}={}", entry.key, String::from_utf8_lossy(&entry.value)),
                Change::Delete { key, revision: at, .. } => {
                    assert_eq!(*at, revision);
                    format!("-{key}")
                }
            };
            (revision, changes.iter().map(told).collect())
        }
        other => panic!("{other:?}"),
    }
}

/// Asks until the answer is yes.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let asking = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, asking).await.unwrap_or_else(|_| panic!("never: {what}"));
}
