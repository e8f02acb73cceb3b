use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use kvdb::prelude::*;
use kvdb::{Batch, ErrorKind, Key, KeyRange, Op, Options, Scan};
use kvdb_compat::hmetcd::{DIST_LOCK_KEY, Kvi};
use kvdb_testsuite::help::{drop_after, eventually, expect_error, expect_kind, soon};
use kvdb_testsuite::{Proof, ensure, ensure_eq};

use super::On;

async fn is_taken(kvi: &Kvi) -> Proof {
    let refused = kvi.dist_timed_lock(0).await;
    expect_error(refused, "LockTimeout", |kind| matches!(kind, ErrorKind::LockTimeout { holder: Some(_) }))?;
    Ok(())
}

pub(super) async fn excludes(on: On) -> Proof {
    let (one, other) = (on.kvi().await?, on.kvi().await?);
    one.dist_lock().await?;
    for second in [one.dist_lock().await, one.dist_timed_lock(5).await, one.clone().dist_timed_lock(0).await] {
        let error = expect_kind(second, &ErrorKind::LockHeld)?;
        ensure_eq!(error.key(), Some(DIST_LOCK_KEY));
    }
    is_taken(&other).await?;
    one.dist_unlock().await?;
    other.dist_timed_lock(0).await?;
    is_taken(&one).await?;
    // Whoever closes gives it back.
    other.close().await?;
    one.dist_timed_lock(30).await?;
    one.dist_unlock().await?;
    Ok(())
}

pub(super) async fn waits(on: On) -> Proof {
    let holder = on.kvi().await?;
    // Another wait than for ever would be this one.
    let waiter = on.open_with(Options::new().lock_wait(Duration::from_millis(1))).await?;
    holder.dist_lock().await?;
    let waiter = Kvi::over(waiter);
    let asks = waiter.clone();
    let mut waiting = Box::pin(async move { asks.dist_lock().await });
    ensure!(futures_util::poll!(&mut waiting).is_pending(), "it did not wait");
    let waiting = tokio::spawn(waiting);
    expect_kind(waiter.dist_timed_lock(0).await, &ErrorKind::LockHeld)?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    ensure!(!waiting.is_finished(), "it did not wait");
    holder.dist_unlock().await?;
    soon("the lock", waiting).await???;
    is_taken(&holder).await?;
    Ok(())
}

pub(super) async fn timed(on: On) -> Proof {
    let (one, other) = (on.kvi().await?, on.kvi().await?);
    one.dist_timed_lock(1).await?;
    let began = Instant::now();
    let refused = soon("the end of the wait", other.dist_timed_lock(1)).await?;
    expect_error(refused, "LockTimeout", |kind| matches!(kind, ErrorKind::LockTimeout { .. }))?;
    ensure!(began.elapsed() >= Duration::from_secs(1), "it waited {:?}", began.elapsed());
    // The seconds bound the wait, not the time of holding.
    is_taken(&other).await?;
    let waits = other.clone();
    let waiting = tokio::spawn(async move { waits.dist_timed_lock(3600).await });
    one.dist_unlock().await?;
    soon("the lock within its wait", waiting).await???;
    other.dist_unlock().await?;
    Ok(())
}

pub(super) async fn unlock(on: On) -> Proof {
    let (one, other) = (on.kvi().await?, on.kvi().await?);
    one.dist_unlock().await?;
    one.dist_lock().await?;
    // Of another handle it releases nothing.
    other.dist_unlock().await?;
    is_taken(&other).await?;
    for polls in 1..4 {
        let given_up = drop_after(other.dist_lock(), polls).await;
        ensure!(given_up.is_none(), "the lock is free: {given_up:?}");
        // The handle may ask again at once.
        is_taken(&other).await?;
    }
    one.dist_unlock().await?;
    one.dist_unlock().await?;
    soon("the lock behind waits that were given up", one.dist_lock()).await??;
    one.dist_unlock().await?;
    other.dist_lock().await?;
    drop(other);
    soon("the lock of a dropped handle", one.dist_lock()).await??;
    one.dist_unlock().await?;
    Ok(())
}

pub(super) async fn lost(on: On) -> Proof {
    let (kvi, other) = (on.kvi().await?, on.kvi().await?);
    kvi.dist_lock().await?;
    // Somebody removes it from the store itself.
    let backend = on.place.connect(&Options::new()).await?;
    let range = KeyRange::prefix(format!("{}/_kvdb/lock/", on.domain).as_bytes());
    let pages: Vec<_> = backend.list(&range, &Scan::default()).try_collect().await?;
    let keys: Vec<Key> = pages.into_iter().flat_map(|page| page.entries).map(|entry| entry.key).collect();
    ensure!(!keys.is_empty(), "the store has no lock");
    let ops = keys.into_iter().map(|key| Op::Delete { key, previous: false }).collect();
    backend.commit(&Batch { guards: Vec::new(), ops }).await?;
    soon("the lock for another handle", other.dist_lock()).await??;
    eventually("the handle learns of the loss", || async {
        Ok(matches!(kvi.dist_timed_lock(0).await, Err(error) if matches!(error.kind(), ErrorKind::LockTimeout { .. })))
    })
    .await?;
    kvi.dist_unlock().await?;
    is_taken(&kvi).await?;
    other.dist_unlock().await?;
    soon("the lock anew", kvi.dist_lock()).await??;
    Ok(())
}

pub(super) async fn name(on: On) -> Proof {
    let handle = on.open().await?;
    let kvi = Kvi::over(handle.clone());
    kvi.dist_lock().await?;
    ensure!(handle.lock_holder(DIST_LOCK_KEY).await?.is_some(), "the lock has another name");
    let mine = on.kvi().await?.with_lock_name("mine");
    mine.dist_timed_lock(0).await?;
    ensure!(handle.lock_holder("mine").await?.is_some(), "the lock has another name");
    is_taken(&on.kvi().await?.with_lock_name("mine")).await?;
    mine.dist_unlock().await?;
    kvi.dist_unlock().await?;
    for name in [DIST_LOCK_KEY, "mine"] {
        ensure!(handle.lock_holder(name).await?.is_none(), "{name} is held");
    }
    Ok(())
}
