use std::time::{Duration, SystemTime};

use kvdb_core::prelude::*;

use crate::help::{eventually, expect_kind, expect_next_key, soon};
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn tells(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    ensure_eq!(kv.lock_holder("job").await?, None);
    ensure_eq!(kvdb_core::portworx::Portworx::is_key_locked(&kv, "job").await?, (false, String::new()));
    // The time travels in milliseconds.
    let before = SystemTime::now() - Duration::from_millis(1);
    let lock = kv.lock("job").id("me/é \"quoted\"").await?;
    let after = SystemTime::now();
    for asked in [&kv, &other] {
        let Some(holder) = asked.lock_holder("/job/").await? else { crate::fail!("nobody holds a held lock") };
        ensure_eq!(holder.id, "me/é \"quoted\"");
        ensure_eq!(holder.token, lock.fencing_token());
        ensure!(before <= holder.since && holder.since <= after, "since {:?}", holder.since);
        let locked = kvdb_core::portworx::Portworx::is_key_locked(asked, "job").await?;
        ensure_eq!(locked, (true, "me/é \"quoted\"".to_owned()));
    }
    // A waiter is not the holder until it is.
    let waiting = other.clone();
    let waiter = tokio::spawn(async move { waiting.lock("job").id("next").await });
    eventually("the waiter is queued", async || Ok(super::queued(&ctx, "job").await? == 2)).await?;
    ensure_eq!(kv.lock_holder("job").await?.map(|holder| holder.token), Some(lock.fencing_token()));
    lock.release().await?;
    let next = soon("the waiter is served", waiter).await???;
    let holder = kv.lock_holder("job").await?;
    ensure_eq!(holder.map(|holder| (holder.id, holder.token)), Some(("next".to_owned(), next.fencing_token())));
    next.release().await?;
    ensure_eq!(other.lock_holder("job").await?, None);
    Ok(())
}

pub(super) async fn apart_from_data(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut watch = kv.watch_tree("").await?;
    let start = watch.revision();
    // Names that contain each other, with data of the same names.
    let names = ["a", "a/b", "a/b/c", "ab", "lock", "d e/é%=&"];
    let mut locks = Vec::new();
    for name in names {
        locks.push(
            soon("a lock beside others", kv.lock(name).id(name).wait(Duration::from_secs(5)).into_future()).await??,
        );
    }
    ensure_eq!((kv.list("").await?.len(), kv.count("").await?, kv.keys("").await?.len()), (0, 0, 0));
    for name in names {
        ensure_eq!(kv.get(name).await?, None);
        ensure_eq!(kv.create(name, "data").await?.action, KvAction::Create);
    }
    ensure_eq!(kv.list("").await?.len(), names.len());
    // The data's events and no others.
    for name in names {
        expect_next_key(&mut watch, name).await?;
    }
    for lock in &locks {
        ensure_eq!(kv.lock_holder(lock.name()).await?.map(|holder| holder.id).as_deref(), Some(lock.id()));
        // One name in many spellings.
        let held = ErrorKind::LockTimeout { holder: Some(lock.id().to_owned()) };
        expect_kind(kv.try_lock(&format!("//{}/", lock.name().replace('/', "//"))).await, &held)?;
    }
    ensure_eq!(kv.delete_tree("").await?, names.len() as u64);
    ensure!(locks.iter().all(LockGuard::is_held), "deleting data has cost a lock");
    let mut deleted = Vec::new();
    for _ in names {
        deleted.push(crate::help::next_pair(&mut watch).await?.key);
    }
    deleted.sort();
    ensure_eq!(
        deleted,
        names.map(str::to_owned).into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
    for lock in &locks {
        kv.put("proof", "1").fence(lock).await?;
        lock.release().await?;
        expect_next_key(&mut watch, "proof").await?;
    }
    if ctx.has(Capabilities::WATCH_RESUME) {
        let mut replay = kv.watch_tree("").after(start).await?;
        expect_next_key(&mut replay, "a").await?;
    }
    for name in ["", "/", "a/../b", "_kvdb", "a/_kvdb/b", "a\u{0}"] {
        expect_kind(kv.lock(name).await, &ErrorKind::InvalidArgument)?;
        expect_kind(kv.lock_holder(name).await, &ErrorKind::InvalidArgument)?;
    }
    Ok(())
}
