use super::*;
use kvdb_core::Consistency;

fn read(consistency: Consistency) -> Read {
    let mut read = Read::default();
    read.consistency = consistency;
    read
}

#[tokio::test]
async fn any_bytes_are_a_key_and_come_back_in_byte_order() {
    let store = open().await;
    let place = place();
    let names = [
        "a",
        "a/b",
        "a-b",
        "a=",
        "a=/=",
        "%",
        "%41",
        "ü/日本",
        "😀",
        "\u{e000}",
        "\u{fffd}\u{ffff}",
        "\u{85}\t",
        ".",
        "..",
        "./..",
        "zookeeper/quota",
        "gen/1",
        " ",
        "a//b",
        "end/",
    ];
    let mut keys: Vec<Key> = names.iter().map(|name| Key::from(format!("{place}{name}"))).collect();
    keys.push(Key::new([place.as_bytes(), &[0xff, b'/', 0]].concat()));
    for key in &keys {
        drop(written(&store, vec![Guard::Absent(key.clone())], put(key, &format!("{key:?}"))).await);
    }
    keys.sort();
    let (entries, _) = listed(&store, &KeyRange::prefix(place.as_bytes())).await;
    assert_eq!(entries.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>(), keys);
    for key in &keys {
        assert_eq!(get(&store, key).await.unwrap().value, format!("{key:?}"));
    }
    // Beside ZooKeeper's own directory, and the root itself.
    for key in ["zookeeper/k", ""].map(Key::from) {
        drop(written(&store, vec![], put(&key, "1")).await);
        assert!(names_of(&store).await.contains(&key.to_string()), "{key:?}");
        drop(deleted(&store, &key).await);
    }
}

async fn names_of(store: &ZooKeeperBackend) -> Vec<String> {
    names(store, &KeyRange::all()).await
}

