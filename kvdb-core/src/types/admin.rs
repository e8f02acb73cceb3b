//! Administration of a store: users and members (contract 11).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Error, Result};

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

impl PermissionType {
    /// The reference library's number of this permission.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Read => 0,
            Self::Write => 1,
            Self::ReadWrite => 2,
        }
    }

    /// The permission behind a number of the reference library.
    ///
    /// # Errors
    /// `InvalidArgument` for any other number.
    pub fn from_number(number: u32) -> Result<Self> {
        match number {
            0 => Ok(Self::Read),
            1 => Ok(Self::Write),
            2 => Ok(Self::ReadWrite),
            _ => Err(Error::invalid(format!("{number} is no permission; 0 reads, 1 writes, 2 does both"))),
        }
    }
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
    /// Adds a voting member that is about to start (MEMBERS); answers the peer URLs of all.
    AddMember {
        /// The host on which its peers reach it.
        host: String,
        /// The port on which its peers reach it.
        port: u16,
        /// The name it will start with.
        name: String,
    },
    /// Adds a member that does not vote until it is promoted (MEMBERS); answers the peer URLs of all.
    AddLearner {
        /// The host on which its peers reach it.
        host: String,
        /// The port on which its peers reach it.
        port: u16,
        /// The name it will start with.
        name: String,
    },
    /// Lets a learner vote (MEMBERS).
    PromoteMember {
        /// The learner.
        id: u64,
    },
    /// Changes where a member is reached by its peers (MEMBERS); answers the peer URLs of all.
    UpdateMember {
        /// The new host.
        host: String,
        /// The new port.
        port: u16,
        /// The member.
        name: String,
    },
    /// Removes the member of this name, or one that never started and was added at this host (MEMBERS).
    RemoveMember {
        /// The name.
        name: String,
        /// The host, compared as a whole.
        host: String,
    },
    /// Removes a member by its id (MEMBERS); one that is not there is Ok.
    RemoveMemberById {
        /// The member.
        id: u64,
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
    /// The peer URLs of all members by name, as a new member wants them to start.
    PeerUrls(BTreeMap<String, Vec<String>>),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn permission_numbers_are_the_reference_librarys() {
        for (number, permission) in
            [(0, PermissionType::Read), (1, PermissionType::Write), (2, PermissionType::ReadWrite)]
        {
            assert_eq!(permission.number(), number);
            assert_eq!(PermissionType::from_number(number).unwrap(), permission);
        }
        assert_eq!(*PermissionType::from_number(3).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
