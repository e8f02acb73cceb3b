use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use kvdb::prelude::*;
use kvdb::{AdminRequest, CallOptions, Capabilities, ErrorKind, KvFlags, PermissionType, Secret};
use kvdb_testsuite::decorate::Faulty;
use kvdb_testsuite::help::{eventually, expect_kind, expect_next_key, soon};
use kvdb_testsuite::{Proof, ensure, ensure_eq, fail};

use super::On;

/// Every call that a raised wrapper refuses.
const REFUSED: &[&str] = &[
    "get",
    "get stale",
    "get_val",
    "list",
    "list_range",
    "count",
    "keys",
    "put",
    "put_val",
    "put ttl",
    "create",
    "update",
    "compare_and_set",
    "compare_and_delete",
    "test_and_set",
    "delete",
    "delete_tree",
    "txn",
    "txn of reads",
    "tx commit",
    "transact",
    "snapshot",
    "serialize",
    "import",
    "lock",
    "try_lock",
    "lock_holder",
    "lease_grant",
    "lease_info",
    "compact",
    "add_user",
    "remove_user",
    "grant_user_access",
    "revoke_user_access",
    "add_member",
    "add_learner",
    "promote_member",
    "remove_member",
    "remove_member_by_id",
];

/// Every call that passes; the store's own answer may be an error.
const PASSES: &[&str] =
    &["lease_keep_alive", "lease_revoke", "update_member", "list_members", "endpoints", "set_endpoints", "defragment"];

async fn make(kv: &Handle, call: &str) -> Result<()> {
    let options = CallOptions::default();
    let pair = KvPair::new("k", "1");
    let (name, subtree) = (|| "user".to_owned(), || "tree".to_owned());
    let admin = |request: AdminRequest| async move { kv.admin(request).await.map(drop) };
    let lease = LeaseId::from(1);
    match call {
        "get" => drop(kv.get("k").await?),
        "get stale" => drop(kv.get("k").stale().await?),
        "get_val" => drop(kv.get_val::<u32>("k").await?),
        "list" => drop(kv.list("").await?),
        "list_range" => drop(kv.list_range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded).await?),
        "count" => drop(kv.count("").await?),
        "keys" => drop(kv.keys("").await?),
        "put" => drop(kv.put("k", "2").await?),
        "put_val" => drop(kv.put_val("k", "2").await?),
        "put ttl" => drop(kv.put("k", "2").ttl(Duration::from_secs(60)).await?),
        "create" => drop(kv.create("new", "2").await?),
        "update" => drop(kv.update("k", "2").await?),
        "compare_and_set" => drop(kv.compare_and_set(&pair, KvFlags::PREV_EXISTS, None).await?),
        "compare_and_delete" => drop(kv.compare_and_delete(&pair, KvFlags::empty()).await?),
        "test_and_set" => drop(kv.test_and_set("k", "1", "2").await?),
        "delete" => drop(kv.delete("k").await?),
        "delete_tree" => drop(kv.delete_tree("").await?),
        "txn" => drop(kv.txn().when(present("k")).then(put("k", "2")).await?),
        "txn of reads" => drop(kv.txn().then(get("k")).await?),
        "tx commit" => {
            let tx = kv.tx();
            tx.put("k", "2")?;
            tx.commit().await?;
        }
        "transact" => kv.transact(|tx| async move { tx.put("k", "2") }).await?,
        "snapshot" => drop(kv.snapshot(&["k"]).await?),
        "serialize" => drop(kv.serialize().await?),
        "import" => drop(kv.import(std::slice::from_ref(&pair)).await?),
        "lock" => drop(kv.lock("job").await?),
        "try_lock" => drop(kv.try_lock("job").await?),
        "lock_holder" => drop(kv.lock_holder("job").await?),
        "lease_grant" => drop(kv.lease(Duration::from_secs(60)).await?),
        "lease_info" => drop(kv.lease_info(&lease, options).await?),
        "compact" => kv.compact(1u64).await?,
        "lease_keep_alive" => drop(kv.lease_keep_alive(&lease, options).await?),
        "lease_revoke" => kv.lease_revoke(&lease, options).await?,
        "add_user" => admin(AdminRequest::AddUser { name: name(), password: Secret::new("word") }).await?,
        "remove_user" => admin(AdminRequest::RemoveUser { name: name() }).await?,
        "grant_user_access" => {
            let permission = PermissionType::Read;
            admin(AdminRequest::GrantUserAccess { name: name(), permission, subtree: subtree() }).await?;
        }
        "revoke_user_access" => {
            admin(AdminRequest::RevokeUserAccess { name: name(), subtree: subtree() }).await?;
        }
        other => admin(member(other)).await?,
    }
    Ok(())
}

