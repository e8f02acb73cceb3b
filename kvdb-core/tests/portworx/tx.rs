use std::time::Duration;

use kvdb_core::portworx::*;

use crate::common::store;

#[tokio::test]
async fn a_transaction_reads_its_own_writes_and_shows_them_all_at_its_commit() {
    let kv = store();
    kv.put("disk/a", "old", 0).await.unwrap();
    let tx = kv.tx_new().unwrap();
    let put = tx.put("/disk//a", "new", 0).await.unwrap();
    assert_eq!((put.key.as_str(), &put.value[..]), ("disk/a", &b"new"[..]));
    tx.put("disk/sizes", Value::json(&[1, 2]), 30).await.unwrap();
    assert_eq!(tx.get("disk/a").await.unwrap().value, "new");
    let mut sizes: Vec<u32> = Vec::new();
    assert_eq!(tx.get_val("disk/sizes", &mut sizes).await.unwrap().ttl, Some(Duration::from_secs(30)));
    assert_eq!(sizes, [1, 2]);
    assert_eq!(kv.get("disk/a").await.unwrap().value, "old");
    assert_eq!(*kv.get("disk/sizes").await.unwrap_err().kind(), ErrNotFound);

    tx.prepare().await.unwrap();
    let index = tx.commit().await.unwrap();
    for key in ["disk/a", "disk/sizes"] {
        assert_eq!(kv.get(key).await.unwrap().modified_index, index, "{key}");
    }
    assert!(kv.get("disk/sizes").await.unwrap().lease.is_some());
}

#[tokio::test]
async fn what_another_writer_changed_fails_the_transaction_and_nothing_is_written() {
    let kv = store();
    kv.put("a", "1", 0).await.unwrap();
    let tx = kv.tx_new().unwrap();
    tx.get("a").await.unwrap();
    tx.put("b", "2", 0).await.unwrap();
    kv.put("a", "other", 0).await.unwrap();
    assert_eq!(*tx.prepare().await.unwrap_err().kind(), ErrModified);
    assert_eq!(*tx.commit().await.unwrap_err().kind(), ErrModified);
    assert_eq!(*kv.get("b").await.unwrap_err().kind(), ErrNotFound);
}

#[tokio::test]
async fn an_error_in_a_transaction_names_the_key_and_leaves_it_going() {
    let kv = store();
    kv.put("text", "plain", 0).await.unwrap();
    let tx = kv.tx_new().unwrap();
    let error = tx.get("absent").await.unwrap_err();
    assert_eq!((error.kind(), error.key(), error.backend()), (&ErrNotFound, Some("absent"), Some("mem")));
    let mut number = 7;
    let error = tx.get_val("text", &mut number).await.unwrap_err();
    assert_eq!((error.kind(), error.key(), number), (&ErrUnmarshal, Some("text"), 7));
    let bad = Value::json(&std::collections::BTreeMap::from([((1, 2), 3)]));
    let error = tx.put("bad", bad, 0).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (&ErrUnmarshal, Some("bad")));
    assert_eq!(*tx.put("a/../b", "x", 0).await.unwrap_err().kind(), ErrIllegal);
    tx.put("good", 1, 0).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(kv.keys("", "").await.unwrap(), ["good", "text"]);
}

#[tokio::test]
async fn nothing_is_allowed_after_the_end() {
    let kv = store();
    for ending in ["commit", "abort"] {
        let tx = kv.tx_new().unwrap();
        tx.put(ending, "x", 0).await.unwrap();
        match ending {
            "commit" => drop(tx.commit().await.unwrap()),
            _ => tx.abort().unwrap(),
        }
        let mut value = String::new();
        for error in [
            tx.put("a", "x", 0).await.unwrap_err(),
            tx.get("a").await.unwrap_err(),
            tx.get_val("a", &mut value).await.unwrap_err(),
            tx.prepare().await.unwrap_err(),
            tx.commit().await.unwrap_err(),
            tx.abort().unwrap_err(),
        ] {
            assert_eq!(*error.kind(), ErrIllegal, "{ending}: {error}");
        }
    }
    assert_eq!(kv.keys("", "").await.unwrap(), ["commit"]);
}

#[tokio::test]
async fn a_transaction_shows_no_value_in_debug() {
    let kv = store();
    let tx = kv.tx_new().unwrap();
    tx.put("key", "hunter2", 0).await.unwrap();
    let shown = format!("{tx:?}");
    assert!(shown.contains("key") && !shown.contains("hunter2"), "{shown}");
}
