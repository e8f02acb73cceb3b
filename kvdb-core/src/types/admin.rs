//! Administration of a store: users and members (contract 11).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Capabilities, Error, Result, Revision};

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
        /// The directory, `""` for the whole domain: the keys below it, not the key of the same name. A backend is
        /// asked once for each place of it, and finds here how the absolute keys of that place begin: with a slash
        /// at the end, or `""` for all keys.
        subtree: String,
    },
    /// Takes a grant back (USERS); one that is not there is Ok.
    RevokeUserAccess {
        /// The user.
        name: String,
        /// The directory, as it was granted.
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
    /// Lets a learner vote (MEMBERS); one that votes already is Ok.
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
    /// Removes the member of this name, or one that never started and was added at this host (MEMBERS); one that is
    /// not there is Ok.
    RemoveMember {
        /// The name.
        name: String,
        /// The host, or host and port, on which its peers reach it: compared as a whole.
        host: String,
    },
    /// Removes a member by its id (MEMBERS); one that is not there is Ok.
    RemoveMemberById {
        /// The member.
        id: u64,
    },
    /// Lists the members with their health (MEMBERS).
    ListMembers {
        /// How long a member may take before it counts as unhealthy; a quarter of the call's time if left out. A
        /// backend always finds one.
        within: Option<Duration>,
    },
    /// The endpoints the client talks to (MEMBERS).
    Endpoints,
    /// Sets the endpoints the client talks to (MEMBERS).
    SetEndpoints(Vec<String>),
    /// Defragments one endpoint's file (MEMBERS).
    Defragment {
        /// The endpoint.
        endpoint: String,
        /// How long it may take; holds in place of the call's own timeout.
        timeout: Duration,
    },
}

impl AdminRequest {
    /// The capability that a store needs for it.
    #[must_use]
    pub const fn needs(&self) -> Capabilities {
        match self {
            Self::AddUser { .. }
            | Self::RemoveUser { .. }
            | Self::GrantUserAccess { .. }
            | Self::RevokeUserAccess { .. } => Capabilities::USERS,
            _ => Capabilities::MEMBERS,
        }
    }

    /// Whether a second time does what the first did, so that a lost answer harms nobody.
    #[must_use]
    pub(crate) const fn repeats(&self) -> bool {
        matches!(self, Self::ListMembers { .. } | Self::Endpoints | Self::SetEndpoints(_) | Self::Defragment { .. })
    }
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
    /// Whether it answered in time, knows a leader and raises no alarm.
    pub healthy: bool,
    /// Whether it has ever started.
    pub started: bool,
    /// Whether it does not vote yet.
    pub learner: bool,
    /// The version of its server; empty where it did not answer.
    pub version: String,
    /// The revision it has applied; zero where it did not answer or the store does not tell.
    pub revision: Revision,
    /// How long it took to answer, the connection included; `None` where it did not.
    pub latency: Option<Duration>,
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
