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
