//! Conditions on a store that evaluates them itself: one call, refusals included, and never done twice.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kvdb_core::prelude::*;
use kvdb_core::{Bytes, Retry};

use crate::common::{Faulty, open};

fn store() -> (Arc<Faulty>, Handle) {
    let faulty = Arc::new(Faulty::default());
    faulty.native.store(true, Ordering::SeqCst);
    let kv = open(Arc::clone(&faulty) as _, &Options::new());
    (faulty, kv)
}

#[tokio::test]
async fn a_condition_of_any_kind_takes_one_call_and_so_does_its_refusal() {
    let (faulty, kv) = store();
    let first = kv.put("a", "1").await.unwrap();
    let (created, lock) = (first.created_index, kv.lock("job").await.unwrap());
    let gone = kv.lock("gone").await.unwrap();
    gone.release().await.unwrap();
    faulty.take_calls();
    let one = |faulty: &Faulty| {
        let calls = faulty.take_calls();
        assert!(matches!(calls[..], ["native_txn" | "commit"]), "{calls:?}");
    };
    let set = kv.put("a", "2").if_value("1").previous().await.unwrap();
    assert_eq!((set.version, set.previous.unwrap().text()), (Some(2), Some("1")));
    one(&faulty);
    let set = kv.put("a", "3").if_created(created).if_value("2").fence(&lock).await.unwrap();
    assert_eq!((set.created_index, set.version), (created, Some(3)));
    one(&faulty);
    let set = kv.put("a", "4").if_unchanged(&set).if_created(created).if_present().await.unwrap();
    one(&faulty);

    let refused = [
        (kv.put("a", "x").if_value("other").await, ErrorKind::ValueMismatch),
        (kv.put("none", "x").if_value("1").await, ErrorKind::NotFound),
        (kv.put("a", "x").if_created(set.modified_index).await, ErrorKind::Modified),
        (kv.put("a", "x").if_unchanged(&first).if_value("4").await, ErrorKind::Modified),
        (kv.put("a", "x").if_value("4").fence(&gone).await, ErrorKind::LockLost),
        // What the conditions say comes before the fence.
        (kv.put("a", "x").if_value("other").fence(&gone).await, ErrorKind::ValueMismatch),
        // No write is at revision 0: it is no way to ask for an absent key.
        (kv.put("a", "x").if_created(Revision::ZERO).await, ErrorKind::Modified),
        (kv.put("none", "x").if_created(Revision::ZERO).await, ErrorKind::NotFound),
        (kv.delete("a").if_value("other").await, ErrorKind::ValueMismatch),
    ];
    let calls = faulty.take_calls();
    assert_eq!(calls, ["native_txn"; 9]);
    for (answer, kind) in refused {
        assert_eq!(*answer.unwrap_err().kind(), kind);
    }
    let deleted = kv.delete("a").if_value("4").if_created(created).await.unwrap();
    assert_eq!(deleted.text(), Some("4"));
    one(&faulty);
}

#[tokio::test]
async fn a_condition_too_large_for_one_call_is_looked_at_first() {
    let (faulty, kv) = store();
    let large = Bytes::from(vec![b'x'; 9 << 20]);
    kv.put("a", large.clone()).await.unwrap();
    faulty.take_calls();
    assert_eq!(kv.put("a", large.clone()).if_value(large).await.unwrap().version, Some(2));
    assert_eq!(faulty.take_calls(), ["get", "commit"]);
}

#[tokio::test]
async fn a_condition_whose_request_was_lost_is_sent_again_pinned_by_what_was_read() {
    let (faulty, kv) = store();
    kv.put("a", "1").await.unwrap();
    faulty.lost_requests.store(1, Ordering::SeqCst);
    assert_eq!(kv.put("a", "2").if_value("1").await.unwrap().version, Some(2));
    // The put, the try that was lost, a look, its void under a lease, a look, and the write as pinned by a last one.
    let calls = faulty.take_calls();
    assert_eq!(calls, ["commit", "native_txn", "get", "grant", "commit", "get", "get", "commit"]);
    // A handle that has seen nothing of the key's past finds it in the history.
    let fresh = open(Arc::clone(&faulty) as _, &Options::new());
    faulty.lost_requests.store(1, Ordering::SeqCst);
    assert_eq!(fresh.put("a", "3").if_value("2").await.unwrap().version, Some(3));
}

#[tokio::test]
async fn a_condition_that_its_own_write_leaves_true_is_not_done_twice() {
    for forgets in [false, true] {
        let (faulty, kv) = store();
        faulty.forgets.store(forgets, Ordering::SeqCst);
        let created = kv.put("a", "same").await.unwrap().created_index;
        for round in 0..3 {
            faulty.lost_answers.store(1, Ordering::SeqCst);
            let put = kv.put("a", "same");
            let put = if round == 0 { put.if_value("same") } else { put.if_created(created) };
            assert_eq!(put.await.unwrap_err().retry(), Retry::Ambiguous);
            assert_eq!(kv.get("a").await.unwrap().unwrap().version, Some(round + 2));
        }
    }
}

#[tokio::test]
async fn an_unknown_outcome_whose_history_is_gone_stays_unknown() {
    let (faulty, kv) = store();
    let other = open(Arc::clone(&faulty) as _, &Options::new());
    kv.put("a", "1").await.unwrap();
    let last = other.put("a", "1").await.unwrap().modified_index;
    other.compact(last).await.unwrap();
    faulty.lost_requests.store(1, Ordering::SeqCst);
    let error = kv.put("a", "2").if_value("1").await.unwrap_err();
    assert_eq!(error.retry(), Retry::Ambiguous, "{error}");
    faulty.lost_requests.store(1, Ordering::SeqCst);
    let fresh = open(Arc::clone(&faulty) as _, &Options::new());
    let error = fresh.create("b", "1").await.unwrap_err();
    assert_eq!(error.retry(), Retry::Ambiguous, "{error}");
}

#[tokio::test]
async fn a_store_that_went_back_proves_nothing() {
    let (faulty, kv) = store();
    for _ in 0..10 {
        kv.put("a", "1").await.unwrap();
    }
    faulty.restore();
    faulty.lost_requests.store(1, Ordering::SeqCst);
    let error = kv.create("b", "1").await.unwrap_err();
    assert_eq!(error.retry(), Retry::Ambiguous, "{error}");
}

#[tokio::test]
async fn a_transaction_that_only_reads_is_read_again() {
    let (faulty, kv) = store();
    kv.put("a", "1").await.unwrap();
    faulty.refusals.store(2, Ordering::SeqCst);
    let reply = kv.txn().when(present("a")).then(get("a")).otherwise(get("b")).await.unwrap();
    assert_eq!(reply.results[0].pair().and_then(KvPair::text), Some("1"));
    faulty.silent.store(true, Ordering::SeqCst);
    let short = std::time::Duration::from_millis(20);
    let error = kv.txn().when(present("a")).then(get("a")).timeout(short).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (&ErrorKind::Timeout, Retry::Safe));
    let error = kv.txn().when(present("a")).then(get("a")).otherwise(delete("a")).timeout(short).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (&ErrorKind::Timeout, Retry::Ambiguous));
}
