use std::collections::BTreeMap;
use std::time::Duration;

use kvdb_core::portworx::*;
use kvdb_core::{ErrorKind, Operation, Options};

use crate::common::store;

#[tokio::test]
async fn an_absent_key_is_not_found_and_the_error_names_it() {
    let kv = store();
    let error = kv.get("a/b").await.unwrap_err();
    assert_eq!((error.kind(), error.key(), error.backend()), (&ErrNotFound, Some("a/b"), Some("mem")));
    assert_eq!(error.operation(), Some(Operation::Get));
    assert_eq!(*kv.delete("a/b").await.unwrap_err().kind(), ErrNotFound);
    assert_eq!(*kv.update("a/b", "x", 0).await.unwrap_err().kind(), ErrNotFound);
}

#[tokio::test]
async fn put_create_and_update_say_what_they_did() {
    let kv = store();
    let created = kv.put("/a//b", "1", 0).await.unwrap();
    assert_eq!((created.key.as_str(), created.action, created.ttl), ("a/b", KVCreate, None));
    assert_eq!(kv.put("a/b", "2", 0).await.unwrap().action, KVSet);
    let error = kv.create("a/b", "3", 0).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (&ErrExist, Some(Operation::Create)));
    let updated = kv.update("a/b", "3", 0).await.unwrap();
    assert_eq!((updated.action, updated.created_index), (KVSet, created.created_index));
    assert_eq!(kv.create("a/c", "1", 0).await.unwrap().action, KVCreate);
    let read = kv.get("a/b").await.unwrap();
    assert_eq!((read.action, &read.value[..], read.modified_index), (KVGet, &b"3"[..], updated.modified_index));
}

#[tokio::test]
async fn text_and_bytes_are_stored_as_they_are_anything_else_as_json() {
    let kv = store();
    kv.put("text", "a \"b\"", 0).await.unwrap();
    kv.put("bytes", vec![0, 0xff], 0).await.unwrap();
    kv.put("number", 12, 0).await.unwrap();
    kv.put("list", Value::json(&["a", "b"]), 0).await.unwrap();
    kv.put("empty", "", 0).await.unwrap();
    for (key, stored) in [
        ("text", &b"a \"b\""[..]),
        ("bytes", b"\x00\xff"),
        ("number", b"12"),
        ("list", br#"["a","b"]"#),
        ("empty", b""),
    ] {
        assert_eq!(kv.get(key).await.unwrap().value, stored, "{key}");
    }
    let error = kv.put("bad", Value::json(&BTreeMap::from([((1, 2), 3)])), 0).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (&ErrUnmarshal, Some("bad")));
    assert_eq!(*kv.get("bad").await.unwrap_err().kind(), ErrNotFound);
}

#[tokio::test]
async fn a_ttl_is_seconds_and_zero_is_none() {
    let kv = store();
    let pair = kv.put("a", "1", 30).await.unwrap();
    assert_eq!(pair.ttl, Some(Duration::from_secs(30)));
    assert!(pair.lease.is_some());
    let pair = kv.update("a", "2", 0).await.unwrap();
    assert_eq!((pair.ttl, pair.lease), (None, None));
    let pair = kv.create("b", "1", 60).await.unwrap();
    assert_eq!(pair.ttl, Some(Duration::from_secs(60)));
    let error = kv.put("c", "1", u64::MAX).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TtlNotSupported { .. }), "{error}");
    assert_eq!(*kv.get("c").await.unwrap_err().kind(), ErrNotFound);
}

#[tokio::test]
async fn get_val_decodes_json_and_leaves_the_target_alone_when_it_cannot() {
    let kv = store();
    kv.put("list", Value::json(&[1, 2]), 0).await.unwrap();
    kv.put("text", "plain", 0).await.unwrap();
    let mut list: Vec<u32> = Vec::new();
    assert_eq!(kv.get_val("list", &mut list).await.unwrap().key, "list");
    assert_eq!(list, [1, 2]);
    let error = kv.get_val("text", &mut list).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (&ErrUnmarshal, Some("text")));
    assert_eq!(*kv.get_val("absent", &mut list).await.unwrap_err().kind(), ErrNotFound);
    assert_eq!(list, [1, 2]);
}

#[tokio::test]
async fn get_with_copy_answers_what_the_copy_makes_of_the_value() {
    let kv = store();
    kv.put("a", "abc", 0).await.unwrap();
    assert_eq!(kv.get_with_copy("a", |value| value.len()).await.unwrap(), 3);
    let mut called = false;
    let error = kv.get_with_copy("b", |_| called = true).await.unwrap_err();
    assert_eq!((error.kind(), called), (&ErrNotFound, false));
}

