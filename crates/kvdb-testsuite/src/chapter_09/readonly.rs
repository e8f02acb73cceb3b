use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{AdminRequest, CallOptions, KvFlags};

use super::kinds;
use crate::help::{expect_kind, whenever_read};
use crate::{Ctx, Proof, ensure, ensure_eq};

fn pair(key: &str, value: &'static str, created: u64, modified: u64) -> KvPair {
    let mut pair = KvPair::new(key, value);
    pair.created_index = created.into();
    pair.modified_index = modified.into();
    pair
}

pub(super) async fn snap_put(ctx: Ctx) -> Proof {
    for (kind, kv) in kinds(&ctx).await? {
        kv.delete_tree("").await?;
        kv.put("d/a", "1").await?;
        kv.put("d/c", "1").await?;
        kv.put("e", "1").await?;
        let before = whenever_read(kv.list("").await?);
        let (snapshot, other) = (kv.snapshot(&["d"]).await?, kv.snapshot(&["d"]).await?);
        let clone = snapshot.clone();
        // Changed, added among the others, and beside the prefixes.
        snapshot.snap_put(&pair("///d//a/", "2", 3, 5))?;
        snapshot.snap_put(&pair("d/b", "", 7, 7))?;
        snapshot.snap_put(&pair("x", "3", 1, 9))?;
        snapshot.snap_put(&pair("x", "4", 1, 10))?;
        for snapshot in [&snapshot, &clone] {
            ensure_eq!(snapshot.list("").names().await?, ["d/a", "d/b", "d/c", "x"], "{kind}");
            let listed: Vec<_> = snapshot.list("").await?.into_iter().map(|pair| pair.value).collect();
            ensure_eq!(listed, ["2", "", "1", "4"], "{kind}");
            let changed = snapshot.get("d/a").await?.unwrap_or_else(|| KvPair::new("", ""));
            let found = (changed.text(), changed.created_index.get(), changed.modified_index.get());
            ensure_eq!(found, (Some("2"), 3, 5), "{kind}: the pair as it was put");
            ensure_eq!(snapshot.count("d").await?, 3, "{kind}");
            ensure_eq!(snapshot.keys("").await?, ["d", "x"], "{kind}");
            ensure_eq!(snapshot.list("d").reverse().limit(1).names().await?, ["d/c"], "{kind}");
            ensure_eq!(snapshot.list("d").limit(2).names().await?, ["d/a", "d/b"], "{kind}");
            ensure!(snapshot.txn().when(value("d/a").eq("2")).await?.succeeded, "{kind}: a transaction sees the store");
        }
        // Nothing else is changed by it: another snapshot, the store, the revision.
        ensure_eq!(other.list("").names().await?, ["d/a", "d/c"], "{kind}");
        if ctx.store().counts_exactly() {
            ensure_eq!(snapshot.revision(), other.revision(), "{kind}");
        }
        ensure_eq!(whenever_read(kv.list("").await?), before, "{kind}: the store after snap_put");
        for bad in ["", "a/../b", "_kvdb/x", "a\u{7}"] {
            expect_kind(snapshot.snap_put(&pair(bad, "1", 1, 1)), &ErrorKind::InvalidArgument)?;
        }
        // What serialize makes of it holds it, too.
        let dumped = kv.deserialize(&snapshot.serialize().await?)?;
        ensure_eq!(dumped.len(), 4, "{kind}");
    }
    Ok(())
}

/// The verbs that would change something, or that only a store has.
const REFUSED: &[&str] = &[
    "put",
    "put ttl",
    "put_val",
    "create",
    "update",
    "put if_value",
    "compare_and_set",
    "test_and_set",
    "delete",
    "delete if_value",
    "compare_and_delete",
    "delete_tree",
    "txn put",
    "txn delete",
    "txn otherwise",
    "tx",
    "transact",
    "import",
    "watch_key",
    "watch_tree",
    "watch from",
    "lock",
    "try_lock",
    "lock_holder",
    "lease",
    "keep alive",
    "revoke",
    "lease_info",
    "compact",
    "admin",
];

