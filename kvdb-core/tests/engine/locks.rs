use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use kvdb_core::prelude::*;
use kvdb_core::{Backend, Batch, CallOptions, Key, KeyRange, Kvdb, Op, Options, Scan};
use tokio::task::JoinHandle;

use crate::common::{Faulty, backend, open, soon, until};

/// The keys of all waiters.
async fn waiters(store: &Arc<dyn Backend>) -> Vec<String> {
    let mut pages = store.list(&KeyRange::all(), &Scan::default());
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await.transpose().unwrap() {
        keys.extend(page.entries.iter().map(|entry| entry.key.to_string()).filter(|key| key.contains("_kvdb/lock/")));
    }
    keys
}

#[tokio::test]
async fn a_lock_taken_again_and_again_leaves_one_key_in_the_stores_history() {
    let store = backend();
    let kv = open(Arc::clone(&store), &Options::new());
    let first = kv.lock("job").await.unwrap();
    let key = waiters(&store).await;
    assert_eq!(key.len(), 1);
    first.release().await.unwrap();
    for _ in 0..3 {
        let again = kv.lock("job").await.unwrap();
        assert_eq!(waiters(&store).await, key);
        assert!(again.fencing_token() > first.fencing_token());
        let stale = kv.put("x", "1").fence(&first).await.unwrap_err();
        assert_eq!(*stale.kind(), ErrorKind::LockLost, "the key is the same, the holder is not");
        first.release().await.unwrap();
        assert!(again.is_held(), "a release of the one before touches nobody");
        kv.put("x", "1").fence(&again).await.unwrap();
        again.release().await.unwrap();
    }
}

#[tokio::test]
async fn locks_held_at_once_never_share_a_key() {
    let store = backend();
    let kv = open(Arc::clone(&store), &Options::new());
    kv.lock("a").await.unwrap().release().await.unwrap();
    let held = [kv.lock("a").await.unwrap(), kv.lock("b").await.unwrap(), kv.lock("c").await.unwrap()];
    let ids = waiters(&store).await.iter().map(|key| key.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>();
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (held.len(), held.len()), "{ids:?}");
}

/// A handle over a store that evaluates transactions itself and counts its calls.
fn counted() -> (Arc<Faulty>, Handle) {
    let faulty = Arc::new(Faulty::default());
    faulty.native.store(true, Ordering::SeqCst);
    let kv = open(faulty.clone(), &Options::new());
    (faulty, kv)
}

/// One more waiter for the lock, whose key is the last that is given.
async fn one_more(faulty: &Arc<Faulty>, kv: &Handle, queue: &mut Vec<String>) -> JoinHandle<Result<LockGuard>> {
    let (kv, store) = (kv.clone(), Arc::clone(faulty) as Arc<dyn Backend>);
    let waiting = tokio::spawn(async move { kv.lock("job").await });
    let key = soon("the waiter is queued", async {
        loop {
            if let Some(key) = waiters(&store).await.into_iter().find(|key| !queue.contains(key)) {
                break key;
            }
            tokio::task::yield_now().await;
        }
    });
    queue.push(key.await);
    waiting
}

/// So many watches of this key were opened: its own holder's, and one of each waiter that had it before itself.
async fn watched(faulty: &Faulty, key: &str, times: usize) {
    let key = Key::from(key.to_owned());
    let opened = || faulty.watches.lock().unwrap().iter().filter(|spec| spec.range.as_single() == Some(&key)).count();
    until("the watches", || opened() == times).await;
}

/// Deletes a key behind every handle's back.
async fn delete(faulty: &Faulty, key: &str) {
    let ops = vec![Op::Delete { key: Key::from(key.to_owned()), previous: false }];
    faulty.commit(&Batch { guards: Vec::new(), ops }).await.unwrap();
}

