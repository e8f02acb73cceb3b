use super::*;
use std::ops::Bound;

#[tokio::test]
async fn every_text_is_a_key_and_every_byte_a_value() {
    let store = open().await;
    let place = place();
    let names_ = [
        "a b",
        "a%2Fb",
        "a?flags=7",
        "a#b",
        "a+b",
        "a&b",
        "ü/日本",
        "😀",
        "line\u{2028}",
        "\u{ad}soft",
        "\"quoted\"\\",
        "<tag>",
        ".hidden",
        "a/..b",
        "\u{a0}",
        "a:b@c",
        "~",
        "_kvdbx",
    ];
    let value = Bytes::from((0..=255).collect::<Vec<u8>>());
    for name in names_ {
        let key = Key::from(format!("{place}{name}"));
        assert_eq!(get(&store, &key).await, None, "{name:?}");
        let op = Op::Put { key: key.clone(), value: value.clone(), lease: None, previous: false };
        let entry = written(&store, vec![Guard::Absent(key.clone())], op).await;
        let fetched = store.get(&key, &Read::default()).await.unwrap();
        assert!(fetched.revision >= entry.modified, "{name:?}");
        assert_eq!(fetched.entry, Some(entry), "{name:?}");
        // Alone, by a prefix that ends in it, and with all.
        for range in [KeyRange::single(key.clone()), KeyRange::prefix(key.as_bytes())] {
            assert!(names(&store, &range).await.contains(&key.to_string()), "{name:?}");
        }
        let mut feed = watch(&store, KeyRange::single(key.clone()), None).await;
        drop(deleted(&open().await, &key).await);
        assert_eq!(cut(&mut feed).await.1, [format!("-{key}")]);
        drop(written(&store, vec![], put(&key, "")).await);
    }
    let mut expected: Vec<String> = names_.iter().map(|name| format!("{place}{name}")).collect();
    expected.sort();
    assert_eq!(names(&store, &KeyRange::prefix(place.as_bytes())).await, expected);
}

use kvdb_core::Bytes;

#[tokio::test]
async fn a_listing_is_cut_as_it_was_asked_for() {
    let store = open().await;
    let place = place();
    let keys: Vec<Key> = ["a", "b", "b/c", "ba", "c"].iter().map(|name| Key::from(format!("{place}{name}"))).collect();
    let ops = keys.iter().map(|key| put(key, "12345678")).collect();
    let Outcome::Committed { revision, .. } = commit(&store, vec![], ops).await else { panic!("a conflict") };
    let range = |start: Bound<&str>, end: Bound<&str>| KeyRange {
        start: start.map(|name| Key::from(format!("{place}{name}"))),
        end: end.map(|name| Key::from(format!("{place}{name}"))),
    };
    let whole = KeyRange::prefix(place.as_bytes());
    let scan = |change: &dyn Fn(&mut Scan)| {
        let mut scan = Scan::default();
        change(&mut scan);
        scan
    };
    let table: Vec<(KeyRange, Scan, &[usize])> = vec![
        (whole.clone(), scan(&|_| ()), &[0, 1, 2, 3, 4]),
        (whole.clone(), scan(&|scan| scan.page_bytes = 0), &[0, 1, 2, 3, 4]),
        (whole.clone(), scan(&|scan| scan.reverse = true), &[4, 3, 2, 1, 0]),
        (whole.clone(), scan(&|scan| (scan.reverse, scan.limit) = (true, Some(2))), &[4, 3]),
        (whole.clone(), scan(&|scan| scan.limit = Some(0)), &[]),
        (whole.clone(), scan(&|scan| scan.read.consistency = kvdb_core::Consistency::Stale), &[0, 1, 2, 3, 4]),
        (range(Bound::Included("b"), Bound::Excluded("ba")), scan(&|_| ()), &[1, 2]),
        (range(Bound::Excluded("b"), Bound::Included("ba")), scan(&|_| ()), &[2, 3]),
        (range(Bound::Included("b"), Bound::Excluded("c")), scan(&|_| ()), &[1, 2, 3]),
        (range(Bound::Included("d"), Bound::Excluded("a")), scan(&|_| ()), &[]),
        (KeyRange::single(keys[1].clone()), scan(&|_| ()), &[1]),
        (KeyRange::single(Key::from(format!("{place}zz"))), scan(&|_| ()), &[]),
    ];
    for (range, mut scan, expected) in table {
        let expected: Vec<&Key> = expected.iter().map(|at| &keys[*at]).collect();
        for keys_only in [false, true] {
            (scan.keys_only, scan.total) = (keys_only, true);
            let pages: Vec<_> = store.list(&range, &scan).map(Result::unwrap).collect().await;
            let case = format!("{range:?} {scan:?}");
            assert!(pages.len() == if scan.page_bytes == 0 { 5 } else { 1 }, "{case}: {} pages", pages.len());
            let found: Vec<&Key> = match keys_only {
                true => pages.iter().flat_map(|page| &page.names).collect(),
                false => pages.iter().flat_map(|page| &page.entries).map(|entry| &entry.key).collect(),
            };
            assert_eq!(found, expected, "{case}");
            assert!(pages.iter().all(|page| page.revision >= revision || expected.is_empty()), "{case}");
            scan.count_only = true;
            let counted: Vec<_> = store.list(&range, &scan).map(Result::unwrap).collect().await;
            assert!(counted.len() == 1 && counted[0].count == pages[0].count, "{case}");
            scan.count_only = false;
        }
    }
}

