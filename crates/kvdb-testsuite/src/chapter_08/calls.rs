use std::sync::PoisonError;

use kvdb_core::prelude::*;
use kvdb_core::{Batch, Options};

use crate::decorate::{Call, Faulty};
use crate::help::{expect_error, soon};
use crate::{Ctx, Proof, ensure};

pub(super) async fn counted(ctx: Ctx) -> Proof {
    let faulty = Faulty::recording(ctx.backend().await?);
    let calls = faulty.calls();
    let take = || std::mem::take(&mut *calls.lock().unwrap_or_else(PoisonError::into_inner));
    let kv = ctx.open_over(Options::new(), |_| faulty).await?;
    // The first lock grants the lease that carries the others.
    kv.lock("job").await?.release().await?;
    take();
    // Whoever watches over a lock that is held for a while does so on its own time.
    let made = || -> Vec<Call> {
        take().into_iter().filter(|call| !matches!(call, Call::Watch(_) | Call::KeepAlive(_))).collect()
    };
    let lock = soon("a free lock", kv.lock("job").into_future()).await??;
    let acquired = made();
    ensure!(matches!(&acquired[..], [Call::NativeTxn(_)]), "calls for a free lock: {acquired:?}");
    for tried in [kv.try_lock("job").await, kv.try_lock("job").await] {
        expect_error(tried, "LockTimeout", |kind| matches!(kind, ErrorKind::LockTimeout { .. }))?;
    }
    let tried = made();
    let undone = |call: &Call| matches!(call, Call::Commit(Batch { ops, .. }) if ops.len() == 1);
    ensure!(
        matches!(&tried[..], [Call::NativeTxn(_), first, Call::NativeTxn(_), second] if undone(first) && undone(second)),
        "calls for two tries of a held lock: {tried:?}"
    );
    lock.release().await?;
    let released = made();
    ensure!(matches!(&released[..], [Call::Commit(_)]), "calls for a release: {released:?}");
    Ok(())
}
