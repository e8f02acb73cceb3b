//! The table of contract 3.10, row by row.

use std::time::Duration;

use kvdb_core::portworx::*;
use kvdb_core::{ErrorKind, Handle};

use crate::common::store;

/// A store where `key` has the value `old`, and the pair that writing it answered.
async fn present() -> (Handle, KvPair) {
    let kv = store();
    kv.put("key", "older", 0).await.unwrap();
    let pair = kv.put("key", "old", 0).await.unwrap();
    (kv, pair)
}

fn with_value(pair: &KvPair, value: &'static str) -> KvPair {
    let mut pair = pair.clone();
    pair.value = value.into();
    pair
}

async fn value(kv: &Handle) -> Vec<u8> {
    kv.get("key").await.unwrap().value.to_vec()
}

#[tokio::test]
async fn the_condition_that_holds_lets_the_write_through_and_answers_it() {
    for flags in [KVModifiedIndex, KVCreatedIndex, KVPrevExists, KVModifiedIndex | KVCreatedIndex | KVPrevExists] {
        let (kv, pair) = present().await;
        let set = kv.compare_and_set(&with_value(&pair, "new"), flags, None).await.unwrap();
        assert_eq!((set.action, &set.value[..]), (KVSet, &b"new"[..]), "{flags:?}");
        assert_eq!(set.modified_index, kv.get("key").await.unwrap().modified_index);
        assert_eq!(set.previous.map(|old| old.value), Some("old".into()), "{flags:?}");
    }
    let (kv, pair) = present().await;
    kv.compare_and_set(&with_value(&pair, "new"), KVFlags::empty(), Some(b"old")).await.unwrap();
    assert_eq!(value(&kv).await, b"new");
}

#[tokio::test]
async fn the_condition_that_fails_names_itself_and_writes_nothing() {
    let (kv, pair) = present().await;
    let mut stale = with_value(&pair, "new");
    stale.modified_index = pair.created_index;
    let mut other = with_value(&pair, "new");
    other.created_index = pair.modified_index;
    for (pair, flags, previous, kind) in [
        (&stale, KVModifiedIndex, None, ErrModified),
        (&stale, KVModifiedIndex | KVTTL, None, ErrModified),
        (&stale, KVModifiedIndex, Some(&b"old"[..]), ErrModified),
        (&other, KVCreatedIndex, None, ErrModified),
        (&with_value(&pair, "new"), KVFlags::empty(), Some(b"else"), ErrValueMismatch),
        (&with_value(&pair, "new"), KVModifiedIndex, Some(b"else"), ErrValueMismatch),
        (&with_value(&pair, "new"), KVPrevExists, Some(b""), ErrValueMismatch),
        (&with_value(&pair, "new"), KVFlags::empty(), None, ErrIllegal),
        (&with_value(&pair, "new"), KVTTL, None, ErrIllegal),
        (&KvPair::new("key", "new"), KVModifiedIndex, None, ErrExist),
    ] {
        let error = kv.compare_and_set(pair, flags, previous).await.unwrap_err();
        assert_eq!(*error.kind(), kind, "{flags:?} {previous:?}");
        assert_eq!(error.key(), Some("key"));
    }
    assert_eq!(value(&kv).await, b"old");
}

#[tokio::test]
async fn an_absent_key_is_created_by_index_zero_and_not_found_by_all_else() {
    let (kv, pair) = present().await;
    kv.delete("key").await.unwrap();
    for (flags, previous) in [
        (KVModifiedIndex, None),
        (KVCreatedIndex, None),
        (KVPrevExists, None),
        (KVFlags::empty(), Some(&b"old"[..])),
        (KVFlags::empty(), Some(&b""[..])),
    ] {
        let error = kv.compare_and_set(&pair, flags, previous).await.unwrap_err();
        assert_eq!(*error.kind(), ErrNotFound, "{flags:?} {previous:?}");
    }
    let created = kv.compare_and_set(&KvPair::new("key", "new"), KVModifiedIndex, None).await.unwrap();
    assert_eq!((created.action, created.previous), (KVCreate, None));
    // The incarnation that was compared with is gone, though a key of that name is there.
    assert_eq!(*kv.compare_and_set(&pair, KVModifiedIndex, None).await.unwrap_err().kind(), ErrModified);
    assert_eq!(*kv.compare_and_set(&pair, KVCreatedIndex, None).await.unwrap_err().kind(), ErrModified);
    assert_eq!(value(&kv).await, b"new");
}

#[tokio::test]
async fn the_ttl_flag_writes_with_the_pairs_ttl_and_its_absence_makes_the_key_permanent() {
    let (kv, mut pair) = present().await;
    pair.ttl = Some(Duration::from_secs(30));
    let pair = kv.compare_and_set(&pair, KVModifiedIndex | KVTTL, None).await.unwrap();
    assert_eq!(pair.ttl, Some(Duration::from_secs(30)));
    assert!(pair.lease.is_some());
    let pair = kv.compare_and_set(&pair, KVModifiedIndex, None).await.unwrap();
    assert_eq!((pair.ttl, pair.lease), (None, None));
}

#[tokio::test]
async fn a_race_by_index_has_one_winner() {
    let (kv, pair) = present().await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (kv, pair) = (kv.clone(), pair.clone());
        racers.spawn(async move { kv.compare_and_set(&pair, KVModifiedIndex, None).await });
    }
    let results = racers.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().flat_map(|result| result.as_ref().err()).all(|error| *error.kind() == ErrModified));
}

#[tokio::test]
async fn compare_and_delete_answers_the_old_pair_and_without_a_flag_compares_the_value() {
    for flags in [KVFlags::empty(), KVTTL, KVModifiedIndex, KVCreatedIndex, KVPrevExists] {
        let (kv, pair) = present().await;
        let old = kv.compare_and_delete(&pair, flags).await.unwrap();
        assert_eq!((old.action, &old.value[..]), (KVDelete, &b"old"[..]), "{flags:?}");
        assert!(old.modified_index > pair.modified_index);
        assert_eq!(*kv.get("key").await.unwrap_err().kind(), ErrNotFound);
        assert_eq!(*kv.compare_and_delete(&pair, flags).await.unwrap_err().kind(), ErrNotFound, "{flags:?}");
    }
}

#[tokio::test]
async fn compare_and_delete_keeps_the_key_when_its_condition_fails() {
    let (kv, pair) = present().await;
    let other = with_value(&pair, "else");
    assert_eq!(*kv.compare_and_delete(&other, KVFlags::empty()).await.unwrap_err().kind(), ErrValueMismatch);
    let mut stale = pair.clone();
    stale.modified_index = pair.created_index;
    assert_eq!(*kv.compare_and_delete(&stale, KVModifiedIndex).await.unwrap_err().kind(), ErrModified);
    let error = kv.compare_and_delete(&KvPair::new("key", "old"), KVModifiedIndex).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::InvalidArgument), "{error}");
    assert_eq!(value(&kv).await, b"old");
}
