use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kvdb_core::prelude::*;

use crate::common::{Faulty, open, store};

#[tokio::test(start_paused = true)]
async fn the_deadline_of_transact_counts_from_its_call() {
    let (kv, runs) = (store(), AtomicUsize::new(0));
    let error = kv
        .transact_within(Duration::from_secs(1), |tx| {
            let (run, kv) = (runs.fetch_add(1, Ordering::SeqCst), &kv);
            async move {
                tx.get("k").await?;
                tokio::time::sleep(Duration::from_millis(900)).await;
                kv.put("k", format!("{run}")).await?;
                tx.put("left", "1")
            }
        })
        .await
        .unwrap_err();
    assert_eq!((error.kind(), runs.load(Ordering::SeqCst)), (&ErrorKind::Contention, 2));
}

#[tokio::test]
async fn a_ttl_that_ran_out_on_the_way_is_granted_anew() {
    let faulty = Arc::new(Faulty::default());
    let kv = open(faulty.clone(), &Options::new());
    let minute = Duration::from_secs(60);
    faulty.short_leases.store(2, Ordering::SeqCst);
    kv.put("put", "1").ttl(minute).await.unwrap();
    faulty.short_leases.store(2, Ordering::SeqCst);
    let reply = kv.txn().then(put("txn", "1").ttl(minute)).then(put("beside", "1")).await.unwrap();
    assert_eq!(reply.results[0].pair().unwrap().ttl, Some(minute));
    faulty.short_leases.store(2, Ordering::SeqCst);
    let tx = kv.tx();
    tx.put_ttl("tx", "1", minute).unwrap();
    tx.commit().await.unwrap();
    for key in ["put", "txn", "tx"] {
        assert!(kv.get(key).await.unwrap().unwrap().lease.is_some(), "{key}");
    }
    // A lease that the caller brings is the caller's: that it is gone is told at once.
    let gone = kv.lease(minute).await.unwrap();
    kv.lease_revoke(&gone.id, Default::default()).await.unwrap();
    let both = kv.txn().then(put("a", "1").ttl(minute)).then(put("b", "1").lease(&gone.id)).await.unwrap_err();
    assert_eq!((both.kind(), kv.get("a").await.unwrap()), (&ErrorKind::LeaseNotFound, None));
}

#[tokio::test]
async fn without_native_transactions_no_more_is_read_than_decides() {
    let faulty = Arc::new(Faulty::default());
    faulty.native.store(false, Ordering::SeqCst);
    let kv = open(faulty.clone(), &Options::new());
    let before = kv.put("a", "1").await.unwrap();
    kv.put("b", "1").await.unwrap();
    faulty.take_calls();
    // What guards can say is committed unread, as a `Tx` does.
    let unchanged = modified("a").eq(before.modified_index);
    assert!(kv.txn().when(unchanged.clone()).when(absent("c")).then(put("a", "2")).await.unwrap().succeeded);
    assert_eq!(faulty.take_calls(), ["commit"]);
    // Refused, it is read which of the conditions fails: that one alone decides.
    let reply = kv.txn().when(unchanged).when(absent("c")).when(absent("b")).then(put("a", "3")).await.unwrap();
    assert_eq!((reply.succeeded, reply.revision > before.modified_index), (false, true));
    assert_eq!(faulty.take_calls(), ["commit", "get"]);
    let refused = kv.txn().when(value("a").eq("1")).when(value("b").eq("1")).otherwise(put("c", "1")).await.unwrap();
    assert!(!refused.succeeded);
    assert_eq!(faulty.take_calls(), ["get", "commit"]);
    // One key is read at one moment, two are checked to be of one.
    assert_eq!(kv.txn().when(present("a")).then(get("a")).await.unwrap().results[0].pair().unwrap().value, "2");
    assert_eq!(faulty.take_calls(), ["get"]);
    kv.txn().then(get("a")).then(get("b")).await.unwrap();
    assert_eq!(faulty.take_calls(), ["get", "get", "commit"]);
    // One that does nothing tells the present revision.
    assert!(kv.txn().await.unwrap().revision > before.modified_index);
    assert_eq!(faulty.take_calls(), ["get"]);
}