fn member(call: &str) -> AdminRequest {
    let (host, port, name) = ("127.0.0.1".to_owned(), 2380, "m2".to_owned());
    match call {
        "add_member" => AdminRequest::AddMember { host, port, name },
        "add_learner" => AdminRequest::AddLearner { host, port, name },
        "promote_member" => AdminRequest::PromoteMember { id: 7 },
        "remove_member" => AdminRequest::RemoveMember { name, host },
        "remove_member_by_id" => AdminRequest::RemoveMemberById { id: 7 },
        "update_member" => AdminRequest::UpdateMember { host, port, name },
        "list_members" => AdminRequest::ListMembers { within: None },
        "endpoints" => AdminRequest::Endpoints,
        "set_endpoints" => AdminRequest::SetEndpoints(Vec::new()),
        "defragment" => AdminRequest::Defragment { endpoint: String::new(), timeout: Duration::from_secs(1) },
        other => unreachable!("{other} is no call of the table"),
    }
}

pub(super) async fn every_call(on: On) -> Proof {
    let faulty = Faulty::recording(on.place.connect(&Options::new()).await?);
    let calls = faulty.calls();
    let kv = Handle::open(on.store.name(), Arc::new(faulty), "app", &Options::new())?;
    kv.put("k", "1").await?;
    let revision = kv.get("k").await?.map(|pair| pair.modified_index);
    kv.add_wrapper("no-quorum", &Options::new())?;
    let raised = kv.clone();
    calls.lock().unwrap().clear();
    for call in REFUSED {
        let error = expect_kind(soon(call, make(&raised, call)).await?, &ErrorKind::NoQuorum)?;
        ensure_eq!(error.backend(), Some(on.store.name()), "{call}: the backend of {error:?}");
        ensure_eq!(error.retry(), Retry::Safe, "{call}: {error:?}");
        ensure!(error.operation().is_some() && error.to_string().contains("no-quorum"), "{call}: {error}");
    }
    ensure_eq!(*calls.lock().unwrap(), [], "what refused calls asked of the store");
    for call in PASSES {
        if let Err(error) = soon(call, make(&raised, call)).await? {
            ensure!(*error.kind() != ErrorKind::NoQuorum, "{call} is refused: {error:?}");
        }
    }
    ensure_eq!(raised.info(), kv.base().info());
    ensure_eq!(raised.capabilities(), kv.base().capabilities());
    ensure_eq!(raised.limits(), kv.base().limits());
    // Each one goes through again, and nothing of what was refused was done.
    kv.remove_wrapper("no-quorum")?;
    ensure_eq!(kv.get("k").await?.map(|pair| pair.modified_index), revision);
    // A member that was added and never starts costs a real cluster its quorum.
    let harmful = |call: &&&str| call.contains("member") || call.contains("learner");
    for call in REFUSED.iter().filter(|call| !on.has(Capabilities::MEMBERS) || !harmful(call)) {
        if let Err(error) = soon(call, make(&raised, call)).await? {
            ensure!(*error.kind() != ErrorKind::NoQuorum, "{call} is refused by a wrapper that is off: {error:?}");
        }
    }
    // Close passes.
    kv.add_wrapper("no-quorum", &Options::new())?;
    kv.close().await?;
    expect_kind(kv.base().get_opts("k", kvdb::GetOptions::default()).await, &ErrorKind::Closed)?;
    Ok(())
}

