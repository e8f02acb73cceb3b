//! Users and members, in the Go library's spellings.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{
    AdminReply, AdminRequest, CallOptions, Error, ErrorKind, Kvdb, MemberInfo, PermissionType, Result, Secret,
};

/// The Go library's calls about users, on stores with USERS; on others each answers `Unsupported` naming it.
pub trait Users: Kvdb {
    /// Adds a user, and a role of the same name that holds its permissions. What failed half way is finished by asking
    /// again.
    ///
    /// # Errors
    /// `AlreadyExists` when the user, or a role of that name with permissions, is there; `InvalidArgument` for an empty
    /// name or password;
    /// `PermissionDenied` for a user that may not administer.
    fn add_user(&self, username: &str, password: &str) -> impl Future<Output = Result<()>> + Send {
        done(self, AdminRequest::AddUser { name: username.to_owned(), password: Secret::new(password) })
    }

    /// Removes a user, and the role of the same name. What failed half way is finished by asking again.
    ///
    /// # Errors
    /// `NotFound` when neither is there;
    /// `PermissionDenied` for a user that may not administer.
    fn remove_user(&self, username: &str) -> impl Future<Output = Result<()>> + Send {
        done(self, AdminRequest::RemoveUser { name: username.to_owned() })
    }

    /// Grants a user access to the keys below `subtree`, `""` for the whole domain, and to the locks in it: `subtree`
    /// as a lock's name, and every name below it. The key `subtree` itself is not below it. A subtree has one grant:
    /// another one replaces it. What failed half way is finished by asking again.
    ///
    /// # Errors
    /// `InvalidArgument` for a subtree that cannot be; `PermissionDenied` for a user that may not administer.
    fn grant_user_access(
        &self,
        username: &str,
        perm_type: PermissionType,
        subtree: &str,
    ) -> impl Future<Output = Result<()>> + Send {
        let request = AdminRequest::GrantUserAccess {
            name: username.to_owned(),
            permission: perm_type,
            subtree: subtree.to_owned(),
        };
        done(self, request)
    }

    /// Takes a user's access to a subtree back, whatever its permission: a subtree has one grant, as in the Go library,
    /// which ignores `perm_type` too.
    ///
    /// # Errors
    /// `InvalidArgument` for a subtree that cannot be; `PermissionDenied` for a user that may not administer.
    fn revoke_users_access(
        &self,
        username: &str,
        _perm_type: PermissionType,
        subtree: &str,
    ) -> impl Future<Output = Result<()>> + Send {
        done(self, AdminRequest::RevokeUserAccess { name: username.to_owned(), subtree: subtree.to_owned() })
    }
}

impl<K: Kvdb + ?Sized> Users for K {}

/// The Go library's calls about the members of a cluster, on stores with MEMBERS; on others each answers
/// `Unsupported` naming it, as the Go library's `ControllerNotSupported` does.
pub trait Controller: Kvdb {
    /// Adds a voting member that is about to start; answers the peer URLs of all members by name.
    ///
    /// # Errors
    /// `InvalidArgument` when the port is none.
    fn add_member(
        &self,
        node_ip: &str,
        node_peer_port: &str,
        node_name: &str,
    ) -> impl Future<Output = Result<BTreeMap<String, Vec<String>>>> + Send {
        let (host, name, port) = (node_ip.to_owned(), node_name.to_owned(), port(node_peer_port));
        async move { peer_urls(self, AdminRequest::AddMember { host, port: port?, name }).await }
    }

    /// The same as [`Controller::add_member`] for a member that does not vote until it is promoted.
    ///
    /// # Errors
    /// `InvalidArgument` when the port is none.
    fn add_learner(
        &self,
        node_ip: &str,
        node_peer_port: &str,
        node_name: &str,
    ) -> impl Future<Output = Result<BTreeMap<String, Vec<String>>>> + Send {
        let (host, name, port) = (node_ip.to_owned(), node_name.to_owned(), port(node_peer_port));
        async move { peer_urls(self, AdminRequest::AddLearner { host, port: port?, name }).await }
    }