#[tokio::test]
async fn a_key_that_is_no_text_is_refused() {
    let store = open().await;
    let key = Key::copy_from(&[b'a', 0xff]);
    assert_eq!(kind(store.get(&key, &Read::default())).await, ErrorKind::InvalidArgument);
    assert_eq!(
        kind(store.commit(&Batch { guards: vec![], ops: vec![put(&key, "1")] })).await,
        ErrorKind::InvalidArgument
    );
}

#[tokio::test]
async fn a_revision_is_never_behind_what_the_handle_was_answered() {
    let store = open().await;
    let (one, other) = (place(), place());
    let old = written(&store, vec![], put(&Key::from(format!("{one}k")), "1")).await;
    let last = written(&store, vec![], put(&Key::from(format!("{other}k")), "1")).await;
    assert!(last.modified > old.modified);
    let range = KeyRange::prefix(one.as_bytes());
    let page = store.list(&range, &Scan::default()).next().await.unwrap().unwrap();
    assert_eq!(page.revision, last.modified, "Consul's own answer has {}", old.modified);
    assert_eq!(store.get(&old.key, &Read::default()).await.unwrap().revision, last.modified);
    assert_eq!(watch(&store, range, None).await.revision, last.modified);
    let check = commit(&store, vec![Guard::Present(old.key), Guard::Present(last.key)], vec![]).await;
    assert!(matches!(check, Outcome::Committed { revision, .. } if revision == last.modified), "{check:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_keys_are_read_at_one_moment() {
    let (store, writer, place) = (open().await, open().await, place());
    let keys = ["a", "b", "c"].map(|name| Key::from(format!("{place}{name}")));
    let first = written(&writer, vec![], put(&keys[0], "1")).await;
    let together = async || store.get_together(&keys).await.unwrap().unwrap();
    let read = together().await;
    assert_eq!(read.iter().map(|one| one.entry.clone()).collect::<Vec<_>>(), [Some(first.clone()), None, None]);
    assert!(read.iter().all(|one| one.revision >= first.modified && one.revision == read[0].revision));
    // While somebody writes all of them at once, or deletes them, every look shows one write.
    let all = keys.clone();
    let writing = tokio::spawn(async move {
        for round in 0..100 {
            let ops = all.iter().map(|key| if round % 5 == 4 { delete(key) } else { put(key, &round.to_string()) });
            commit(&writer, vec![], ops.collect()).await;
        }
    });
    let mut seen = std::collections::BTreeSet::new();
    while !writing.is_finished() {
        // None of them where the keys come and go too fast.
        let Some(read) = store.get_together(&keys).await.unwrap() else { continue };
        let values: Vec<_> = read.into_iter().map(|one| one.entry.map(|entry| (entry.modified, entry.value))).collect();
        let before = [Some((first.modified, first.value.clone())), None, None];
        assert!(values.iter().all(|value| *value == values[0]) || values == before, "{values:?}");
        seen.insert(values[0].clone());
    }
    writing.await.unwrap();
    assert!(seen.len() > 2, "{seen:?}");
    // More than a transaction takes are not read so.
    let many: Vec<Key> = (0..65).map(|n| Key::from(format!("{place}{n}"))).collect();
    assert_eq!(store.get_together(&many).await.unwrap(), None);
}