pub(super) async fn held_and_open(on: On) -> Proof {
    let (kv, other) = (on.open().await?, on.open().await?);
    let mut watch = kv.watch_tree("d").await?;
    let mut current = kv.watch_tree("d").current().await?;
    let long = on.ttl(Duration::from_secs(60));
    let (lock, dropped, lease) = (kv.lock("job").await?, kv.lock("dropped").await?, kv.lease(long).await?);
    kv.put("d/leased", "1").lease(&lease.id).await?;
    let snapshot = kv.snapshot(&[]).await?;
    kv.add_wrapper("no-quorum", &Options::new())?;
    expect_next_key(&mut watch, "d/leased").await?;
    other.put("d/x", "1").await?;
    expect_next_key(&mut watch, "d/x").await?;
    expect_next_key(&mut current, "d/leased").await?;
    expect_next_key(&mut current, "d/x").await?;
    ensure!(lock.is_held(), "the wrapper has cost the lock");
    expect_kind(other.try_lock("job").await.map(drop), &ErrorKind::LockTimeout { holder: Some(lock.id().to_owned()) })?;
    // What was taken before is there without asking the store's guard.
    ensure_eq!(snapshot.list("").names().await?, ["d/leased"]);
    // Letting go passes, in each of its ways.
    lock.release().await?;
    soon("the released lock", other.lock("job").into_future()).await??.release().await?;
    drop(dropped);
    soon("the dropped lock", other.lock("dropped").into_future()).await??.release().await?;
    ensure_eq!(kv.lease_keep_alive(&lease.id, CallOptions::default()).await?, lease.ttl);
    kv.lease_revoke(&lease.id, CallOptions::default()).await?;
    ensure_eq!(other.get("d/leased").await?, None);
    expect_next_key(&mut watch, "d/leased").await?;
    Ok(())
}

pub(super) async fn watches_wait(on: On) -> Proof {
    let (kv, other) = (on.open().await?, on.open().await?);
    let before = other.put("d/1-before", "1").await?.modified_index;
    kv.add_wrapper("no-quorum", &Options::new())?;
    let mut waiting = Vec::new();
    for kind in ["now", "current", "after", "key"] {
        let kv = kv.clone();
        waiting.push((
            kind,
            tokio::spawn(async move {
                match kind {
                    "now" => kv.watch_tree("d").await,
                    "current" => kv.watch_tree("d").current().await,
                    "after" => kv.watch_tree("d").after(before).await,
                    _ => kv.watch_key("d/3-after").await,
                }
            }),
        ));
    }
    let cancelled = tokio::time::timeout(Duration::from_millis(100), kv.watch_tree("d").into_future()).await;
    ensure!(cancelled.is_err(), "a watch did not wait: {cancelled:?}");
    ensure!(!waiting.iter().any(|(_, task)| task.is_finished()), "a watch did not wait");
    other.put("d/2-during", "1").await?;
    kv.remove_wrapper("no-quorum")?;
    let mut watches = Vec::new();
    for (kind, task) in waiting {
        watches.push((kind, soon("a watch that waited", task).await???));
    }
    other.put("d/3-after", "1").await?;
    for (kind, mut watch) in watches {
        let mut keys = Vec::new();
        while keys.last().map(String::as_str) != Some("d/3-after") {
            match soon(kind, watch.next()).await? {
                Some(Ok(event)) => keys.extend(event.pair().map(|pair| pair.key.clone())),
                end => fail!("{kind}: {end:?} behind {keys:?}"),
            }
        }
        let expected: &[&str] = match kind {
            "current" => &["d/1-before", "d/2-during", "d/3-after"],
            // Without history the whole state takes its place (7.9).
            "after" if on.has(Capabilities::WATCH_RESUME) => &["d/2-during", "d/3-after"],
            "after" => &["d/1-before", "d/2-during", "d/3-after"],
            _ => &["d/3-after"],
        };
        ensure_eq!(keys, expected, "{kind}");
    }
    // Nothing waits any more, and the handle is as before.
    eventually("the handle is free", async || Ok(kv.get("d/3-after").await?.is_some())).await
}
