use std::time::Duration;

use kvdb_core::portworx::*;
use kvdb_core::{ErrorKind, Options};
use tokio::sync::mpsc;

use crate::common::{backend, next, open, soon, store};

const NO_LIMIT: Duration = Duration::ZERO;

#[tokio::test]
async fn a_lock_says_who_holds_it_until_it_is_unlocked() {
    let kv = store();
    assert_eq!(kv.is_key_locked("job").await.unwrap(), (false, String::new()));
    let lock = kv.lock_with_id("job", "me").await.unwrap();
    assert_eq!(kv.is_key_locked("job").await.unwrap(), (true, "me".to_owned()));
    assert!(lock.is_held());
    kv.unlock(&lock).await.unwrap();
    kv.unlock(&lock).await.unwrap();
    assert!(!lock.is_held());
    assert_eq!(kv.is_key_locked("job").await.unwrap(), (false, String::new()));
    let lock = kv.lock("job").await.unwrap();
    assert!(kv.is_key_locked("job").await.unwrap().0);
    kv.unlock(&lock).await.unwrap();
}

#[tokio::test]
async fn a_wait_that_is_over_names_the_holder() {
    let kv = store();
    let lock = kv.lock_with_id("job", "first").await.unwrap();
    let try_duration = Duration::from_millis(20);
    let error = kv.lock_with_timeout("job", "second", try_duration, NO_LIMIT).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::LockTimeout { holder: Some("first".to_owned()) });
    kv.unlock(&lock).await.unwrap();
    let lock = soon("the free lock", kv.lock_with_timeout("job", "second", try_duration, NO_LIMIT)).await.unwrap();
    assert_eq!(kv.is_key_locked("job").await.unwrap().1, "second");
    kv.unlock(&lock).await.unwrap();
}

#[tokio::test]
async fn a_stale_unlock_does_not_free_the_next_holder() {
    let kv = store();
    let first = kv.lock_with_id("job", "same").await.unwrap();
    kv.unlock(&first).await.unwrap();
    let second = kv.lock_with_id("job", "same").await.unwrap();
    kv.unlock(&first).await.unwrap();
    assert!(second.is_held());
    assert_eq!(kv.is_key_locked("job").await.unwrap(), (true, "same".to_owned()));
    assert!(second.fencing_token() > first.fencing_token());
}

#[tokio::test]
async fn a_lock_held_too_long_is_told_once_and_stays() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let kv = open(backend(), &Options::new().on_fatal(move |error| told.send(error.kind().clone()).unwrap()));
    let lock = kv.lock_with_timeout("job", "me", Duration::ZERO, Duration::from_millis(10)).await.unwrap();
    assert_eq!(next(&mut heard).await, ErrLockHoldTimeoutTriggered);
    assert!(lock.is_held());
    assert!(kv.is_key_locked("job").await.unwrap().0);
    kv.unlock(&lock).await.unwrap();
    kv.set_lock_hold_duration(Some(Duration::from_millis(10)));
    let lock = kv.lock_with_timeout("job", "me", Duration::ZERO, NO_LIMIT).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(heard.try_recv().is_err());
    kv.unlock(&lock).await.unwrap();
}

#[tokio::test]
async fn a_lock_and_a_key_of_one_name_never_meet() {
    let kv = store();
    kv.put("job", "data", 0).await.unwrap();
    let lock = soon("the lock", kv.lock("job")).await.unwrap();
    assert_eq!(kv.get("job").await.unwrap().value, "data");
    kv.delete_tree("").await.unwrap();
    assert!(kv.is_key_locked("job").await.unwrap().0);
    kv.unlock(&lock).await.unwrap();
    assert_eq!(kv.enumerate("").await.unwrap(), []);
}
