//! What a failing disk does to the store.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use kvdb_core::toolkit::SystemClock;
use kvdb_core::{Backend, ErrorKind, KeyRange, Read, Retry};
use kvdb_redb::RedbBackend;
use redb::StorageBackend;

use crate::checks::{batch, commit, feed, key, kind, put, put_leased, read, step, write};
use crate::config;

/// A disk in memory that outlives the store on it and fails on demand.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bytes: Mutex<Vec<u8>>,
    full: AtomicBool,
    no_sync: AtomicBool,
    breaks: AtomicBool,
    stalls: Mutex<Stall>,
    changed: Condvar,
}

/// A sync that does not come back until it is let.
#[derive(Debug, Default, PartialEq)]
enum Stall {
    #[default]
    Never,
    Armed,
    Inside,
}

impl Shared {
    fn set(&self, stall: Stall) {
        *self.stalls.lock().unwrap() = stall;
        self.changed.notify_all();
    }

    fn stall(&self) {
        let mut stall = self.stalls.lock().unwrap();
        if *stall == Stall::Armed {
            *stall = Stall::Inside;
            self.changed.notify_all();
            drop(self.changed.wait_while(stall, |stall| *stall == Stall::Inside).unwrap());
        }
    }

    fn wait_until_inside(&self) {
        let stall = self.stalls.lock().unwrap();
        let patience = Duration::from_secs(20);
        let waited = self.changed.wait_timeout_while(stall, patience, |stall| *stall != Stall::Inside).unwrap();
        assert!(!waited.1.timed_out(), "a commit syncs");
    }
}

impl Disk {
    fn check(&self, flag: &AtomicBool, kind: io::ErrorKind) -> io::Result<()> {
        if flag.load(Ordering::SeqCst) { Err(kind.into()) } else { Ok(()) }
    }

