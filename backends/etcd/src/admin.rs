//! Administration: which call of etcd each request is.

use std::time::Duration;

use kvdb_core::{AdminReply, AdminRequest, Error, Result};

use crate::admin_error::error;
use crate::client::Client;
use crate::error::Call;
use crate::{members, members_address, members_list, users};

/// How long a member may take where the caller leaves it open; the engine never does.
const WITHIN: Duration = Duration::from_secs(2);

/// Does what is asked. Each request but that of a new user is one write of etcd, or repeats it without harm.
///
/// # Cancel safety
/// A dropped call happened wholly or not at all; that of a user may have done its first steps, which the same call made
/// again takes up.
pub(crate) async fn admin(client: &Client, request: &AdminRequest) -> Result<AdminReply> {
    match request {
        AdminRequest::AddUser { name, password } => users::add(client, name, password).await.map(done),
        AdminRequest::RemoveUser { name } => users::remove(client, name).await.map(done),
        AdminRequest::GrantUserAccess { name, permission, subtree } => {
            users::grant(client, name, *permission, subtree).await.map(done)
        }
        AdminRequest::RevokeUserAccess { name, subtree } => users::revoke(client, name, subtree).await.map(done),
        AdminRequest::AddMember { host, port, name } => {
            members::add(client, host, *port, name, false).await.map(AdminReply::PeerUrls)
        }
        AdminRequest::AddLearner { host, port, name } => {
            members::add(client, host, *port, name, true).await.map(AdminReply::PeerUrls)
        }
        AdminRequest::PromoteMember { id } => members::promote(client, *id).await.map(done),
        AdminRequest::UpdateMember { host, port, name } => {
            members::update(client, host, *port, name).await.map(AdminReply::PeerUrls)
        }
        AdminRequest::RemoveMember { name, host } => members::remove(client, name, host).await.map(done),
        AdminRequest::RemoveMemberById { id } => members::remove_by_id(client, *id).await.map(done),
        AdminRequest::ListMembers { within } => {
            members_list::list(client, within.unwrap_or(WITHIN)).await.map(AdminReply::Members)
        }
        AdminRequest::Endpoints => Ok(AdminReply::Endpoints(client.endpoints())),
        AdminRequest::SetEndpoints(endpoints) => set_endpoints(client, endpoints).map(done),
        AdminRequest::Defragment { endpoint, .. } => defragment(client, endpoint).await.map(done),
        other => Err(Error::unsupported(other.needs())),
    }
}

fn done((): ()) -> AdminReply {
    AdminReply::Done
}

fn set_endpoints(client: &Client, endpoints: &[String]) -> Result<()> {
    if endpoints.is_empty() {
        return Err(Error::invalid("no endpoint is left to talk to; name at least one"));
    }
    endpoints.iter().try_for_each(|endpoint| members_address::check_endpoint(endpoint))?;
    client.set_endpoints(endpoints.to_vec())
}

async fn defragment(client: &Client, endpoint: &str) -> Result<()> {
    members_address::check_endpoint(endpoint)?;
    let one = client.alone(endpoint).await?;
    one.maintenance_client().defragment().await.map(drop).map_err(|source| error(Call::Read, source))
}
