use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{Batch, NativeOp, NativeTxn, Op, Options, Retry};
use tokio::sync::{mpsc, oneshot};

use super::{is_void, kept, queued};
use crate::decorate::{Call, Fault, Faulty, Without};
use crate::help::{eventually, soon};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

/// Whether a call stands a waiter in a queue.
fn enqueues(call: &Call) -> bool {
    match call {
        Call::NativeTxn(NativeTxn { then, .. }) => matches!(then.first(), Some(NativeOp::Put { .. })),
        Call::Commit(Batch { ops, .. }) => matches!(&ops[..], [Op::Put { .. }]),
        _ => false,
    }
}

pub(super) async fn enqueue(ctx: Ctx) -> Proof {
    // By the store's own transaction where it has one, by a plain commit, and given up by the caller's deadline.
    for (native, kind) in [(true, ErrorKind::Unavailable), (false, ErrorKind::Unavailable), (true, ErrorKind::Timeout)]
    {
        let other = ctx.open().await?;
        let (send, mut arrivals) = mpsc::unbounded_channel();
        let mut held_back = false;
        let answer = kind.clone();
        let faults = move |call: &Call| {
            if !enqueues(call) || std::mem::replace(&mut held_back, true) {
                return Fault::None;
            }
            let ((go, wait), (done, arrived)) = (oneshot::channel(), oneshot::channel());
            let _ = send.send((go, arrived));
            let answer = Error::new(answer.clone(), "no answer").with_retry(Retry::Ambiguous);
            Fault::Late { answer, go: wait, done }
        };
        let lacks = if native { Capabilities::empty() } else { Capabilities::NATIVE_TXN };
        let decorate = |inner| Faulty::new(std::sync::Arc::new(Without::new(inner, lacks)), faults);
        let kv = ctx.open_over(Options::new(), decorate).await?;
        // A lease that lives on: a waiter that nobody knows of would stand in the queue for as long.
        let ttl = ctx.ttl(Duration::from_secs(600));
        let beside = kv.lock("beside").ttl(ttl);
        let taken = soon("the lock is taken or refused", kv.lock("job").ttl(ttl).into_future()).await?;
        match (&kind, &taken) {
            (ErrorKind::Timeout, Err(error)) => ensure_eq!(error.retry(), Retry::Ambiguous),
            (ErrorKind::Timeout, Ok(_)) => return Err(Failure::new("a lock beyond its deadline")),
            (_, Ok(lock)) => ensure!(lock.is_held(), "a fresh lock is not held"),
            (_, Err(error)) => return Err(Failure::new(format_args!("not tried again: {error:?}"))),
        }
        let beside = beside.await?;
        eventually("the enqueue is voided", async || Ok(kept(&ctx, "job").await?.iter().any(is_void))).await?;
        if let Ok(lock) = taken {
            ensure_eq!(queued(&ctx, "job").await?, 1, "waiters beside the holder");
            lock.release().await?;
        }
        // The void is no waiter and no holder.
        ensure_eq!(other.lock_holder("job").await?, None);
        let (go, arrived) = soon("the enqueue was sent", arrivals.recv()).await?.ok_or_else(nothing)?;
        let _ = go.send(());
        soon("the enqueue arrives", arrived).await?.map_err(|_| nothing())?;
        ensure_eq!(queued(&ctx, "job").await?, 0, "a late waiter");
        soon("the lock is free", other.lock("job").into_future()).await??.release().await?;
        ensure!(beside.is_held(), "the lease of the late one is gone, so that this proves nothing");
        ensure_eq!(other.list("").names().await?, Vec::<String>::new(), "what users see of it");
        // It goes with the lease.
        kv.close().await?;
        eventually("nothing is left", async || Ok(kept(&ctx, "job").await?.is_empty())).await?;
    }
    Ok(())
}

fn nothing() -> Failure {
    Failure::new("no enqueue was held back")
}
