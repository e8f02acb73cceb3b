//! Deadlines and retries, over a memory store whose answers a test can hold back or lose.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvdb_core::Retry;
use kvdb_core::prelude::*;

use crate::common::{Faulty, open, soon};

const SHORT: Duration = Duration::from_millis(20);

fn store() -> (Arc<Faulty>, Handle) {
    let faulty = Arc::new(Faulty::default());
    let kv = open(Arc::clone(&faulty) as _, &Options::new().timeout(Duration::from_secs(5)));
    (faulty, kv)
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_a_timeout_safe_for_reads_and_ambiguous_for_writes() {
    let (faulty, kv) = store();
    faulty.silent.store(true, Ordering::SeqCst);
    let get = soon("the deadline", kv.get("a").timeout(SHORT)).await.unwrap_err();
    assert_eq!((get.kind(), get.retry(), get.key()), (&ErrorKind::Timeout, Retry::Safe, Some("a")));
    let list = soon("the deadline", kv.list("d").timeout(SHORT)).await.unwrap_err();
    assert_eq!((list.kind(), list.retry()), (&ErrorKind::Timeout, Retry::Safe));
    let put = soon("the deadline", kv.put("a", "1").timeout(SHORT)).await.unwrap_err();
    assert_eq!((put.kind(), put.retry()), (&ErrorKind::Timeout, Retry::Ambiguous));
    let delete = soon("the deadline", kv.delete("a").timeout(SHORT)).await.unwrap_err();
    assert_eq!((delete.kind(), delete.backend()), (&ErrorKind::Timeout, Some("mem")));
    let watch = soon("the deadline", kv.watch_key("a").timeout(SHORT)).await.unwrap_err();
    assert_eq!((watch.kind(), watch.retry()), (&ErrorKind::Timeout, Retry::Safe));
}

#[tokio::test]
async fn what_surely_was_not_sent_is_tried_again_while_the_time_lasts() {
    let (faulty, kv) = store();
    faulty.refusals.store(3, Ordering::SeqCst);
    kv.put("a", "1").await.unwrap();
    faulty.refusals.store(3, Ordering::SeqCst);
    assert_eq!(kv.get("a").await.unwrap().unwrap().version, Some(1));
    faulty.refusals.store(usize::MAX, Ordering::SeqCst);
    let error = kv.put("a", "2").timeout(SHORT).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (&ErrorKind::Unavailable, Retry::Safe));
}

#[tokio::test]
async fn a_lost_answer_to_a_plain_put_is_ambiguous_and_written_once() {
    let (faulty, kv) = store();
    faulty.lost_answers.store(1, Ordering::SeqCst);
    let error = kv.put("a", "1").await.unwrap_err();
    assert_eq!(error.retry(), Retry::Ambiguous);
    assert_eq!(kv.get("a").await.unwrap().unwrap().version, Some(1));
}

