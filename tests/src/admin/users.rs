use kvdb::ErrorKind;
use kvdb::portworx::Users as _;
use kvdb::prelude::*;
use kvdb_testsuite::help::expect_kind;
use kvdb_testsuite::{Proof, ensure};

use super::Place;

pub(super) async fn added(on: Place) -> Proof {
    let root = on.root().await?;
    root.add_user("me", "word").await?;
    // The user is known, and may do nothing yet.
    let me = on.open_as("me", "word").await?;
    expect_kind(me.get("k").await, &ErrorKind::PermissionDenied)?;
    expect_kind(logged_in(&on, "me", "wrong").await, &ErrorKind::Unauthenticated)?;
    expect_kind(root.add_user("me", "word").await, &ErrorKind::AlreadyExists)?;
    let (known, text) = on.etcdctl(&["user", "get", "me"]).await?;
    ensure!(known && text.contains("Roles: me"), "{text}");

    root.remove_user("me").await?;
    ensure!(!on.etcdctl(&["user", "get", "me"]).await?.0, "the user is there still");
    ensure!(!on.etcdctl(&["role", "get", "me"]).await?.0, "the role is there still");
    expect_kind(logged_in(&on, "me", "word").await, &ErrorKind::Unauthenticated)?;
    expect_kind(root.remove_user("me").await, &ErrorKind::NotFound)?;
    root.add_user("me", "other").await?;
    logged_in(&on, "me", "other").await?;
    expect_kind(root.add_user("", "word").await, &ErrorKind::InvalidArgument)?;
    expect_kind(root.add_user("you", "").await, &ErrorKind::InvalidArgument)?;
    ensure!(!on.etcdctl(&["role", "get", "you"]).await?.0, "what is refused leaves nothing");
    Ok(())
}

/// Opens the store as this user and has it answer, whatever it answers a user without rights.
async fn logged_in(on: &Place, user: &str, password: &str) -> kvdb::Result<()> {
    match on.open_as(user, password).await?.get("k").await {
        Err(error) if *error.kind() != ErrorKind::PermissionDenied => Err(error),
        _ => Ok(()),
    }
}

pub(super) async fn half_way(on: Place) -> Proof {
    let root = on.root().await?;
    on.must(&["role", "add", "one"]).await?;
    root.add_user("one", "word").await?;
    logged_in(&on, "one", "word").await?;

    on.must(&["role", "add", "two"]).await?;
    on.must(&["user", "add", "two:first"]).await?;
    root.add_user("two", "second").await?;
    logged_in(&on, "two", "second").await?;
    expect_kind(logged_in(&on, "two", "first").await, &ErrorKind::Unauthenticated)?;
    let (_, text) = on.etcdctl(&["user", "get", "two"]).await?;
    ensure!(text.contains("Roles: two"), "{text}");

    on.must(&["user", "delete", "two"]).await?;
    root.remove_user("two").await?;
    ensure!(!on.etcdctl(&["role", "get", "two"]).await?.0, "the role is there still");
    on.must(&["role", "delete", "one"]).await?;
    root.remove_user("one").await?;
    ensure!(!on.etcdctl(&["user", "get", "one"]).await?.0, "the user is there still");
    Ok(())
}

pub(super) async fn taken(on: Place) -> Proof {
    let root = on.root().await?;
    // Whoever got this role would get its rights with it.
    on.must(&["role", "add", "mighty"]).await?;
    on.must(&["role", "grant-permission", "mighty", "readwrite", "k"]).await?;
    expect_kind(root.add_user("mighty", "word").await, &ErrorKind::AlreadyExists)?;
    ensure!(!on.etcdctl(&["user", "get", "mighty"]).await?.0, "a user got the rights of a role that was there");

    on.must(&["role", "add", "other"]).await?;
    on.must(&["user", "add", "you:yours"]).await?;
    on.must(&["user", "grant-role", "you", "other"]).await?;
    expect_kind(root.add_user("you", "mine").await, &ErrorKind::AlreadyExists)?;
    logged_in(&on, "you", "yours").await?;
    // Root stays while authentication is on.
    expect_kind(root.remove_user("root").await, &ErrorKind::InvalidArgument)?;
    root.put("k", "1").await?;
    Ok(())
}
