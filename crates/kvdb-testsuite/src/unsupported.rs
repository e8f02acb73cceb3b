//! The calls that a store cannot answer: every call is made once, and exactly those of the store's table are refused.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use kvdb_core::{
    AdminReply, AdminRequest, CallOptions, ErrorKind, Handle, KvFlags, KvPair, Kvdb, KvdbExt, LeaseId, PermissionType,
    Result, Secret, delete, get, put, value, version,
};

use crate::{Ctx, Proof, ensure, ensure_eq, fail, trials};

trials! {
    "unsupported: exactly the calls of the store's table" => exactly_the_table;
}

/// The names of all calls, as [`crate::Store::unsupported`] uses them.
pub const CALLS: &[&str] = &[
    "get",
    "get stale",
    "get strict",
    "get at",
    "list",
    "list stale",
    "list at",
    "list range",
    "count",
    "keys",
    "put",
    "put ttl",
    "put lease",
    "create",
    "update",
    "compare_and_set",
    "test_and_set",
    "delete",
    "compare_and_delete",
    "delete_tree",
    "txn",
    "txn version",
    "tx",
    "snapshot",
    "serialize",
    "import",
    "watch",
    "watch from",
    "watch after",
    "watch current",
    "lock",
    "lock_holder",
    "lease_grant",
    "lease_keep_alive",
    "lease_revoke",
    "lease_info",
    "compact",
    "add_user",
    "remove_user",
    "grant_user_access",
    "revoke_user_access",
    "list_members",
    "endpoints",
    "set_endpoints",
    "defragment",
];

/// The calls that a store may keep for its administrators.
const ADMINISTRATION: &[&str] = &["compact", "list_members"];

async fn exactly_the_table(ctx: Ctx) -> Proof {
    let table: BTreeSet<&str> = ctx.store().unsupported().iter().copied().collect();
    for name in &table {
        ensure!(CALLS.contains(name), "the table names {name:?}, which is no call");
    }
    let mut refused = BTreeSet::new();
    for name in CALLS {
        let kv = ctx.open().await?;
        kv.put(name, "1").await?;
        match made(&kv, name).await {
            Ok(()) => {}
            Err(error) => match error.kind() {
                ErrorKind::Unsupported(lacking) => {
                    ensure!(!ctx.has(*lacking), "{name} is refused for want of {lacking}, which the store has");
                    ensure!(error.to_string().contains(&lacking.to_string()), "{error} does not name {lacking}");
                    refused.insert(*name);
                }
                // Who may administer is not what this is about.
                ErrorKind::PermissionDenied if ADMINISTRATION.contains(name) => {}
                _ if name.ends_with("user") || name.ends_with("access") || *name == "defragment" => {}
                _ => fail!("{name} answers neither Ok nor Unsupported: {error:?}"),
            },
        }
        kv.close().await?;
    }
    ensure_eq!(refused, table, "the calls that answer Unsupported");
    Ok(())
}

