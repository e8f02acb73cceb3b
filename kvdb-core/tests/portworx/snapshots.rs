use kvdb_core::ErrorKind;
use kvdb_core::portworx::*;

use crate::common::{store, until};

fn keys(pairs: &[KvPair]) -> Vec<&str> {
    pairs.iter().map(|pair| pair.key.as_str()).collect()
}

/// The index that the collector has come to.
fn reached(collector: &UpdatesCollector) -> Revision {
    let nobody: &mut [ReplayCb<'_>] = &mut [];
    collector.replay_updates(nobody).unwrap()
}

#[tokio::test]
async fn a_snapshot_stays_at_its_index_and_takes_snap_put_alone() {
    let kv = store();
    kv.put("a/1", "old", 0).await.unwrap();
    kv.put("b/1", "old", 0).await.unwrap();
    let last = kv.put("c/1", "old", 0).await.unwrap().modified_index;
    for consistent in [true, false] {
        let (snapshot, index) = kv.snapshot(&["a", "b/"], consistent).await.unwrap();
        assert!(index >= last);
        kv.put("a/1", "new", 0).await.unwrap();
        kv.put("a/2", "new", 0).await.unwrap();
        assert_eq!(keys(&snapshot.enumerate("").await.unwrap()), ["a/1", "b/1"]);
        assert_eq!(snapshot.get("a/1").await.unwrap().value, "old");
        assert_eq!(*snapshot.get("c/1").await.unwrap_err().kind(), ErrNotFound);

        let pair = KvPair::new("a/9", "laid over");
        snapshot.snap_put(&pair).unwrap();
        assert_eq!(snapshot.get("a/9").await.unwrap().value, "laid over");
        assert_eq!(*kv.get("a/9").await.unwrap_err().kind(), ErrNotFound);
        for error in [
            snapshot.put("a/1", "x", 0).await.unwrap_err(),
            snapshot.create("a/3", "x", 0).await.unwrap_err(),
            snapshot.delete("a/1").await.unwrap_err(),
            snapshot.delete_tree("a").await.unwrap_err(),
            snapshot.compare_and_set(&pair, KVPrevExists, None).await.unwrap_err(),
            snapshot.lock("job").await.unwrap_err(),
        ] {
            assert_eq!(*error.kind(), ErrorKind::ReadOnly, "{error}");
        }
        kv.put("a/1", "old", 0).await.unwrap();
        kv.delete("a/2").await.unwrap();
    }
    let (whole, _) = kv.snapshot(&[], true).await.unwrap();
    assert_eq!(keys(&whole.enumerate("").await.unwrap()), ["a/1", "b/1", "c/1"]);
}

#[tokio::test]
async fn a_dump_and_the_go_librarys_dump_are_read_back() {
    let kv = store();
    kv.put("a", vec![0, 0xff], 0).await.unwrap();
    kv.put("b/c", "", 0).await.unwrap();
    let dump = kv.serialize().await.unwrap();
    let pairs = kv.deserialize(&dump).unwrap();
    let listed = kv.enumerate("").await.unwrap();
    let plain = |pair: &KvPair| (pair.key.clone(), pair.value.clone(), pair.created_index, pair.modified_index);
    assert_eq!(pairs.iter().map(plain).collect::<Vec<_>>(), listed.iter().map(plain).collect::<Vec<_>>());

    let theirs =
        br#"[{"Key":"x","Value":"AP8=","Action":2,"TTL":30,"KVDBIndex":9,"CreatedIndex":7,"ModifiedIndex":8}]"#;
    let pairs = kv.deserialize(theirs).unwrap();
    let first = &pairs[0];
    assert_eq!((first.key.as_str(), &first.value[..], first.action), ("x", &b"\x00\xff"[..], KVCreate));
    assert_eq!((first.created_index.get(), first.modified_index.get(), first.kvdb_index.get()), (7, 8, 9));
    assert_eq!(*kv.deserialize(&dump[..dump.len() / 2]).unwrap_err().kind(), ErrUnmarshal);
}

#[tokio::test]
async fn collected_updates_are_replayed_by_prefix_and_index_in_order() {
    let kv = store();
    kv.put("v/a", "before", 0).await.unwrap();
    let (_snapshot, from) = kv.snapshot(&["v"], true).await.unwrap();
    let collector = new_updates_collector(&kv, "v", from).await.unwrap();
    let first = kv.put("v/a", "1", 0).await.unwrap().modified_index;
    kv.put("other", "not collected", 0).await.unwrap();
    kv.put("v/b/x", "2", 0).await.unwrap();
    let last = kv.delete("v/a").await.unwrap().modified_index;
    until("the updates", || reached(&collector) >= last).await;
    collector.stop();
    kv.put("v/late", "x", 0).await.unwrap();

    let (mut all, mut some) = (Vec::new(), Vec::new());
    let index = collector
        .replay_updates(&mut [
            ReplayCb {
                prefix: String::new(),
                wait_index: Revision::ZERO,
                opaque: "everything",
                watch_cb: Box::new(|watched, opaque, pair| {
                    let pair = pair?;
                    all.push((watched.to_owned(), *opaque, pair.key, pair.action));
                    Ok(())
                }),
            },
            ReplayCb {
                prefix: "v/a".to_owned(),
                wait_index: Revision::ZERO,
                opaque: "below a key",
                watch_cb: Box::new(|_, _, _| panic!("a prefix is a directory")),
            },
            ReplayCb {
                prefix: "v".to_owned(),
                wait_index: first,
                opaque: "above the first",
                watch_cb: Box::new(|_, opaque, pair| {
                    some.push((*opaque, pair?.key));
                    Ok(())
                }),
            },
        ])
        .unwrap();
    assert_eq!(index, last);
    let everything = |key: &str, action| ("v".to_owned(), "everything", key.to_owned(), action);
    assert_eq!(all, [everything("v/a", KVSet), everything("v/b/x", KVCreate), everything("v/a", KVDelete)]);
    assert_eq!(some, [("above the first", "v/b/x".to_owned()), ("above the first", "v/a".to_owned())]);
}

#[tokio::test]
async fn a_callbacks_error_ends_the_replay_and_a_bad_start_is_told() {
    let kv = store();
    let collector = new_updates_collector(&kv, "", 0).await.unwrap();
    let last = kv.put("a", "1", 0).await.unwrap().modified_index;
    until("the update", || reached(&collector) >= last).await;
    let refuse = ReplayCb {
        prefix: String::new(),
        wait_index: Revision::ZERO,
        opaque: (),
        watch_cb: Box::new(|_, (), _| Err(kvdb_core::Error::new(ErrorKind::Internal, "no more"))),
    };
    assert_eq!(*collector.replay_updates(&mut [refuse]).unwrap_err().kind(), ErrorKind::Internal);
    let error = new_updates_collector(&kv, "", last.get() + 100).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::FutureRevision { .. }), "{error}");
    kv.put("a", "2", 0).await.unwrap();
    kv.compact(last.get() + 1).await.unwrap();
    let error = new_updates_collector(&kv, "", 1).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Compacted { .. }), "{error}");
}