    async fn open(&self) -> kvdb_core::Result<RedbBackend> {
        RedbBackend::open_with(self.clone(), config(), Arc::new(SystemClock::default())).await
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.bytes.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        out.copy_from_slice(bytes.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check(&self.0.full, io::ErrorKind::StorageFull)?;
        self.0.bytes.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.stall();
        assert!(!self.0.breaks.load(Ordering::SeqCst), "the storage panics on purpose");
        self.check(&self.0.no_sync, io::ErrorKind::Other)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(&self.0.full, io::ErrorKind::StorageFull)?;
        let start = usize::try_from(offset).unwrap();
        self.0.bytes.lock().unwrap()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

async fn poisons(break_it: impl Fn(&Shared, bool), expected: ErrorKind) {
    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    write(&store, vec![put("a", "acknowledged")]).await;
    let mut open_feed = feed(&store, KeyRange::all(), None).await;
    let mut caught_up = feed(&store, KeyRange::all(), Some(kvdb_core::Revision::new(1))).await;
    batch(&mut caught_up).await;
    break_it(&disk.0, true);
    let writes = (0..8).map(|n| commit(&store, vec![], vec![put("a", &n.to_string())]));
    for answer in futures_util::future::join_all(writes).await {
        let error = answer.unwrap_err();
        assert_eq!(*error.kind(), expected, "{error}");
        assert!(error.to_string().contains("open the file again"), "{error}");
    }
    break_it(&disk.0, false);
    // The disk is well again, the store stays poisoned: what it has in memory is not what is on disk.
    let later = commit(&store, vec![], vec![put("a", "later")]).await.unwrap_err();
    assert_eq!((later.kind(), later.retry()), (&expected, Retry::Never));
    assert_eq!(kind(store.get(&key("a"), &Read::default()).await).await, expected);
    assert_eq!(kind(store.grant(Duration::from_secs(1)).await).await, expected);
    assert_eq!(kind(step(&mut open_feed).await).await, expected);
    assert!(open_feed.changes.next().await.is_none());
    drop(store);
    let store = disk.open().await.unwrap();
    let value = read(&store, "a").await.unwrap().value;
    assert!(value.as_ref() == b"acknowledged" || value.len() == 1, "{value:?}");
    write(&store, vec![put("b", "goes on")]).await;
}

#[tokio::test]
async fn a_full_disk_poisons_the_store() {
    poisons(|disk, broken| disk.full.store(broken, Ordering::SeqCst), ErrorKind::StorageFull).await;
}

#[tokio::test]
async fn a_failed_sync_poisons_the_store() {
    poisons(|disk, broken| disk.no_sync.store(broken, Ordering::SeqCst), ErrorKind::Unavailable).await;
}

#[tokio::test]
async fn a_writer_that_panics_poisons_the_store() {
    poisons(|disk, broken| disk.breaks.store(broken, Ordering::SeqCst), ErrorKind::Internal).await;
}

#[tokio::test]
async fn the_group_that_failed_is_ambiguous_and_never_shown() {
    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    let mut open_feed = feed(&store, KeyRange::all(), None).await;
    disk.0.no_sync.store(true, Ordering::SeqCst);
    let error = commit(&store, vec![], vec![put("a", "1")]).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Ambiguous);
    assert_eq!(kind(step(&mut open_feed).await).await, ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_a_write_before_it_is_on_disk() {
    let disk = Disk::default();
    let store = Arc::new(disk.open().await.unwrap());
    write(&*store, vec![put("a", "old")]).await;
    let mut open_feed = feed(&*store, KeyRange::all(), None).await;
    disk.0.set(Stall::Armed);
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move { write(&*store, vec![put("a", "new")]).await }
    });
    let waiting = disk.clone();
    tokio::task::spawn_blocking(move || waiting.0.wait_until_inside()).await.unwrap();
    assert_eq!(read(&*store, "a").await.unwrap().value.as_ref(), b"old");
    assert!(open_feed.changes.next().now_or_never().is_none(), "no event of what may yet be lost");
    assert!(!writer.is_finished(), "no answer either");
    disk.0.set(Stall::Never);
    let revision = writer.await.unwrap();
    assert_eq!(batch(&mut open_feed).await.0, revision);
    assert_eq!(read(&*store, "a").await.unwrap().value.as_ref(), b"new");
}

#[tokio::test]
async fn a_keep_alive_is_on_disk_before_it_answers() {
    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    let (lease, _) = store.grant(Duration::from_secs(60)).await.unwrap();
    write(&store, vec![put_leased("a", &lease)]).await;
    disk.0.no_sync.store(true, Ordering::SeqCst);
    assert_eq!(store.keep_alive(&lease).await.unwrap_err().retry(), Retry::Ambiguous);
}

#[tokio::test]
async fn opening_on_a_full_disk_says_so() {
    let disk = Disk::default();
    disk.0.full.store(true, Ordering::SeqCst);
    assert_eq!(kind(disk.open().await).await, ErrorKind::StorageFull);
}

#[tokio::test]
async fn a_cut_off_image_is_refused_or_whole() {
    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    for n in 0..50 {
        write(&store, vec![put(&format!("k{n}"), "v")]).await;
    }
    store.close().await.unwrap();
    let whole = disk.0.bytes.lock().unwrap().clone();
    for cut in [1, 100, 4096, whole.len() / 2, whole.len() - 1] {
        let torn = Disk::default();
        torn.0.bytes.lock().unwrap().extend_from_slice(&whole[..cut]);
        let error = torn.open().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Corrupt, "{cut}: {error}");
    }
}

#[tokio::test]
async fn an_unpolled_commit_writes_nothing() {
    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    let batch = kvdb_core::Batch { guards: vec![], ops: vec![put("a", "1")] };
    drop(store.commit(&batch));
    // Polled once it is in the queue, and happens whole.
    assert!(store.commit(&batch).now_or_never().is_none());
    write(&store, vec![put("b", "1")]).await;
    assert_eq!(read(&store, "a").await.unwrap().version, Some(1));
}
