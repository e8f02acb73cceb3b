use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{AdminRequest, CallOptions, Error};

use crate::common::{soon, store, two_stores, until};

#[tokio::test]
async fn every_call_after_close_answers_closed_on_every_clone() {
    let kv = store();
    let lease = kv.lease(Duration::from_secs(60)).await.unwrap().id;
    let lock = kv.lock("job").await.unwrap();
    let clone = kv.clone();
    kv.close().await.unwrap();
    let errors: Vec<Error> = vec![
        clone.get("a").await.unwrap_err(),
        clone.put("a", "1").await.unwrap_err(),
        clone.put("a", "1").ttl(Duration::from_secs(60)).await.unwrap_err(),
        clone.create("a", "1").await.unwrap_err(),
        clone.put("a", "1").if_value("0").await.unwrap_err(),
        clone.delete("a").await.unwrap_err(),
        clone.delete_tree("").await.unwrap_err(),
        clone.list("").await.unwrap_err(),
        clone.count("").await.unwrap_err(),
        clone.keys("").await.unwrap_err(),
        clone.watch_key("a").await.unwrap_err(),
        clone.watch_tree("").current().await.unwrap_err(),
        clone.lock("job").await.unwrap_err(),
        clone.lock_holder("job").await.unwrap_err(),
        clone.lease(Duration::from_secs(60)).await.unwrap_err(),
        clone.lease_keep_alive(&lease, CallOptions::default()).await.unwrap_err(),
        clone.lease_revoke(&lease, CallOptions::default()).await.unwrap_err(),
        clone.lease_info(&lease, CallOptions::default()).await.unwrap_err(),
        clone.compact(2).await.unwrap_err(),
        clone.admin(AdminRequest::ListMembers { within: None }).await.unwrap_err(),
        clone.close().await.unwrap_err(),
    ];
    for (index, error) in errors.iter().enumerate() {
        assert_eq!(*error.kind(), ErrorKind::Closed, "{index}: {error}");
        assert_eq!(error.backend(), Some("mem"));
    }
    assert!(!lock.is_held());
    lock.release().await.unwrap();
}

#[tokio::test]
async fn close_releases_locks_and_leases_and_leaves_other_handles_alone() {
    let [one, other] = two_stores();
    let lock = one.lock("job").id("one").await.unwrap();
    let lease = one.lease(Duration::from_secs(60)).await.unwrap();
    one.put("leased", "1").lease(&lease.id).await.unwrap();
    one.put("plain", "1").await.unwrap();
    let mut theirs = other.watch_tree("").await.unwrap();
    let waiting = tokio::spawn({
        let other = other.clone();
        async move { other.lock("job").id("other").await }
    });
    one.close().await.unwrap();
    let taken = soon("the lock of the closed handle", waiting).await.unwrap().unwrap();
    assert!(taken.is_held() && taken.fencing_token() > lock.fencing_token());
    assert_eq!(other.lock_holder("job").await.unwrap().unwrap().id, "other");
    soon("the end of the lease", async {
        while other.get("leased").await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    other.put("plain", "2").await.unwrap();
    soon("the other handle's watch", async {
        while theirs.next().await.unwrap().unwrap().pair().unwrap().value != "2" {}
    })
    .await;
}

#[tokio::test]
async fn close_ends_watches_with_closed_and_nothing_behind_it() {
    let kv = store();
    let mut idle = kv.watch_key("a").await.unwrap();
    let mut reading = kv.watch_tree("").current().await.unwrap();
    let reader = tokio::spawn(async move {
        let mut last = None;
        while let Some(item) = reading.next().await {
            last = Some(item);
        }
        last
    });
    kv.put("a", "1").await.unwrap();
    kv.close().await.unwrap();
    let last = soon("the end of a watch that is read", reader).await.unwrap().unwrap();
    assert_eq!(*last.unwrap_err().kind(), ErrorKind::Closed);
    soon("the end of a watch that was not read", async {
        loop {
            match idle.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break assert_eq!(*error.kind(), ErrorKind::Closed),
                None => panic!("the watch ended without its error"),
            }
        }
    })
    .await;
    assert!(idle.next().await.is_none());
}

#[tokio::test]
async fn close_ends_a_call_that_waits() {
    let kv = store();
    let held = kv.lock("job").await.unwrap();
    assert!(held.is_held());
    let waiting = tokio::spawn({
        let kv = kv.clone();
        async move { kv.lock("job").id("waiter").await.map(drop) }
    });
    kv.close().await.unwrap();
    assert_eq!(*soon("the waiter", waiting).await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn the_last_clone_that_is_dropped_frees_the_locks() {
    let [one, other] = two_stores();
    let lock = one.lock("job").await.unwrap();
    let clone = one.clone();
    drop(one);
    assert!(lock.is_held());
    drop(clone);
    drop(lock);
    let taken = soon("the lock of the dropped handle", other.lock("job")).await.unwrap();
    until("the lock", || taken.is_held()).await;
}
