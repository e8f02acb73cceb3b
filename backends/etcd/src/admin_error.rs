//! What etcd says about users and members; everything else is in the one table of errors.

use kvdb_core::{Error, ErrorKind, Result, Retry};

use crate::error::Call;

// The texts are those of etcd's api/v3rpc/rpctypes/error.go, the same from 3.4 to 3.6.
pub(crate) const USER_EXISTS: &str = "etcdserver: user name already exists";
pub(crate) const USER_NOT_FOUND: &str = "etcdserver: user name not found";
pub(crate) const ROLE_EXISTS: &str = "etcdserver: role name already exists";
pub(crate) const ROLE_NOT_FOUND: &str = "etcdserver: role name not found";
pub(crate) const NOT_GRANTED: &str = "etcdserver: permission is not granted to the role";
pub(crate) const MEMBER_NOT_FOUND: &str = "etcdserver: member not found";
pub(crate) const NOT_A_LEARNER: &str = "etcdserver: can only promote a learner member";

/// What etcd says, the kind it is, whether to repeat the call, and how to say it.
type Row = (&'static str, ErrorKind, Retry, &'static str);

const TABLE: &[Row] = &[
    (USER_EXISTS, ErrorKind::AlreadyExists, Retry::Never, "the user is there already"),
    (USER_NOT_FOUND, ErrorKind::NotFound, Retry::Never, "there is no user of this name"),
    (ROLE_EXISTS, ErrorKind::AlreadyExists, Retry::Never, "the role is there already"),
    (ROLE_NOT_FOUND, ErrorKind::NotFound, Retry::Never, "there is no role of this name; adding the user makes it"),
    (NOT_GRANTED, ErrorKind::NotFound, Retry::Never, "this was not granted"),
    (
        "etcdserver: invalid auth management",
        ErrorKind::InvalidArgument,
        Retry::Never,
        "root and its role stay while authentication is on",
    ),
    // The maintenance service tells it in words of its own, and with the code Unknown.
    ("auth: permission denied", ErrorKind::PermissionDenied, Retry::Never, "only root may administer"),
    ("etcdserver: permission denied", ErrorKind::PermissionDenied, Retry::Never, "only root may administer"),
    (MEMBER_NOT_FOUND, ErrorKind::MemberNotFound, Retry::Never, "there is no such member"),
    ("etcdserver: member ID already exist", ErrorKind::AlreadyExists, Retry::Never, "the member is there already"),
    (
        "etcdserver: Peer URLs already exists",
        ErrorKind::AlreadyExists,
        Retry::Never,
        "a member has this address already",
    ),
    (NOT_A_LEARNER, ErrorKind::InvalidArgument, Retry::Never, "the member votes already"),
    // Nothing was done; the next moment may be better. For about 5 s after the start of a member it is so.
    (
        "etcdserver: unhealthy cluster",
        ErrorKind::Unavailable,
        Retry::Safe,
        "the members are not all connected for long enough",
    ),
    (
        "etcdserver: can only promote a learner member which is in sync with leader",
        ErrorKind::Unavailable,
        Retry::Safe,
        "the learner is not in sync with the leader yet",
    ),
    (
        "etcdserver: re-configuration failed due to not enough started members",
        ErrorKind::NoQuorum,
        Retry::Never,
        "too few started members would be left; start or remove those that do not run first",
    ),
    (
        "etcdserver: too many learner members in cluster",
        ErrorKind::InvalidArgument,
        Retry::Never,
        "the cluster takes no more learners; promote or remove one first",
    ),
];

/// The error of a failed call of administration.
pub(crate) fn error(call: Call, source: etcd_client::Error) -> Error {
    let row = said(&source).and_then(|text| TABLE.iter().find(|row| row.0 == text));
    match row {
        Some((_, kind, retry, text)) => Error::new(kind.clone(), *text).with_retry(*retry).with_source(source),
        None => crate::error::error(call, source),
    }
}

/// The answer of a write; `None` where etcd refused it by saying `text`.
pub(crate) fn unless<T>(text: &str, answer: std::result::Result<T, etcd_client::Error>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(source) if said(&source) == Some(text) => Ok(None),
        Err(source) => Err(error(Call::Write, source)),
    }
}

/// Whether the store knows who asks and refuses, or does not know: no other member would say otherwise.
pub(crate) fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unauthenticated)
}

fn said(source: &etcd_client::Error) -> Option<&str> {
    match source {
        etcd_client::Error::GRpcStatus(status) => Some(status.message()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(text: &str) -> etcd_client::Error {
        etcd_client::Error::GRpcStatus(tonic::Status::new(tonic::Code::Unknown, text))
    }

    #[test]
    fn each_text_has_one_row_and_its_own_kind_whatever_the_code() {
        for (text, kind, retry, _) in TABLE {
            assert_eq!(TABLE.iter().filter(|row| row.0 == *text).count(), 1, "{text}");
            let error = error(Call::Write, says(text));
            assert_eq!((error.kind(), error.retry()), (kind, *retry), "{text}");
            assert!(std::error::Error::source(&error).is_some(), "{text}");
        }
    }

    #[test]
    fn only_the_named_refusal_is_none() {
        assert!(unless::<()>(USER_EXISTS, Err(says(USER_EXISTS))).unwrap().is_none());
        assert_eq!(*unless::<()>(USER_EXISTS, Err(says(ROLE_EXISTS))).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(unless(USER_EXISTS, Ok(1)).unwrap(), Some(1));
    }
}
