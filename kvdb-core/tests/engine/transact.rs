use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kvdb_core::prelude::*;

use crate::common::store;

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