/// Makes a call; `name` is also a key that is present.
async fn made(kv: &Handle, name: &str) -> Result<()> {
    let options = CallOptions::default();
    let ttl = kv.limits().ttl_min.max(Duration::from_secs(20));
    let user = || name.replace(' ', "-");
    match name {
        "get" => drop(kv.get(name).await?),
        "get stale" => drop(kv.get(name).stale().await?),
        "get strict" => drop(kv.get(name).strict().await?),
        "get at" => {
            let at = kv.put(name, "2").await?.modified_index;
            drop(kv.get(name).at(at).await?);
        }
        "list" => drop(kv.list("").await?),
        "list stale" => drop(kv.list("").stale().await?),
        "list at" => {
            let at = kv.put(name, "2").await?.modified_index;
            drop(kv.list("").at(at).await?);
        }
        "list range" => drop(kv.list_range(Bound::Unbounded, Bound::Unbounded).await?),
        "count" => drop(kv.count("").await?),
        "keys" => drop(kv.keys("").await?),
        "put" => drop(kv.put(name, "2").await?),
        "put ttl" => drop(kv.put(name, "2").ttl(ttl).await?),
        "put lease" => {
            let lease = match kv.lease(ttl).await {
                Ok(lease) => lease.id,
                Err(_) => LeaseId::from(1),
            };
            drop(kv.put(name, "2").lease(&lease).await?);
        }
        "create" => drop(kv.create("absent", "2").await?),
        "update" => drop(kv.update(name, "2").await?),
        "compare_and_set" => {
            let pair = kv.put(name, "2").await?;
            drop(kv.compare_and_set(&pair, KvFlags::MODIFIED_INDEX, None).await?);
        }
        "test_and_set" => drop(kv.test_and_set(name, "1", "2").await?),
        "delete" => drop(kv.delete(name).await?),
        "compare_and_delete" => {
            let pair = kv.put(name, "2").await?;
            drop(kv.compare_and_delete(&pair, KvFlags::empty()).await?);
        }
        "delete_tree" => drop(kv.delete_tree("").await?),
        "txn" => drop(kv.txn().when(value(name).eq("1")).then(put(name, "2")).otherwise(get(name)).await?),
        "txn version" => drop(kv.txn().when(version(name).eq(1u64)).then(delete(name)).await?),
        "tx" => {
            let tx = kv.tx();
            tx.get(name).await?;
            tx.put("written", "2")?;
            tx.commit().await?;
        }
        "snapshot" => drop(kv.snapshot(&["a", "b"]).await?.list("").await?),
        "serialize" => drop(kv.serialize().await?),
        "import" => drop(kv.import(&[KvPair::new(name, "2")]).await?),
        "watch from" => drop(kv.watch_tree("").from(&kv.snapshot(&[]).await?).await?),
        "watch" => drop(kv.watch_tree("").await?),
        "watch after" => {
            let after = kv.put(name, "2").await?.modified_index;
            drop(kv.watch_tree("").after(after).await?);
        }
        "watch current" => drop(kv.watch_tree("").current().await?),
        "lock" => kv.lock(name).await?.release().await?,
        "lock_holder" => drop(kv.lock_holder(name).await?),
        "lease_grant" => drop(kv.lease(ttl).await?),
        "lease_keep_alive" => {
            let lease = kv.lease(ttl).await?;
            kv.lease_keep_alive(&lease.id, options).await?;
        }
        "lease_revoke" => {
            let lease = kv.lease(ttl).await?;
            kv.lease_revoke(&lease.id, options).await?;
        }
        "lease_info" => {
            let lease = kv.lease(ttl).await?;
            kv.lease_info(&lease.id, options).await?;
        }
        "compact" => {
            let before = kv.put(name, "2").await?.modified_index;
            kv.compact(before).await?;
        }
        "add_user" => drop(kv.admin(AdminRequest::AddUser { name: user(), password: Secret::new("word") }).await?),
        "remove_user" => drop(kv.admin(AdminRequest::RemoveUser { name: user() }).await?),
        "grant_user_access" => {
            let permission = PermissionType::ReadWrite;
            let request = AdminRequest::GrantUserAccess { name: user(), permission, subtree: "tree".to_owned() };
            drop(kv.admin(request).await?);
        }
        "revoke_user_access" => {
            let request = AdminRequest::RevokeUserAccess { name: user(), subtree: "tree".to_owned() };
            drop(kv.admin(request).await?);
        }
        "list_members" => drop(kv.admin(AdminRequest::ListMembers { within: None }).await?),
        "endpoints" => drop(kv.admin(AdminRequest::Endpoints).await?),
        "set_endpoints" => {
            // Those that it has: a store that has some may not be left without.
            if let AdminReply::Endpoints(endpoints) = kv.admin(AdminRequest::Endpoints).await? {
                drop(kv.admin(AdminRequest::SetEndpoints(endpoints)).await?);
            }
        }
        _ => {
            let request = AdminRequest::Defragment { endpoint: String::new(), timeout: Duration::from_secs(1) };
            drop(kv.admin(request).await?);
        }
    }
    Ok(())
}