#[tokio::test]
async fn lists_are_sorted_and_selected() {
    let kv = store();
    for (key, value) in [("d/b", 2), ("d/a", 1), ("d/c/x", 3), ("d", 9), ("dd/a", 9)] {
        kv.put(key, value, 0).await.unwrap();
    }
    let keys = |pairs: KVPairs| pairs.into_iter().map(|pair| pair.key).collect::<Vec<_>>();
    assert_eq!(keys(kv.enumerate("d").await.unwrap()), ["d/a", "d/b", "d/c/x"]);
    assert_eq!(kv.enumerate("").await.unwrap().len(), 5);
    assert_eq!(kv.enumerate("nothing").await.unwrap(), []);

    let odd = |value: &[u8]| value == b"1" || value == b"3";
    let picked = kv.enumerate_with_select("d/", |value| odd(value), |value| value.to_vec()).await.unwrap();
    assert_eq!(picked, [b"1", b"3"]);
    let picked = kv
        .enumerate_kvp_with_select("d", |pair, value| pair.key == "d/a" || odd(value), |pair, _| pair.clone())
        .await
        .unwrap();
    assert_eq!(keys(picked), ["d/a", "d/c/x"]);
    assert_eq!(kv.enumerate_with_select("nothing", |_| true, |_| ()).await.unwrap(), []);
}

#[tokio::test]
async fn keys_are_first_level_names() {
    let kv = store();
    for key in ["d/b/x", "d/b", "d/a/y/z", "e", "n:1:x", "n:2", "nn:3"] {
        kv.put(key, "", 0).await.unwrap();
    }
    assert_eq!(kv.keys("d", "").await.unwrap(), ["a", "b"]);
    assert_eq!(kv.keys("/d/", DefaultSeparator).await.unwrap(), ["a", "b"]);
    assert_eq!(kv.keys("", "/").await.unwrap(), ["d", "e", "n:1:x", "n:2", "nn:3"]);
    assert_eq!(kv.keys("n", ":").await.unwrap(), ["1", "2"]);
    assert_eq!(kv.keys("n:", ":").await.unwrap(), ["1", "2"]);
    assert_eq!(kv.keys("nothing", "").await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn deleting_answers_the_old_pair_and_a_tree_spares_its_siblings() {
    let kv = store();
    let put = kv.put("t/a", "1", 0).await.unwrap();
    for key in ["t/b/c", "t", "tt/a"] {
        kv.put(key, "1", 0).await.unwrap();
    }
    let old = kv.delete("t/a").await.unwrap();
    assert_eq!((old.action, &old.value[..], old.created_index), (KVDelete, &b"1"[..], put.created_index));
    assert!(old.modified_index > put.modified_index);
    kv.delete_tree("t").await.unwrap();
    kv.delete_tree("t").await.unwrap();
    assert_eq!(kv.keys("", "").await.unwrap(), ["t", "tt"]);
}

#[tokio::test]
async fn compacting_drops_history_once_and_again() {
    let kv = store();
    kv.put("a", "1", 0).await.unwrap();
    let last = kv.put("a", "2", 0).await.unwrap().modified_index;
    kv.compact(last).await.unwrap();
    kv.compact(last).await.unwrap();
    let error = kv.compact(last.get() + 100).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::FutureRevision { .. }), "{error}");
    let error = kv.watch_key("a", 1, (), |_, (), _| Ok(())).await.map(|watch| watch.cancel()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Compacted { .. }), "{error}");
}

#[tokio::test]
async fn a_store_says_its_name_and_the_one_capability_that_has_a_number() {
    let kv = store();
    assert_eq!(kv.string(), "mem");
    assert_eq!(kv.capabilities_number(), KVCapabilityOrderedUpdates);
    assert_eq!(KVCapabilityOrderedUpdates, 1);
}

#[test]
fn every_option_name_of_the_go_library_is_taken() {
    for (theirs, ours) in [
        (UsernameKey, "username"),
        (PasswordKey, "password"),
        (CAFileKey, "ca_file"),
        (CertFileKey, "cert_file"),
        (CertKeyFileKey, "cert_key_file"),
        (TrustedCAFileKey, "trusted_ca_file"),
        (ClientCertAuthKey, "client_cert_auth"),
        (RetryCountKey, "retry_count"),
        (ACLTokenKey, "acl_token"),
        (CAAuthAddress, "ca_auth_address"),
        (InsecureSkipVerify, "insecure_skip_verify"),
        (TransportScheme, "transport_scheme"),
        (LogPathOption, "log_path"),
    ] {
        assert_eq!(Options::new().set(theirs, "x").get(ours), Some("x"), "{theirs}");
    }
}
