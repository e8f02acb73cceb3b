use kvdb_core::prelude::*;
use kvdb_core::{CallOptions, Fence, Options};

use crate::help::eventually;
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

/// Runs a transaction under a fence; tells whether the lock counted as held, which both branches must agree on.
async fn held(kv: &Handle, fence: Fence) -> Proof<bool> {
    let mark = format!("{:08x}", rand::random::<u32>());
    let txn = kv.txn().when(fence).when(present("data/a")).then(put("data/held", mark.clone())).then(get("data/a"));
    let reply = txn.otherwise(put("data/lost", mark.clone())).await?;
    let wrote = |pair: Option<KvPair>| pair.is_some_and(|pair| pair.value == mark.as_bytes());
    ensure_eq!(wrote(kv.get("data/held").await?), reply.succeeded, "the branch of a lock that is held");
    ensure_eq!(wrote(kv.get("data/lost").await?), !reply.succeeded, "the branch of a lock that is lost");
    Ok(reply.succeeded)
}

pub(super) async fn decides(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    kv.put("data/a", "1").await?;
    let first = kv.lock("job").await?;
    // From wherever the fence is carried.
    ensure!(held(&kv, first.fence()).await? && held(&other, first.fence()).await?, "a held lock counts as lost");
    let beside = other.lock("beside").await?;
    ensure!(held(&kv, beside.fence()).await?, "a held lock counts as lost");
    // Both at once, and one of them without the other.
    ensure!(kv.txn().when(first.fence()).when(beside.fence()).await?.succeeded);
    beside.release().await?;
    ensure!(!held(&kv, beside.fence()).await?, "a released lock counts as held");
    ensure!(!kv.txn().when(first.fence()).when(beside.fence()).await?.succeeded);
    ensure!(held(&kv, first.fence()).await?);
    first.release().await?;
    ensure!(!held(&kv, first.fence()).await?, "a released lock counts as held");
    let second = other.lock("job").await?;
    ensure!(second.fencing_token() > first.fencing_token());
    ensure!(!held(&kv, first.fence()).await? && !held(&other, first.fence()).await?, "a lock that was passed on");
    ensure!(held(&kv, second.fence()).await? && held(&other, second.fence()).await?);
    second.release().await?;
    // Lost by its lease, and then in another's hands.
    let third = kv.lock("job").await?;
    let lease = tap.record.grants()[0].0.clone();
    kv.lease_revoke(&lease, CallOptions::default()).await?;
    eventually("the lock is free", async || Ok(other.lock_holder("job").await?.is_none())).await?;
    ensure!(!held(&kv, third.fence()).await? && !held(&other, third.fence()).await?, "a lost lock counts as held");
    let fourth = other.lock("job").await?;
    ensure!(!held(&kv, third.fence()).await? && held(&kv, fourth.fence()).await?);
    // The commit of a Tx cannot carry a fence, but a transaction is fenced as a whole.
    let fenced = kv.txn().when(third.fence()).then(put("data/a", "stale")).then(delete("data/held")).await?;
    ensure_eq!((fenced.succeeded, fenced.results.len()), (false, 0));
    ensure_eq!(kv.get("data/a").await?.map(|pair| pair.value), Some("1".into()));
    fourth.release().await?;
    Ok(())
}