#[tokio::test]
async fn a_range_is_cut_where_it_says() {
    use std::ops::Bound;
    let store = open().await;
    let place = place();
    let key = |name: &str| Key::from(format!("{place}{name}"));
    for name in ["a", "b", "b/x", "b/y", "b0", "c"] {
        drop(written(&store, vec![], put(&key(name), "")).await);
    }
    let shown = |names: Vec<String>| names.iter().map(|name| name[place.len()..].to_owned()).collect::<Vec<_>>();
    let range = KeyRange { start: Bound::Excluded(key("b")), end: Bound::Included(key("b0")) };
    assert_eq!(shown(names(&store, &range).await), ["b/x", "b/y", "b0"]);
    assert_eq!(shown(names(&store, &KeyRange::prefix(key("b/").as_bytes())).await), ["b/x", "b/y"]);
    assert_eq!(
        names(&store, &KeyRange { start: Bound::Included(key("c")), end: Bound::Excluded(key("a")) }).await,
        [""; 0]
    );
    let mut scan = Scan::default();
    (scan.reverse, scan.limit, scan.total, scan.page_bytes) = (true, Some(3), true, 1);
    let pages: Vec<_> = store.list(&KeyRange::prefix(place.as_bytes()), &scan).collect().await;
    let pages: Vec<_> = pages.into_iter().map(Result::unwrap).collect();
    assert_eq!(pages.iter().map(|page| (page.entries.len(), page.count)).collect::<Vec<_>>(), [(1, Some(6)); 3]);
    assert_eq!(pages[0].entries[0].key, key("c"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_no_request_holds_is_listed_at_one_moment() {
    let store = open().await;
    let place = place();
    // 1,500 paths of 900 bytes are more than a request takes.
    let key = |n: usize| Key::from(format!("{place}{}/{n:04}", "d".repeat(880)));
    for part in 0..3 {
        let ops = (part * 500..(part + 1) * 500).map(|n| put(&key(n), "1")).collect();
        assert!(matches!(commit(&store, vec![], ops).await, Outcome::Committed { .. }));
    }
    // Two keys that are always written together, while it is listed.
    let pair = [key(0), key(1499)];
    let (writer, keys) = (open().await, pair.clone());
    let writing = tokio::spawn(async move {
        for n in 0.. {
            let ops = keys.iter().map(|key| put(key, &n.to_string())).collect();
            drop(commit(&writer, vec![], ops).await);
        }
    });
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 3 {
        let (entries, revision) = listed(&store, &KeyRange::prefix(place.as_bytes())).await;
        assert_eq!(entries.len(), 1500);
        assert_eq!((&entries[0].value, entries[0].modified), (&entries[1499].value, entries[1499].modified));
        assert!(revision >= entries[0].modified);
        seen.insert(revision);
    }
    writing.abort();
}

#[tokio::test]
async fn every_kind_of_read_shows_what_the_handle_wrote() {
    let store = open().await;
    let (other, key) = (open().await, Key::from(format!("{}k", place())));
    let absent = other.get(&key, &read(Consistency::Strict)).await.unwrap();
    assert_eq!(absent.entry, None);
    let entry = written(&store, vec![], put(&key, "1")).await;
    assert!(entry.modified > absent.revision);
    for consistency in [Consistency::Linearizable, Consistency::Stale, Consistency::Strict] {
        let found = store.get(&key, &read(consistency)).await.unwrap();
        assert_eq!(found.entry.as_ref(), Some(&entry), "{consistency:?}");
        assert!(found.revision >= entry.modified);
        let mut scan = Scan::default();
        scan.read = read(consistency);
        let pages: Vec<_> = store.list(&KeyRange::prefix(key.as_bytes()), &scan).collect().await;
        assert_eq!(pages[0].as_ref().unwrap().entries.first(), Some(&entry), "{consistency:?}");
    }
    // A strict read writes first, so its revision is beyond all that was there.
    let strict = store.get(&key, &read(Consistency::Strict)).await.unwrap();
    assert!(strict.revision > entry.modified);
}

/// A leader that was deposed and does not know it answers reads for some ticks, but can write nothing.
#[tokio::test]
async fn what_a_commit_answers_without_a_write_of_its_own_is_read_behind_one() {
    let (store, barrier) = (open().await, stranger().await);
    let place = place();
    let (key, absent) = (Key::from(format!("{place}k")), Key::from(format!("{place}absent")));
    let entry = written(&store, vec![], put(&key, "1")).await;
    let present = || vec![Guard::Present(key.clone())];
    let Outcome::Committed { revision, .. } = commit(&store, present(), vec![]).await else { panic!("a conflict") };
    assert!(revision > entry.modified, "a check without writes is no older than itself");
    let Outcome::Committed { revision: deletion, .. } = commit(&store, vec![], vec![delete(&absent)]).await else {
        panic!("a conflict")
    };
    assert!(deletion > revision, "nor is a deletion of what is not there");
    let path = format!("/{place}_kvdb/strict");
    let (_, before) = barrier.get_data(&path).await.unwrap();
    assert_eq!(commit(&store, vec![Guard::Present(absent)], vec![put(&key, "2")]).await, Outcome::Conflict);
    let (_, after) = barrier.get_data(&path).await.unwrap();
    assert_eq!(after.version, before.version + 1, "a condition that does not hold was judged by a plain read");
}

#[tokio::test]
async fn a_read_is_a_sync_and_a_read_and_nothing_else() {
    let (proxy, address) = proxy();
    let store = open_at(&[address], &ZooKeeperConfig::default()).await;
    let key = Key::from(format!("{}k", place()));
    drop(written(&store, vec![], put(&key, "1")).await);
    // Pings come in between, of 12 bytes each: more on a busy machine, where ten reads take their time.
    let mut least = u64::MAX;
    for _ in 0..5 {
        let before = proxy.bytes_up();
        for _ in 0..10 {
            drop(get(&store, &key).await);
        }
        least = least.min(proxy.bytes_up() - before);
    }
    // Two requests of 16 bytes and the path each.
    let each = 2 * (16 + key.len() as u64 + 2) + 1;
    assert!(least >= 10 * each && least < 11 * each, "{least} bytes for ten of {each}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_read_together_are_of_one_moment() {
    let (store, writer) = (open().await, open().await);
    let place = place();
    let keys = ["a", "deep/er/b", "absent"].map(|name| Key::from(format!("{place}{name}")));
    let pair = [keys[0].clone(), keys[1].clone()];
    let write = async move |store: &ZooKeeperBackend, n: usize| {
        commit(store, vec![], pair.iter().map(|key| put(key, &n.to_string())).collect()).await
    };
    drop(write(&writer, 0).await);
    let writing = tokio::spawn(async move {
        for n in 1.. {
            drop(write(&writer, n).await);
        }
    });
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 50 {
        let found = store.get_together(&keys).await.unwrap().unwrap();
        let entries: Vec<&Entry> = found.iter().filter_map(|one| one.entry.as_ref()).collect();
        assert_eq!(entries.iter().map(|entry| &entry.key).collect::<Vec<_>>(), [&keys[0], &keys[1]]);
        assert_eq!((&entries[0].value, entries[0].modified), (&entries[1].value, entries[1].modified));
        assert_eq!(found[2].entry, None);
        assert!(found.iter().all(|one| one.revision >= entries[0].modified && one.revision == found[0].revision));
        seen.insert(entries[0].modified);
    }
    writing.abort();
}

#[tokio::test]
async fn what_a_handle_wrote_is_in_what_another_reads_together() {
    let (store, other) = (open().await, open().await);
    let place = place();
    let keys = ["a", "b"].map(|name| Key::from(format!("{place}{name}")));
    for n in 0..50 {
        let entry = written(&store, vec![], put(&keys[n % 2], &n.to_string())).await;
        let found = other.get_together(&keys).await.unwrap().unwrap();
        assert_eq!(found[n % 2].entry.as_ref(), Some(&entry));
        // Also of a key that is not there, and to the handle itself.
        let own = store.get_together(&keys).await.unwrap().unwrap();
        assert!(own.iter().all(|one| one.revision >= entry.modified));
    }
    // 1,500 paths of 900 bytes are more than a request takes.
    let many: Vec<Key> = (0..1500).map(|n| Key::from(format!("{place}{}/{n:04}", "d".repeat(880)))).collect();
    assert!(store.get_together(&many).await.unwrap().is_none());
}