#[tokio::test]
async fn a_waiter_that_stood_behind_one_alone_holds_once_that_one_left_and_does_not_list_again() {
    let (faulty, kv) = counted();
    let (held, mut queue) = (kv.lock("job").await.unwrap(), waiters(&(faulty.clone() as _)).await);
    let waiting = one_more(&faulty, &kv, &mut queue).await;
    watched(&faulty, &queue[0], 2).await;
    faulty.take_calls();
    held.release().await.unwrap();
    let next = soon("the next one holds", waiting).await.unwrap().unwrap();
    let calls = faulty.take_calls();
    assert!(!calls.contains(&"list"), "{calls:?}");
    kv.put("x", "1").fence(&next).await.unwrap();
    assert!(next.is_held());
}

#[tokio::test]
async fn a_waiter_whose_key_was_taken_away_before_its_turn_learns_it_and_its_fence_refuses() {
    let (faulty, kv) = counted();
    let (held, mut queue) = (kv.lock("job").await.unwrap(), waiters(&(faulty.clone() as _)).await);
    let waiting = one_more(&faulty, &kv, &mut queue).await;
    watched(&faulty, &queue[0], 2).await;
    delete(&faulty, &queue[1]).await;
    held.release().await.unwrap();
    let next = soon("the next one is answered", waiting).await.unwrap().unwrap();
    assert_eq!(*kv.put("x", "1").fence(&next).await.unwrap_err().kind(), ErrorKind::LockLost);
    assert_eq!(*soon("the loss", next.lost()).await.kind(), ErrorKind::LockLost);
    assert!(!next.is_held());
    assert_eq!(kv.get("x").await.unwrap(), None);
}

#[tokio::test]
async fn a_waiter_behind_two_does_not_hold_when_the_nearer_one_leaves() {
    let (faulty, kv) = counted();
    let (held, mut queue) = (kv.lock("job").await.unwrap(), waiters(&(faulty.clone() as _)).await);
    let _nearer = one_more(&faulty, &kv, &mut queue).await;
    watched(&faulty, &queue[0], 2).await;
    let waiting = one_more(&faulty, &kv, &mut queue).await;
    watched(&faulty, &queue[1], 1).await;
    delete(&faulty, &queue[1]).await;
    watched(&faulty, &queue[0], 3).await;
    assert!(!waiting.is_finished(), "two hold the lock");
    held.release().await.unwrap();
    let next = soon("the next one holds", waiting).await.unwrap().unwrap();
    kv.put("x", "1").fence(&next).await.unwrap();
}

#[tokio::test]
async fn a_waiter_is_told_at_once_when_its_handle_revokes_its_lease() {
    let (faulty, kv) = counted();
    let held = kv.lock("job").ttl(Duration::from_secs(600)).await.unwrap();
    let mut queue = waiters(&(faulty.clone() as _)).await;
    let waiting = one_more(&faulty, &kv, &mut queue).await;
    let beside = kv.lock("beside").await.unwrap();
    kv.lease_revoke(beside.lease.as_ref().unwrap(), CallOptions::default()).await.unwrap();
    match soon("the waiter is told", waiting).await.unwrap() {
        Err(error) => assert_eq!(*error.kind(), ErrorKind::LockLost),
        Ok(_) => panic!("two hold the lock"),
    }
    assert!(held.is_held());
    assert!(!beside.is_held());
}

#[tokio::test]
async fn locks_that_are_released_at_once_are_never_watched_and_those_that_stay_are() {
    let (faulty, kv) = counted();
    for _ in 0..20 {
        kv.lock("brief").await.unwrap().release().await.unwrap();
    }
    let held = kv.lock("job").await.unwrap();
    let queue = waiters(&(faulty.clone() as _)).await;
    watched(&faulty, &queue[0], 1).await;
    assert_eq!(faulty.watches.lock().unwrap().len(), 1);
    // A loss is told to who asks before that.
    let other = kv.lock("other").await.unwrap();
    kv.lease_revoke(other.lease.as_ref().unwrap(), CallOptions::default()).await.unwrap();
    for lock in [held, other] {
        assert_eq!(*soon("the loss", lock.lost()).await.kind(), ErrorKind::LockLost);
    }
}
