//! Administration of a store: users and members (contract 11).

use std::collections::BTreeMap;
use std::time::Duration;

/// What a user may do in a subtree, with the reference library's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PermissionType {
    /// Read (0).
    Read,
    /// Write (1).
    Write,
    /// Read and write (2).
    ReadWrite,
}

/// One call of administration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminRequest {
    /// Adds a user, and a role of the same name (USERS).
    AddUser {
        /// The name.
        name: String,
        /// The password.
        password: crate::Secret,
    },
    /// Removes a user and the role of the same name (USERS).
    RemoveUser {
        /// The name.
        name: String,
    },
    /// Grants a user access to a whole subtree of the domain, its locks included (USERS).
    GrantUserAccess {
        /// The user.
        name: String,
        /// What it may do.
        permission: PermissionType,
        /// The subtree; absolute when it reaches a backend.
        subtree: String,
    },
    /// Takes a grant back (USERS).
    RevokeUserAccess {
        /// The user.
        name: String,
        /// The subtree; absolute when it reaches a backend.
        subtree: String,
    },
    /// Lists the members with their health (MEMBERS).
    ListMembers,
    /// The endpoints the client talks to (MEMBERS).
    Endpoints,
    /// Sets the endpoints the client talks to (MEMBERS).
    SetEndpoints(Vec<String>),
    /// Defragments one endpoint's file (MEMBERS).
    Defragment {
        /// The endpoint.
        endpoint: String,
        /// How long it may take.
        timeout: Duration,
    },
}

/// The answer to an [`AdminRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminReply {
    /// Done; nothing to tell.
    Done,
    /// The members by id.
    Members(BTreeMap<u64, MemberInfo>),
    /// The endpoints.
    Endpoints(Vec<String>),
}

/// One member of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberInfo {
    /// Its id as text.
    pub id: String,
    /// Its name; empty until it has started.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Whether it leads.
    pub leader: bool,
    /// The size of its database in bytes.
    pub db_size: i64,
    /// Whether it answered in time.
    pub healthy: bool,
    /// Whether it has ever started.
    pub started: bool,
    /// Whether it does not vote yet.
    pub learner: bool,
}
