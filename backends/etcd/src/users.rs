//! Users, each with a role of the same name that holds its permissions.

use etcd_client::{Permission, PermissionType as Kind, RoleRevokePermissionOptions};
use kvdb_core::{Error, ErrorKind, PermissionType, Result, Secret};

use crate::admin_error::{NOT_GRANTED, ROLE_EXISTS, ROLE_NOT_FOUND, USER_EXISTS, USER_NOT_FOUND, error, unless};
use crate::client::Client;
use crate::error::Call;

/// Adds a role, a user, and the role to the user: three writes of etcd. A role without permissions and a user without
/// roles are taken for what an earlier try left, and taken up: the user gets this password.
pub(crate) async fn add(client: &Client, name: &str, password: &Secret) -> Result<()> {
    named(name)?;
    if password.reveal().is_empty() {
        return Err(Error::invalid("the password is empty; nobody could log in with it"));
    }
    let mut auth = client.auth();
    if unless(ROLE_EXISTS, auth.role_add(name).await)?.is_none() {
        let role = auth.role_get(name).await.map_err(read)?;
        if !role.permissions().is_empty() {
            return Err(there("the user, or a role of its name with permissions, is there already"));
        }
    }
    if unless(USER_EXISTS, auth.user_add(name, password.reveal(), None).await)?.is_none() {
        let user = auth.user_get(name).await.map_err(read)?;
        if !user.roles().is_empty() {
            return Err(there("the user is there already"));
        }
        auth.user_change_password(name, password.reveal()).await.map_err(write)?;
    }
    auth.user_grant_role(name, name).await.map(drop).map_err(write)
}

/// Removes the user and then its role: `NotFound` only when neither is there, so that a second try finishes the first.
pub(crate) async fn remove(client: &Client, name: &str) -> Result<()> {
    named(name)?;
    let mut auth = client.auth();
    let user = unless(USER_NOT_FOUND, auth.user_delete(name).await)?;
    let role = unless(ROLE_NOT_FOUND, auth.role_delete(name).await)?;
    if user.is_none() && role.is_none() {
        return Err(Error::new(ErrorKind::NotFound, "there is no user of this name"));
    }
    Ok(())
}

/// Grants what begins with `place`; a grant of the same place is replaced.
pub(crate) async fn grant(client: &Client, name: &str, permission: PermissionType, place: &str) -> Result<()> {
    named(name)?;
    let kind = match permission {
        PermissionType::Read => Kind::Read,
        PermissionType::Write => Kind::Write,
        PermissionType::ReadWrite => Kind::Readwrite,
        other => return Err(Error::invalid(format!("etcd has no permission {other:?}"))),
    };
    let granted = Permission::new(kind, place);
    let granted = if place.is_empty() { granted.with_all_keys() } else { granted.with_prefix() };
    client.auth().role_grant_permission(name, granted).await.map(drop).map_err(write)
}

/// Takes back what was granted for `place`; nothing granted is Ok.
pub(crate) async fn revoke(client: &Client, name: &str, place: &str) -> Result<()> {
    named(name)?;
    let range = RoleRevokePermissionOptions::new();
    let range = if place.is_empty() { range.with_all_keys() } else { range.with_prefix() };
    unless(NOT_GRANTED, client.auth().role_revoke_permission(name, place, Some(range)).await).map(drop)
}

fn named(name: &str) -> Result<()> {
    if name.is_empty() { Err(Error::invalid("the user's name is empty")) } else { Ok(()) }
}

fn there(text: &'static str) -> Error {
    Error::new(ErrorKind::AlreadyExists, text)
}

fn read(source: etcd_client::Error) -> Error {
    error(Call::Read, source)
}

fn write(source: etcd_client::Error) -> Error {
    error(Call::Write, source)
}