    /// Lets a learner vote, once it is in sync; the Go library leaves that to other tools. One that votes already is Ok.
    ///
    /// # Errors
    /// `MemberNotFound` when there is none; `Unavailable`, safe to repeat, when it was not in sync within the call's
    /// time.
    fn promote_member(&self, member_id: u64) -> impl Future<Output = Result<()>> + Send {
        done(self, AdminRequest::PromoteMember { id: member_id })
    }

    /// Removes the member of this name, or one that never started and was added at this host, or host and port; one
    /// that is not there is Ok.
    ///
    /// # Errors
    /// `InvalidArgument` when that is said of several; `NoQuorum` when too few would be left.
    fn remove_member(&self, node_name: &str, node_ip: &str) -> impl Future<Output = Result<()>> + Send {
        done(self, AdminRequest::RemoveMember { name: node_name.to_owned(), host: node_ip.to_owned() })
    }

    /// Removes a member by its id; one that is not there is Ok.
    fn remove_member_by_id(&self, member_id: u64) -> impl Future<Output = Result<()>> + Send {
        done(self, AdminRequest::RemoveMemberById { id: member_id })
    }

    /// Changes where its peers reach a member; answers the peer URLs of all members by name.
    ///
    /// # Errors
    /// `MemberNotFound` when none has this name; `InvalidArgument` when the port is none.
    fn update_member(
        &self,
        node_ip: &str,
        node_peer_port: &str,
        node_name: &str,
    ) -> impl Future<Output = Result<BTreeMap<String, Vec<String>>>> + Send {
        let (host, name, port) = (node_ip.to_owned(), node_name.to_owned(), port(node_peer_port));
        async move { peer_urls(self, AdminRequest::UpdateMember { host, port: port?, name }).await }
    }

    /// The members by id, with their health.
    fn list_members(&self) -> impl Future<Output = Result<BTreeMap<u64, MemberInfo>>> + Send {
        async move {
            match ask(self, AdminRequest::ListMembers { within: None }, None).await? {
                AdminReply::Members(members) => Ok(members),
                _ => Err(unexpected()),
            }
        }
    }

    /// Sets the endpoints that the client talks to.
    fn set_endpoints(&self, endpoints: &[&str]) -> impl Future<Output = Result<()>> + Send {
        done(self, AdminRequest::SetEndpoints(endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect()))
    }

    /// The endpoints that the client talks to.
    fn get_endpoints(&self) -> impl Future<Output = Result<Vec<String>>> + Send {
        async move {
            match ask(self, AdminRequest::Endpoints, None).await? {
                AdminReply::Endpoints(endpoints) => Ok(endpoints),
                _ => Err(unexpected()),
            }
        }
    }

    /// Defragments the file of one endpoint; `timeout` is in seconds.
    ///
    /// # Errors
    /// `Timeout` when it takes longer; `InvalidArgument` when the endpoint is none, `Unavailable` when nobody is there.
    fn defragment(&self, endpoint: &str, timeout: u64) -> impl Future<Output = Result<()>> + Send {
        let timeout = Duration::from_secs(timeout);
        let request = AdminRequest::Defragment { endpoint: endpoint.to_owned(), timeout };
        async move { ask(self, request, Some(timeout)).await.map(drop) }
    }
}

impl<K: Kvdb + ?Sized> Controller for K {}

async fn ask<K: Kvdb + ?Sized>(kv: &K, request: AdminRequest, timeout: Option<Duration>) -> Result<AdminReply> {
    kv.admin_opts(request, CallOptions { timeout }).await
}

async fn done<K: Kvdb + ?Sized>(kv: &K, request: AdminRequest) -> Result<()> {
    ask(kv, request, None).await.map(drop)
}

async fn peer_urls<K: Kvdb + ?Sized>(kv: &K, request: AdminRequest) -> Result<BTreeMap<String, Vec<String>>> {
    match ask(kv, request, None).await? {
        AdminReply::PeerUrls(urls) => Ok(urls),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> Error {
    Error::new(ErrorKind::Internal, "the store answered another question of administration; report this")
}

fn port(text: &str) -> Result<u16> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| Error::invalid(format!("`{}` is no port; a member's is usually 2380", text.escape_debug())))
}
