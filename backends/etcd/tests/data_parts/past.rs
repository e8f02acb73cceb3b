//! Past revisions, and the numbers that etcd's refusals lack.

use futures_util::StreamExt;
use kvdb_core::{Backend, Consistency, ErrorKind, KeyRange, Read, Revision, Scan};

use crate::checks::{at, delete, key, kind, put, read, revision, write};
use crate::cluster::{open, start};

fn scan_at(revision: Revision) -> Scan {
    let mut scan = Scan::default();
    scan.read = at(revision);
    scan
}

#[tokio::test]
async fn refusals_of_the_past_tell_their_numbers() {
    let cluster = start();
    let store = open(&cluster).await;
    let first = write(&store, vec![put("a", "1")]).await;
    let second = write(&store, vec![put("a", "2")]).await;
    let third = write(&store, vec![delete("a")]).await;
    let list = async |scan: Scan| store.list(&KeyRange::prefix(b"a"), &scan).next().await.unwrap();
    for above in [third.next(), Revision::new(u64::MAX >> 1), Revision::MAX] {
        let future = ErrorKind::FutureRevision { current: third };
        assert_eq!(kind(store.get(&key("a"), &at(above)).await).await, future);
        assert_eq!(kind(list(scan_at(above)).await).await, future);
        assert_eq!(kind(store.compact(above).await).await, future);
        // Also where only the member's own knowledge was asked for.
        let mut stale = at(above);
        stale.consistency = Consistency::Stale;
        assert_eq!(kind(store.get(&key("a"), &stale).await).await, future);
    }
    // Before everything there is nothing.
    assert_eq!(store.get(&key("a"), &at(Revision::ZERO)).await.unwrap().entry, None);
    store.compact(second).await.unwrap();
    for again in [second, first, Revision::ZERO] {
        store.compact(again).await.unwrap();
    }
    let compacted = ErrorKind::Compacted { oldest: second };
    for gone in [Revision::ZERO, first] {
        assert_eq!(kind(store.get(&key("a"), &at(gone)).await).await, compacted);
        assert_eq!(kind(list(scan_at(gone)).await).await, compacted);
    }
    let fetched = store.get(&key("a"), &at(second)).await.unwrap();
    assert_eq!((fetched.entry.map(|entry| entry.value), fetched.revision), (Some("2".into()), second));
    assert_eq!(read(&store, "a").await, None);
}

#[tokio::test]
async fn a_stale_read_reads() {
    let cluster = start();
    let store = open(&cluster).await;
    write(&store, vec![put("a", "1")]).await;
    let mut stale = Read::default();
    stale.consistency = Consistency::Stale;
    // One member knows everything.
    let fetched = store.get(&key("a"), &stale).await.unwrap();
    assert_eq!((fetched.entry.map(|entry| entry.value), fetched.revision), (Some("1".into()), revision(&store).await));
}
