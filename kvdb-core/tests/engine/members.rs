//! A store of several members: one lags, one is asked after another, all are put back by an operator.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvdb_core::Changes;
use kvdb_core::prelude::*;

use crate::common::{Faulty, open, soon, until};

fn store() -> (Arc<Faulty>, Handle) {
    let faulty = Arc::new(Faulty::default());
    faulty.native.store(true, Ordering::SeqCst);
    let kv = open(Arc::clone(&faulty) as _, &Options::new());
    (faulty, kv)
}

async fn pair(watch: &mut Watch) -> KvPair {
    let event = soon("the next event", watch.next()).await.expect("the watch has ended").unwrap();
    event.pair().expect("an event with a pair").clone()
}

#[tokio::test]
async fn a_watch_asked_of_a_member_that_lags_begins_where_it_should() {
    let (faulty, kv) = store();
    let before = kv.put("a", "1").await.unwrap();
    // From now on: what was written before the call is no event.
    faulty.lagging.store(1, Ordering::SeqCst);
    let mut now = kv.watch_key("a").await.unwrap();
    faulty.lagging.store(2, Ordering::SeqCst);
    let mut after = kv.watch_tree("").after(before.modified_index).await.unwrap();
    let written = kv.put("a", "2").await.unwrap();
    assert_eq!(pair(&mut now).await.modified_index, written.modified_index);
    assert_eq!(pair(&mut after).await.modified_index, written.modified_index);
    // What the store itself has not come to is refused all the same.
    let future = Revision::new(written.modified_index.get() + 100);
    let error = kv.watch_key("a").after(future).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::FutureRevision { .. }), "{error}");
}

#[tokio::test]
async fn a_watch_that_moves_to_a_member_that_lags_goes_on() {
    let (faulty, kv) = store();
    let (script, lines) = tokio::sync::mpsc::unbounded_channel();
    *faulty.script.lock().unwrap() = Some(lines);
    let mut watch = kv.watch_key("a").await.unwrap();
    let quiet = kv.put("b", "1").await.unwrap().modified_index;
    script.send(Changes::Progress(quiet)).unwrap();
    faulty.lagging.store(3, Ordering::SeqCst);
    drop(script);
    // It goes on from where the quiet range was known to stand, not from its last event.
    let written = kv.put("a", "1").await.unwrap();
    assert_eq!(pair(&mut watch).await.modified_index, written.modified_index);
    let asked: Vec<_> = faulty.watches.lock().unwrap().iter().map(|spec| spec.after).collect();
    assert_eq!(asked, [None, Some(quiet), Some(quiet), Some(quiet), Some(quiet)]);
}

#[tokio::test]
async fn a_store_that_was_put_back_ends_a_watch_or_is_told_by_differences() {
    let (faulty, kv) = store();
    let (script, lines) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..5 {
        kv.put("d/lost", "1").await.unwrap();
    }
    *faulty.script.lock().unwrap() = Some(lines);
    let mut fails = kv.watch_tree("d").await.unwrap();
    let mut goes_on = kv.watch_tree("d").on_gap(OnGap::Resync).await.unwrap();
    faulty.restore();
    drop(script);
    let error = soon("the end of the watch", fails.next()).await.unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::FutureRevision { .. } | ErrorKind::Compacted { .. }), "{error}");
    let gone = soon("the difference", goes_on.next()).await.unwrap().unwrap();
    assert!(matches!(&gone, Event::Delete(pair) if pair.key == "d/lost"), "{gone:?}");
    let resynced = soon("the mark", goes_on.next()).await.unwrap().unwrap();
    assert!(matches!(resynced, Event::Resynced { complete: false, .. }), "{resynced:?}");
    let written = kv.put("d/new", "1").await.unwrap();
    assert_eq!(pair(&mut goes_on).await.modified_index, written.modified_index);
}

#[tokio::test]
async fn a_lease_whose_grant_was_not_heard_of_is_granted_again() {
    let (faulty, kv) = store();
    faulty.lost_grants.store(2, Ordering::SeqCst);
    let lock = kv.lock("job").await.unwrap();
    assert!(lock.is_held());
    faulty.lost_grants.store(2, Ordering::SeqCst);
    kv.put("a", "1").ttl(Duration::from_secs(60)).await.unwrap();
    faulty.lost_grants.store(2, Ordering::SeqCst);
    kv.lease(Duration::from_secs(60)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_held_for_a_moment_is_not_watched_and_one_held_longer_is() {
    let (faulty, kv) = store();
    for _ in 0..10 {
        kv.lock("job").await.unwrap().release().await.unwrap();
    }
    assert_eq!(faulty.watches.lock().unwrap().len(), 0);
    let lock = kv.lock("job").await.unwrap();
    until("the watch", || !faulty.watches.lock().unwrap().is_empty()).await;
    let spec = faulty.watches.lock().unwrap()[0].clone();
    assert_eq!(spec.after, Some(lock.fencing_token()));
    // Taken away before it was watched: told all the same.
    let short = kv.lock("short").await.unwrap();
    faulty.delete_all("app/_kvdb/lock/short/").await;
    soon("the loss", short.lost()).await;
    assert!(lock.is_held() && !short.is_held());
}

#[tokio::test]
async fn a_tree_with_more_locks_below_it_than_fit_into_a_batch_is_deleted_and_they_stay() {
    let (faulty, kv) = store();
    let mut locks = Vec::new();
    for n in 0..7 {
        let inside = Handle::open("mem", Arc::clone(&faulty) as _, &format!("app/d/{n}"), &Options::new()).unwrap();
        inside.put("a", "1").await.unwrap();
        inside.put("z", "1").await.unwrap();
        locks.push((inside.lock("job").await.unwrap(), inside));
    }
    faulty.batch_ops.store(3, Ordering::SeqCst);
    assert_eq!(kv.delete_tree("d").await.unwrap(), 14);
    assert_eq!(kv.list("").names().await.unwrap(), Vec::<String>::new());
    for (lock, inside) in &locks {
        assert_eq!(inside.lock_holder("job").await.unwrap().unwrap().token, lock.fencing_token());
    }
}
