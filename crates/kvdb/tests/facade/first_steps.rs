//! What somebody meets who writes a first app: what is printed, what is told, what fits where.

use std::time::Duration;

use kvdb::prelude::*;

#[tokio::test]
async fn a_handle_is_printed_as_what_it_is_and_no_more() {
    let kv = kvdb::connect("mem:?domain=app").await.unwrap();
    kv.put("a", "secret").await.unwrap();
    assert_eq!(format!("{kv:?}"), r#"Handle { backend: "mem", domain: "app", wrappers: [], .. }"#);
}

#[tokio::test]
async fn a_lease_is_passed_as_it_was_granted() {
    let kv = kvdb::connect("mem:").await.unwrap();
    let lease = kv.lease(Duration::from_secs(60)).await.unwrap();
    kv.put("a", "1").lease(&lease).await.unwrap();
    let with = kv.txn().when(attached("a", &lease)).then(put("b", "2").lease(&lease)).await.unwrap();
    assert!(with.succeeded);
    let info: LeaseInfo = kv.lease_info(&lease, CallOptions::default()).await.unwrap();
    assert_eq!(info.keys, ["a", "b"]);
    kv.lease_keep_alive(&lease, CallOptions::default()).await.unwrap();
    kv.lease_revoke(&lease, CallOptions::default()).await.unwrap();
    assert_eq!(kv.count("").await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_not_there_is_told_by_what_was_to_be_done_with_it() {
    let kv = kvdb::connect("mem:").await.unwrap();
    let deleting = kv.delete("a").await.unwrap_err().to_string();
    assert_eq!(deleting, "delete a on mem: key not found: nothing is stored under it; check the key and the domain");
    let updating = kv.update("a", "1").await.unwrap_err().to_string();
    assert!(updating.starts_with("update a on mem: key not found: ") && updating.contains("create it"), "{updating}");
}

#[tokio::test]
async fn a_value_of_another_form_is_told_with_key_and_store() {
    let kv = kvdb::connect("mem:").await.unwrap();
    kv.put("a", "no number").await.unwrap();
    let error = kv.get_val::<u64>("a").await.unwrap_err();
    assert_eq!((error.key(), error.backend()), (Some("a"), Some("mem")));
    assert!(error.to_string().starts_with("get a on mem: "), "{error}");
}

#[tokio::test]
async fn a_lock_that_is_not_waited_for_says_who_has_it() {
    let kv = kvdb::connect("mem:").await.unwrap();
    let held = kv.lock("job").id("me").await.unwrap();
    let refused = kv.try_lock("job").await.unwrap_err().to_string();
    assert!(refused.contains("`me` holds it") && !refused.contains("0ns"), "{refused}");
    held.release().await.unwrap();
    let never = kv.put("a", "1").ttl(Duration::ZERO).await.unwrap_err().to_string();
    assert!(never.contains("0s is not granted"), "{never}");
}
