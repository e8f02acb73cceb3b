use std::time::Duration;

use kvdb::portworx::Users as _;
use kvdb::prelude::*;
use kvdb::{ErrorKind, Options, PermissionType, Secret};
use kvdb_testsuite::help::expect_kind;
use kvdb_testsuite::{Proof, ensure, ensure_eq};

use super::Place;

const WORD: &str = "word";

pub(super) async fn each(on: Place) -> Proof {
    let root = on.root().await?;
    for key in ["a/b/c", "a/b", "a/bc", "a", "ab/c"] {
        root.put(key, "1").await?;
    }
    for (user, permission) in
        [("reader", PermissionType::Read), ("writer", PermissionType::Write), ("both", PermissionType::ReadWrite)]
    {
        let reads = permission != PermissionType::Write;
        let writes = permission != PermissionType::Read;
        root.add_user(user, WORD).await?;
        root.grant_user_access(user, permission, "/a//b/").await?;
        for (key, inside) in [("a/b/c", true), ("a/b", false), ("a/bc", false), ("a", false), ("ab/c", false)] {
            let (may_read, may_write) = by_etcdctl(&on, user, &format!("app/{key}")).await?;
            ensure_eq!((may_read, may_write), (inside && reads, inside && writes), "{user} at {key}");
        }
        let (other_domain, _) = by_etcdctl(&on, user, "a/b/c").await?;
        ensure!(!other_domain, "{user} reads what has no domain");

        // The same by a handle of its own; a put reads what was there before.
        let kv = on.open_as(user, WORD).await?;
        allowed(kv.get("a/b/c").await, reads)?;
        allowed(kv.list("a/b").await, reads)?;
        allowed(kv.watch_tree("a/b").await, reads)?;
        allowed(kv.put("a/b/c", "2").await, reads && writes)?;
        allowed(kv.delete_tree("a/b/d").await, reads && writes)?;
        for key in ["a/b", "a/bc", "ab/c"] {
            expect_kind(kv.get(key).await, &ErrorKind::PermissionDenied)?;
            expect_kind(kv.put(key, "2").await, &ErrorKind::PermissionDenied)?;
        }
        expect_kind(kv.list("").await, &ErrorKind::PermissionDenied)?;
        expect_kind(kv.watch_tree("a").await, &ErrorKind::PermissionDenied)?;
        expect_kind(kv.delete_tree("a").await, &ErrorKind::PermissionDenied)?;
    }
    // Another grant takes the place of the one before.
    root.grant_user_access("both", PermissionType::Read, "a/b").await?;
    ensure_eq!(by_etcdctl(&on, "both", "app/a/b/c").await?, (true, false), "after a second grant");
    expect_kind(root.grant_user_access("nobody", PermissionType::Read, "a").await, &ErrorKind::NotFound)?;
    expect_kind(root.grant_user_access("both", PermissionType::Read, "a/../b").await, &ErrorKind::InvalidArgument)?;
    Ok(())
}

/// Whether etcd lets this user read, and write, a key.
async fn by_etcdctl(on: &Place, user: &str, key: &str) -> Proof<(bool, bool)> {
    let user = format!("--user={user}:{WORD}");
    let (reads, _) = on.etcdctl(&["get", key, &user]).await?;
    let (writes, _) = on.etcdctl(&["put", key, "1", &user]).await?;
    Ok((reads, writes))
}

fn allowed<T: std::fmt::Debug>(answer: kvdb::Result<T>, may: bool) -> Proof {
    if may {
        answer?;
        return Ok(());
    }
    expect_kind(answer, &ErrorKind::PermissionDenied)?;
    Ok(())
}

