use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{CallOptions, Kvdb, Options};
use tokio::sync::mpsc;

use crate::help::{eventually, expect_error, soon};
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

type Told = mpsc::UnboundedReceiver<(ErrorKind, Option<String>)>;

/// Options whose fatal callback sends what it is told.
fn telling() -> (Options, Told) {
    let (send, told) = mpsc::unbounded_channel();
    let options = Options::new().on_fatal(move |error| {
        let _ = send.send((error.kind().clone(), error.key().map(str::to_owned)));
    });
    (options, told)
}

async fn next(told: &mut Told) -> Proof<(ErrorKind, Option<String>)> {
    match soon("the fatal callback is called", told.recv()).await? {
        Some(told) => Ok(told),
        None => crate::fail!("the callback is gone"),
    }
}

pub(super) async fn too_long(ctx: Ctx) -> Proof {
    let (options, mut told) = telling();
    let kv = ctx.open_with(options).await?;
    let other = ctx.open().await?;
    let hold = Duration::from_millis(150);
    // Released in time: nobody is called, whatever comes of the time.
    kv.lock("in time").hold(hold).await?.release().await?;
    let lock = kv.lock("job").hold(hold).await?;
    ensure_eq!(next(&mut told).await?, (ErrorKind::LockHoldTimeout, Some("job".to_owned())));
    ensure!(lock.is_held(), "held too long and therefore lost");
    expect_error(other.try_lock("job").await, "LockTimeout", |kind| matches!(kind, ErrorKind::LockTimeout { .. }))?;
    kv.put("data", "1").fence(&lock).await?;
    // By the handle's setting as well, and again only for the new lock: a second call for the first would come first.
    kv.set_lock_hold_duration(Some(hold * 2));
    ensure_eq!(kv.lock_hold_duration(), Some(hold * 2));
    let second = kv.lock("second").await?;
    ensure_eq!(next(&mut told).await?, (ErrorKind::LockHoldTimeout, Some("second".to_owned())));
    lock.release().await?;
    second.release().await?;
    kv.set_lock_hold_duration(None);
    let third = kv.lock("third").await?;
    let fourth = kv.lock("fourth").hold(hold * 3).await?;
    ensure_eq!(next(&mut told).await?, (ErrorKind::LockHoldTimeout, Some("fourth".to_owned())));
    ensure!(third.is_held() && fourth.is_held(), "lost");
    ensure!(told.try_recv().is_err(), "called once too often");
    Ok(())
}

pub(super) async fn lost_once(ctx: Ctx) -> Proof {
    let (options, mut told) = telling();
    let (kv, tap) = Tap::open(&ctx, options).await?;
    let released = kv.lock("released").await?;
    let dropped = kv.lock("dropped").await?;
    released.release().await?;
    drop(dropped);
    let lock = kv.lock("job").await?;
    let revoke = async |n: usize| -> Proof {
        let lease = tap.record.grants()[n].0.clone();
        kv.lease_revoke(&lease, CallOptions::default()).await?;
        Ok(())
    };
    revoke(0).await?;
    ensure_eq!(next(&mut told).await?, (ErrorKind::LockLost, Some("job".to_owned())));
    for _ in 0..3 {
        soon("the loss is told", lock.lost()).await?;
    }
    lock.release().await?;
    drop(lock);
    // The next loss is the next call: there was none in between.
    let second = soon("a lock with a new lease", kv.lock("second").into_future()).await??;
    eventually("a new lease", async || Ok(tap.record.grants().len() == 2)).await?;
    revoke(1).await?;
    ensure_eq!(next(&mut told).await?, (ErrorKind::LockLost, Some("second".to_owned())));
    soon("the loss is told", second.lost()).await?;
    // Closing is no loss.
    let third = soon("a lock with a new lease", kv.lock("third").into_future()).await??;
    kv.close().await?;
    eventually("the lock of a closed handle is free", async || {
        Ok(ctx.open().await?.lock_holder("third").await?.is_none())
    })
    .await?;
    ensure!(!third.is_held(), "held by a closed handle");
    drop((third, kv));
    ensure!(told.try_recv().is_err(), "called once too often");
    Ok(())
}

pub(super) async fn may_call_anything(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let own: Arc<OnceLock<LockGuard>> = Arc::default();
    let (send, mut told) = mpsc::unbounded_channel();
    let (inside, guard) = (kv.clone(), Arc::clone(&own));
    kv.set_fatal_callback(Arc::new(move |error| {
        // What takes the handle's own locks, and what needs the runtime.
        inside.set_lock_hold_duration(None);
        inside.set_lock_try_duration(Duration::from_secs(1));
        let held = guard.get().is_some_and(LockGuard::is_held);
        inside.set_fatal_callback(Arc::new(|_| {}));
        let (kv, send, kind, guard) = (inside.clone(), send.clone(), error.kind().clone(), Arc::clone(&guard));
        tokio::spawn(async move {
            let holder = kv.lock_holder("job").await;
            let released = match guard.get() {
                Some(lock) => lock.release().await,
                None => Ok(()),
            };
            let _ = send.send((kind, held, holder, released));
        });
    }));
    let lock = kv.lock("job").id("me").hold(Duration::from_millis(100)).await?;
    let _ = own.set(lock);
    let Some((kind, held, holder, released)) = soon("the callback's own calls", told.recv()).await? else {
        crate::fail!("the callback is gone")
    };
    ensure_eq!(kind, ErrorKind::LockHoldTimeout);
    ensure!(held, "the lock was taken away");
    ensure_eq!(holder?.map(|holder| holder.id).as_deref(), Some("me"));
    released?;
    ensure_eq!(kv.lock_try_duration(), Duration::from_secs(1));
    soon("the lock is free", ctx.open().await?.lock("job").into_future()).await??.release().await?;
    Ok(())
}
