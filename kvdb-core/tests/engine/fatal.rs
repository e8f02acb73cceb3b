use std::sync::Arc;
use std::time::Duration;

use kvdb_core::prelude::*;
use tokio::sync::mpsc;

use crate::common::{backend, next, open, until};

const SHORT: Duration = Duration::from_millis(10);

#[tokio::test]
async fn the_callback_of_the_options_hears_a_lock_held_too_long_once() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let kv = open(
        backend(),
        &Options::new().lock_hold(SHORT).on_fatal(move |error| {
            told.send((error.kind().clone(), error.to_string())).unwrap();
        }),
    );
    let lock = kv.lock("job").id("me").await.unwrap();
    let (kind, text) = next(&mut heard).await;
    assert_eq!(kind, ErrorKind::LockHoldTimeout);
    assert!(text.contains("job"), "{text}");
    assert!(lock.is_held());
    tokio::time::sleep(3 * SHORT).await;
    assert!(heard.try_recv().is_err());
    lock.release().await.unwrap();
}

#[tokio::test]
async fn a_callback_that_is_set_later_takes_the_place_for_every_clone() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let kv = open(backend(), &Options::new().on_fatal(|_| panic!("this one was replaced")));
    let lock = kv.clone().lock("job").hold(SHORT).await.unwrap();
    kv.set_fatal_callback(Arc::new(move |error: &Error| told.send(error.kind().clone()).unwrap()));
    assert_eq!(next(&mut heard).await, ErrorKind::LockHoldTimeout);
    lock.release().await.unwrap();
}

#[tokio::test]
async fn the_callback_may_call_anything() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let kv = open(backend(), &Options::new());
    let own = kv.clone();
    kv.set_fatal_callback(Arc::new(move |_: &Error| {
        own.set_lock_hold_duration(Some(own.lock_try_duration()));
        let told = told.clone();
        own.set_fatal_callback(Arc::new(|_: &Error| {}));
        let kv = own.clone();
        tokio::spawn(async move { told.send(kv.put("told", "1").await.is_ok()) });
    }));
    let lock = kv.lock("job").hold(SHORT).await.unwrap();
    assert!(next(&mut heard).await);
    assert_eq!(kv.lock_hold_duration(), Some(kv.lock_try_duration()));
    lock.release().await.unwrap();
}

#[tokio::test]
async fn a_released_lock_is_not_held_too_long() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let kv = open(backend(), &Options::new().on_fatal(move |error| told.send(error.to_string()).unwrap()));
    kv.lock("job").hold(SHORT).await.unwrap().release().await.unwrap();
    drop(kv.lock("job").hold(SHORT).await.unwrap());
    tokio::time::sleep(5 * SHORT).await;
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn a_lock_whose_lease_is_revoked_is_lost_once_and_says_so() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let kv = open(backend(), &Options::new().on_fatal(move |error| told.send(error.kind().clone()).unwrap()));
    let lock = kv.lock("job").await.unwrap();
    let lease = lock.lease.clone().expect("a lock's pair has its lease");
    kv.lease_revoke(&lease, Default::default()).await.unwrap();
    assert_eq!(*crate::common::soon("the loss", lock.lost()).await.kind(), ErrorKind::LockLost);
    assert!(!lock.is_held());
    assert_eq!(next(&mut heard).await, ErrorKind::LockLost);
    lock.release().await.unwrap();
    let next_lock = kv.lock("job").await.unwrap();
    until("the next holder", || next_lock.is_held()).await;
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn a_callback_that_panics_does_not_hide_the_loss_of_the_lock() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let kv = open(
        backend(),
        &Options::new().on_fatal(move |error| {
            told.send(error.kind().clone()).unwrap();
            panic!("a callback that ends the process, as the Go library's does");
        }),
    );
    let lock = kv.lock("job").hold(SHORT).await.unwrap();
    assert_eq!(next(&mut heard).await, ErrorKind::LockHoldTimeout);
    kv.lease_revoke(&lock.lease.clone().unwrap(), Default::default()).await.unwrap();
    assert_eq!(*crate::common::soon("the loss", lock.lost()).await.kind(), ErrorKind::LockLost);
    assert_eq!(next(&mut heard).await, ErrorKind::LockLost);
}