pub(super) async fn locks(on: Place) -> Proof {
    let root = on.root().await?;
    root.add_user("me", WORD).await?;
    root.grant_user_access("me", PermissionType::ReadWrite, "a").await?;
    let me = on.open_as("me", WORD).await?;
    for name in ["a", "a/b"] {
        let lock = me.lock(name).id("me").await?;
        let holder = me.lock_holder(name).await?;
        ensure_eq!(holder.map(|holder| holder.id).as_deref(), Some("me"), "the holder of {name}");
        me.put("a/fenced", "1").fence(&lock).await?;
        let taken = root.try_lock(name).await;
        ensure!(
            matches!(taken.as_ref().map_err(|error| error.kind()), Err(ErrorKind::LockTimeout { .. })),
            "{taken:?}"
        );
        lock.release().await?;
        root.lock(name).wait(Duration::from_secs(10)).await?.release().await?;
    }
    for name in ["ab", "b", "c/a"] {
        expect_kind(me.lock(name).await, &ErrorKind::PermissionDenied)?;
        expect_kind(me.lock_holder(name).await, &ErrorKind::PermissionDenied)?;
        root.lock(name).await?.release().await?;
    }
    // Who may only read sees who holds a lock, and takes none.
    root.grant_user_access("me", PermissionType::Read, "a").await?;
    ensure_eq!(me.lock_holder("a").await?, None);
    expect_kind(me.lock("a").await, &ErrorKind::PermissionDenied)?;
    Ok(())
}

pub(super) async fn revoked(on: Place) -> Proof {
    let root = on.root().await?;
    root.add_user("me", WORD).await?;
    root.grant_user_access("me", PermissionType::ReadWrite, "a").await?;
    root.grant_user_access("me", PermissionType::ReadWrite, "b").await?;
    let me = on.open_as("me", WORD).await?;
    me.put("a/k", "1").await?;
    me.lock("a").await?.release().await?;
    root.revoke_users_access("me", PermissionType::ReadWrite, "a").await?;
    expect_kind(me.get("a/k").await, &ErrorKind::PermissionDenied)?;
    expect_kind(me.put("a/k", "1").await, &ErrorKind::PermissionDenied)?;
    expect_kind(me.lock("a").await, &ErrorKind::PermissionDenied)?;
    me.put("b/k", "1").await?;
    root.revoke_users_access("me", PermissionType::Read, "a").await?;
    root.revoke_users_access("me", PermissionType::Read, "b").await?;
    let (_, text) = on.etcdctl(&["role", "get", "me"]).await?;
    ensure!(!text.contains("app/"), "something is granted still: {text}");
    expect_kind(root.revoke_users_access("nobody", PermissionType::Read, "a").await, &ErrorKind::NotFound)?;
    Ok(())
}

pub(super) async fn whole_domain(on: Place) -> Proof {
    let root = on.root().await?;
    root.add_user("me", WORD).await?;
    root.grant_user_access("me", PermissionType::ReadWrite, "").await?;
    let me = on.open_as("me", WORD).await?;
    me.put("any/key", "1").await?;
    me.lock("any").await?.release().await?;
    ensure_eq!(me.list("").await?.len(), 1);
    let options = || Options::new().username("me").password(&Secret::new(WORD));
    for domain in ["app2", "", "ap"] {
        let other = on.open_at(&on.cluster.endpoints(), domain, options()).await?;
        expect_kind(other.get("k").await, &ErrorKind::PermissionDenied)?;
        expect_kind(other.list("").await, &ErrorKind::PermissionDenied)?;
    }
    root.revoke_users_access("me", PermissionType::ReadWrite, "").await?;
    expect_kind(me.get("any/key").await, &ErrorKind::PermissionDenied)?;

    // Without a domain it is the whole store.
    let options = Options::new().username(kvdb_servers::ROOT.0).password(&Secret::new(kvdb_servers::ROOT.1));
    let everything = on.open_at(&on.cluster.endpoints(), "", options).await?;
    everything.grant_user_access("me", PermissionType::Read, "").await?;
    ensure!(me.get("any/key").await?.is_some(), "the key is there");
    everything.revoke_users_access("me", PermissionType::Read, "").await?;
    expect_kind(me.get("any/key").await, &ErrorKind::PermissionDenied)?;
    Ok(())
}