async fn make(snapshot: &Snapshot, verb: &str, lease: &LeaseId) -> kvdb_core::Result<()> {
    let options = CallOptions::default();
    let changed = KvPair::new("d/a", "2");
    match verb {
        "put" => drop(snapshot.put("d/a", "2").await?),
        "put ttl" => drop(snapshot.put("d/a", "2").ttl(Duration::from_secs(60)).await?),
        "put_val" => drop(snapshot.put_val("d/a", "2").await?),
        "create" => drop(snapshot.create("d/new", "2").await?),
        "update" => drop(snapshot.update("d/a", "2").await?),
        "put if_value" => drop(snapshot.put("d/a", "2").if_value("other").await?),
        "compare_and_set" => drop(snapshot.compare_and_set(&changed, KvFlags::PREV_EXISTS, None).await?),
        "test_and_set" => drop(snapshot.test_and_set("d/a", "1", "2").await?),
        "delete" => drop(snapshot.delete("d/a").await?),
        "delete if_value" => drop(snapshot.delete("d/a").if_value("other").await?),
        "compare_and_delete" => drop(snapshot.compare_and_delete(&changed, KvFlags::empty()).await?),
        "delete_tree" => drop(snapshot.delete_tree("d").await?),
        "txn put" => drop(snapshot.txn().then(get("d/a")).then(put("d/a", "2")).await?),
        "txn delete" => drop(snapshot.txn().when(absent("d/a")).then(delete("d/a")).await?),
        "txn otherwise" => drop(snapshot.txn().when(present("d/a")).otherwise(put("d/a", "2")).await?),
        "tx" => {
            let tx = snapshot.tx();
            tx.get("d/a").await?;
            tx.put("d/a", "2")?;
            tx.commit().await?;
        }
        "transact" => snapshot.transact(|tx| async move { tx.put("d/a", "2") }).await?,
        "import" => drop(snapshot.import(std::slice::from_ref(&changed)).await?),
        "watch_key" => drop(snapshot.watch_key("d/a").await?),
        "watch_tree" => drop(snapshot.watch_tree("").current().await?),
        "watch from" => drop(snapshot.watch_tree("").from(snapshot).await?),
        "lock" => drop(snapshot.lock("job").await?),
        "try_lock" => drop(snapshot.try_lock("job").await?),
        "lock_holder" => drop(snapshot.lock_holder("job").await?),
        "lease" => drop(snapshot.lease(Duration::from_secs(60)).await?),
        "keep alive" => drop(snapshot.lease_keep_alive(lease, options).await?),
        "revoke" => snapshot.lease_revoke(lease, options).await?,
        "lease_info" => drop(snapshot.lease_info(lease, options).await?),
        "compact" => snapshot.compact(snapshot.revision()).await?,
        _ => drop(snapshot.admin(AdminRequest::ListMembers { within: None }).await?),
    }
    Ok(())
}

pub(super) async fn every_verb(ctx: Ctx) -> Proof {
    for (kind, kv) in kinds(&ctx).await? {
        kv.delete_tree("").await?;
        let first = kv.put("d/a", "1").await?;
        let lease = match ctx.has(Capabilities::LEASES) {
            true => kv.lease(ctx.ttl(Duration::from_secs(60))).await?.id,
            false => LeaseId::from(1),
        };
        let snapshot = kv.snapshot(&[]).await?;
        for verb in REFUSED {
            let error = expect_kind(make(&snapshot, verb, &lease).await, &ErrorKind::ReadOnly)?;
            ensure!(error.operation().is_some(), "{kind}: {verb} does not name the operation: {error:?}");
            ensure_eq!(error.backend(), Some(kv.info().backend), "{kind}: the backend of {error:?}");
            ensure_eq!(error.retry(), Retry::Never, "{kind}: {verb}");
        }
        for (verb, key) in [("put", "d/a"), ("delete_tree", "d"), ("lock", "job")] {
            let error = expect_kind(make(&snapshot, verb, &lease).await, &ErrorKind::ReadOnly)?;
            ensure_eq!(error.key(), Some(key), "{kind}: the key that {error} names");
        }
        // Closing it closes nothing but one's interest in it.
        snapshot.close().await?;
        ensure_eq!(kv.get("d/a").await?.map(|pair| pair.modified_index), Some(first.modified_index), "{kind}");
        ensure_eq!(snapshot.list("").names().await?, ["d/a"], "{kind}");
        if ctx.has(Capabilities::LEASES) {
            kv.lease_keep_alive(&lease, CallOptions::default()).await?;
        }
        // The handle's close ends what hangs on it, without a panic.
        kv.close().await?;
        match snapshot.list("").names().await {
            Ok(names) => ensure_eq!(names, ["d/a"], "{kind}: after the handle's close"),
            Err(error) => ensure_eq!(*error.kind(), ErrorKind::Closed, "{kind}: after the handle's close"),
        }
    }
    Ok(())
}
