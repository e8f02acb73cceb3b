//! Listings: one revision, pages of about the bytes that were asked for, whatever lies behind small values.

use std::ops::Bound;

use futures_util::StreamExt;
use kvdb_core::{Backend, ErrorKind, Key, KeyRange, Op, Page, Scan};
use kvdb_etcd::EtcdBackend;

use crate::checks::{commit, delete, key, kind, pages, put, revision, write};
use crate::cluster::{finished, open, start};

/// Keys `k/00000` and so on with small values.
async fn small(store: &EtcdBackend, keys: usize) -> Vec<String> {
    let names: Vec<String> = (0..keys).map(|n| format!("k/{n:05}")).collect();
    for batch in names.chunks(100) {
        write(store, batch.iter().map(|name| put(name, "before")).collect()).await;
    }
    names
}

fn names_of(page: &Page) -> Vec<String> {
    page.entries.iter().map(|entry| &entry.key).chain(&page.names).map(Key::to_string).collect()
}

fn bytes(page: &Page) -> usize {
    page.entries.iter().map(|entry| entry.key.len() + entry.value.len()).sum()
}

#[tokio::test]
async fn all_pages_show_the_first_ones_revision() {
    let cluster = start();
    let store = open(&cluster).await;
    let names = small(&store, 3000).await;
    let shown = revision(&store).await;
    let mut scan = Scan::default();
    scan.page_bytes = 4000;
    let mut listing = store.list(&KeyRange::prefix(b"k/"), &scan);
    let first = listing.next().await.unwrap().unwrap();
    let mut listed = names_of(&first);
    for name in names.iter().step_by(50) {
        write(&store, vec![delete(name)]).await;
    }
    write(&store, vec![put("k/00000x", "new"), put("k/02999", "after")]).await;
    while let Some(page) = listing.next().await {
        let page = page.unwrap();
        assert_eq!(page.revision, shown);
        assert!(bytes(&page) <= 4000);
        assert!(page.entries.iter().all(|entry| entry.value.as_ref() == b"before"));
        listed.extend(names_of(&page));
    }
    assert_eq!(listed, names);
}

#[tokio::test]
async fn a_listing_whose_history_goes_ends_as_compacted() {
    let cluster = start();
    let store = open(&cluster).await;
    small(&store, 1000).await;
    let mut scan = Scan::default();
    scan.page_bytes = 1;
    let mut listing = store.list(&KeyRange::prefix(b"k/"), &scan);
    assert!(listing.next().await.unwrap().is_ok());
    let oldest = write(&store, vec![put("other", "")]).await;
    store.compact(oldest).await.unwrap();
    let ended = loop {
        match listing.next().await.unwrap() {
            // It was asked for before.
            Ok(page) => assert!(page.revision < oldest),
            Err(error) => break error.kind().clone(),
        }
    };
    assert_eq!(ended, ErrorKind::Compacted { oldest });
    assert!(listing.next().await.is_none());
}

#[tokio::test]
async fn limits_counts_and_order_are_kept_over_pages() {
    let cluster = start();
    let store = open(&cluster).await;
    let names = small(&store, 700).await;
    let range = KeyRange::prefix(b"k/");
    let collect =
        async |scan: &Scan| -> Vec<String> { pages(&store, &range, scan).await.iter().flat_map(names_of).collect() };
    for (page_bytes, limit) in [(1 << 20, None), (500, None), (500, Some(300)), (1 << 20, Some(3)), (1, Some(130))] {
        for (reverse, keys_only) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut scan = Scan::default();
            (scan.page_bytes, scan.limit, scan.reverse, scan.keys_only) = (page_bytes, limit, reverse, keys_only);
            let mut expected = names.clone();
            if reverse {
                expected.reverse();
            }
            expected.truncate(limit.unwrap_or(usize::MAX));
            assert_eq!(collect(&scan).await, expected, "{scan:?}");
            scan.total = true;
            assert!(pages(&store, &range, &scan).await.iter().all(|page| page.count == Some(700)));
        }
    }
    let before = finished(&cluster, &["Range"]);
    let mut scan = Scan::default();
    scan.count_only = true;
    scan.limit = Some(5);
    assert!(matches!(pages(&store, &range, &scan).await.as_slice(), [page] if page.count == Some(700)));
    scan.count_only = false;
    scan.limit = Some(0);
    let nothing = pages(&store, &range, &scan).await;
    assert!(matches!(nothing.as_slice(), [page] if page.count.is_none() && names_of(page).is_empty()));
    scan.limit = Some(3);
    assert_eq!(collect(&scan).await.len(), 3);
    assert_eq!(finished(&cluster, &["Range"]) - before, 3.0, "one call each");
    // Where no key can lie there is one empty page.
    let nowhere = KeyRange { start: Bound::Included(key("b")), end: Bound::Excluded(key("b")) };
    let present = revision(&store).await;
    let nothing = pages(&store, &nowhere, &Scan::default()).await;
    assert!(matches!(nothing.as_slice(), [page] if page.revision == present && page.entries.is_empty()));
}

#[tokio::test]
async fn large_values_behind_small_ones_make_no_page_fail() {
    let cluster = start();
    let store = open(&cluster).await;
    small(&store, 1200).await;
    let size = store.limits().value_bytes;
    for n in 0..24 {
        let value = vec![7; size].into();
        let op = Op::Put { key: key(&format!("k/x{n:02}")), value, lease: None, previous: false };
        commit(&store, vec![], vec![op]).await.unwrap();
    }
    let whole = KeyRange::prefix(b"k/");
    for (page_bytes, most) in [(1000, 4 << 20), (1 << 20, 4 << 20), (8 << 20, 32 << 20)] {
        let mut scan = Scan::default();
        scan.page_bytes = page_bytes;
        let pages = pages(&store, &whole, &scan).await;
        assert_eq!(pages.iter().map(|page| page.entries.len()).sum::<usize>(), 1224);
        assert!(pages.iter().all(|page| bytes(page) <= most), "of {page_bytes}");
        let largest = pages.iter().map(bytes).max();
        assert!(largest >= Some(page_bytes.min(most / 2)), "{largest:?} of {page_bytes}");
    }
}

#[tokio::test]
async fn the_next_page_is_asked_for_while_this_one_is_looked_at() {
    let cluster = start();
    let store = open(&cluster).await;
    small(&store, 1000).await;
    let mut scan = Scan::default();
    scan.page_bytes = 2000;
    let before = finished(&cluster, &["Range"]);
    let mut listing = store.list(&KeyRange::prefix(b"k/"), &scan);
    listing.next().await.unwrap().unwrap();
    let asked = || finished(&cluster, &["Range"]) - before;
    let second = async {
        while asked() < 2.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), second).await.expect("the second page is asked for");
    // And no more than that, however long the reader takes: another listing has been read to its end meanwhile.
    let other = pages(&store, &KeyRange::prefix(b"k/"), &Scan::default()).await;
    assert_eq!(asked(), 2.0 + other.len() as f64);
    drop(listing);
    store.close().await.unwrap();
    let closed = store.list(&KeyRange::all(), &Scan::default()).next().await.unwrap();
    assert_eq!(kind(closed).await, ErrorKind::Closed);
}