#[tokio::test]
async fn a_lost_answer_to_a_guarded_write_is_never_modified_exists_or_not_found() {
    let (faulty, kv) = store();
    faulty.lost_answers.store(1, Ordering::SeqCst);
    let created = kv.create("a", "1").await;
    assert!(created.as_ref().map_or_else(|error| error.retry() == Retry::Ambiguous, |_| true), "{created:?}");
    let pair = kv.get("a").await.unwrap().unwrap();
    assert_eq!(pair.version, Some(1));

    faulty.lost_answers.store(1, Ordering::SeqCst);
    let set = kv.put("a", "2").if_unchanged(&pair).await;
    assert!(set.as_ref().map_or_else(|error| error.retry() == Retry::Ambiguous, |_| true), "{set:?}");
    assert_eq!(kv.get("a").await.unwrap().unwrap().version, Some(2));

    faulty.lost_answers.store(1, Ordering::SeqCst);
    let deleted = kv.delete("a").await;
    assert!(deleted.as_ref().map_or_else(|error| error.retry() == Retry::Ambiguous, |_| true), "{deleted:?}");
    assert_eq!(kv.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_guarded_write_that_was_not_done_is_done_when_the_answer_was_lost() {
    let (faulty, kv) = store();
    faulty.lost_requests.store(1, Ordering::SeqCst);
    let created = kv.create("a", "1").await.unwrap();
    assert_eq!(created.version, Some(1));
    faulty.lost_requests.store(1, Ordering::SeqCst);
    assert_eq!(kv.put("a", "2").if_unchanged(&created).await.unwrap().version, Some(2));
}

#[tokio::test]
async fn what_cannot_be_settled_stays_ambiguous() {
    let (faulty, kv) = store();
    faulty.silent_after_answer.store(true, Ordering::SeqCst);
    faulty.lost_answers.store(1, Ordering::SeqCst);
    let error = soon("the deadline", kv.create("a", "1").timeout(SHORT)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Ambiguous, "{error}");
}

#[tokio::test]
async fn a_conditional_write_that_is_done_is_never_safe_to_repeat() {
    // The first try is lost on its way, the guard still holds; the second is done, and its answer is lost.
    let (faulty, kv) = store();
    kv.put("a", "1").await.unwrap();
    faulty.lost_requests.store(1, Ordering::SeqCst);
    faulty.lost_answers.store(1, Ordering::SeqCst);
    let set = kv.put("a", "2").if_value("1").await;
    assert!(set.as_ref().map_or_else(|error| error.retry() == Retry::Ambiguous, |_| true), "{set:?}");
    assert_eq!(kv.get("a").await.unwrap().unwrap().version, Some(2));
}

#[tokio::test]
async fn a_dropped_call_leaves_nothing_or_the_whole_write() {
    let kv = crate::common::store();
    for ttl in [None, Some(Duration::from_secs(60))] {
        for polls in 0..6 {
            let mut put = kv.create("a", "1");
            if let Some(ttl) = ttl {
                put = put.ttl(ttl);
            }
            let mut put = put.into_future();
            for _ in 0..polls {
                if futures_util::poll!(&mut put).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(put);
            tokio::task::yield_now().await;
            if let Some(pair) = kv.get("a").await.unwrap() {
                assert_eq!((pair.text(), pair.lease.is_some()), (Some("1"), ttl.is_some()));
                kv.delete("a").await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn calls_that_share_a_watch_or_a_lease_do_not_queue_up_their_deadlines() {
    const WAIT: Duration = Duration::from_millis(200);
    let (faulty, kv) = store();
    faulty.silent.store(true, Ordering::SeqCst);
    let started = tokio::time::Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let kv = kv.clone();
        calls.spawn(async move { kv.watch_tree("d").timeout(WAIT).await.map(drop) });
    }
    for _ in 0..50 {
        let kv = kv.clone();
        calls.spawn(async move { kv.lock("job").timeout(WAIT).await.map(drop) });
    }
    let results = soon("the deadlines", calls.join_all()).await;
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error}");
    }
    // One after the other they would take fifty times the wait.
    assert!(started.elapsed() < 10 * WAIT, "{:?}", started.elapsed());
}

#[tokio::test]
async fn closing_a_store_that_does_not_answer_takes_one_deadline_and_not_one_for_each_lease() {
    let faulty = Arc::new(Faulty::default());
    let kv = open(Arc::clone(&faulty) as _, &Options::new().timeout(Duration::from_millis(200)));
    for _ in 0..50 {
        kv.lease(Duration::from_secs(60)).await.unwrap();
    }
    faulty.silent.store(true, Ordering::SeqCst);
    let started = tokio::time::Instant::now();
    // The store did not take the leases back: they run out.
    let _ = soon("the close", kv.close()).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_request_that_arrives_after_it_was_given_up_never_looks_like_nothing_was_written() {
    let (faulty, kv) = store();
    kv.put("a", "0").await.unwrap();
    for (round, by_value) in [(1, false), (2, true)] {
        let pair = kv.get("a").await.unwrap().unwrap();
        // The guard still holds when it is looked at; then the first try lands, the second conflicts with it, and
        // nobody can be asked any more.
        faulty.late_requests.store(1, Ordering::SeqCst);
        let put = kv.put("a", round.to_string()).timeout(Duration::from_millis(200));
        let put = if by_value { put.if_value("1") } else { put.if_unchanged(&pair) };
        let error = soon("the deadline", put).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Ambiguous, "{round}: {error}");
        faulty.silent.store(false, Ordering::SeqCst);
        assert_eq!(kv.get("a").await.unwrap().unwrap().text(), Some(round.to_string().as_str()));
    }
}

#[tokio::test]
async fn a_late_first_try_is_not_done_a_second_time_because_it_left_the_value_as_it_was() {
    let (faulty, kv) = store();
    kv.put("a", "same").await.unwrap();
    faulty.late_requests.store(1, Ordering::SeqCst);
    // Looked at for its condition, then to settle the outcome; the next look already finds the first try done.
    faulty.late_reads.store(3, Ordering::SeqCst);
    let error = kv.put("a", "same").if_value("same").await.unwrap_err();
    assert_eq!(error.retry(), Retry::Ambiguous, "{error}");
    assert_eq!(kv.get("a").await.unwrap().unwrap().version, Some(2));
}

#[tokio::test]
async fn a_late_first_try_of_a_transaction_does_not_let_the_other_branch_run_too() {
    let (faulty, kv) = store();
    kv.put("a", "1").await.unwrap();
    faulty.late_requests.store(1, Ordering::SeqCst);
    // Compared, then looked at to settle the outcome; the next compare already sees the first try done.
    faulty.late_reads.store(3, Ordering::SeqCst);
    let txn = kv.txn().when(value("a").eq("1")).then(put("a", "2")).otherwise(put("b", "x"));
    let error = txn.await.unwrap_err();
    assert_eq!(error.retry(), Retry::Ambiguous, "{error}");
    assert_eq!(kv.get("a").await.unwrap().unwrap().text(), Some("2"));
    assert_eq!(kv.get("b").await.unwrap(), None);
}

#[tokio::test]
async fn a_lease_that_the_store_has_ended_does_not_hold_up_the_next_lock() {
    let kv = crate::common::store();
    let first = kv.lock("one").ttl(Duration::from_secs(3600)).await.unwrap();
    kv.lease_revoke(&first.lease.clone().unwrap(), Default::default()).await.unwrap();
    // The keeper would learn of it after twenty minutes.
    let second = soon("the next lock", kv.lock("two").ttl(Duration::from_secs(3600))).await.unwrap();
    assert!(second.is_held());
    soon("the loss of the first", first.lost()).await;
}

#[tokio::test]
async fn a_ttl_that_ends_before_the_write_is_an_error_and_no_endless_try() {
    let kv = crate::common::store();
    for _ in 0..20 {
        let taken = soon("an answer", kv.lock("job").ttl(Duration::from_millis(1))).await;
        if let Err(error) = taken {
            assert_eq!((error.kind(), error.retry()), (&ErrorKind::LockLost, Retry::Safe), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_registered_within_its_own_deadline_whatever_it_has_to_read() {
    let (faulty, kv) = store();
    let written = kv.put("d/a", "1").await.unwrap();
    // With the range watched already, only the readings are left to ask of the store.
    let _running = kv.watch_tree("d").await.unwrap();
    faulty.silent.store(true, Ordering::SeqCst);
    for watch in [
        kv.watch_tree("d").current(),
        kv.watch_tree("d"),
        kv.watch_tree("d").on_gap(OnGap::Resync),
        kv.watch_tree("d").after(written.modified_index).on_gap(OnGap::Resync),
    ] {
        let began = tokio::time::Instant::now();
        let error = watch.timeout(SHORT).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Timeout);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?} instead of {SHORT:?}", began.elapsed());
    }
}
