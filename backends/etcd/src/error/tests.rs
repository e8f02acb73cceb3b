use std::error::Error as _;

use kvdb_core::Revision;

use super::*;

/// What a real server or connection says: the code, the words, what a read and a write make of it.
type Row = (Code, &'static str, ErrorKind, Retry, Retry);

const NEVER: (Retry, Retry) = (Retry::Never, Retry::Never);
const SAFE: (Retry, Retry) = (Retry::Safe, Retry::Safe);
const UNKNOWN: (Retry, Retry) = (Retry::Safe, Retry::Ambiguous);

fn row(code: Code, words: &'static str, kind: ErrorKind, (read, write): (Retry, Retry)) -> Row {
    (code, words, kind, read, write)
}

#[rustfmt::skip]
fn table() -> Vec<Row> {
    use Code::{
        Aborted, AlreadyExists, Cancelled, DataLoss, DeadlineExceeded, FailedPrecondition, Internal, InvalidArgument,
        NotFound, OutOfRange, PermissionDenied, ResourceExhausted, Unauthenticated, Unavailable, Unimplemented, Unknown,
    };
    use ErrorKind as K;
    let ttl = K::TtlNotSupported {
        min: std::time::Duration::from_secs(1), max: Some(std::time::Duration::from_secs(9_000_000_000)),
    };
    vec![
        row(Unavailable, "etcdserver: request timed out", K::NoQuorum, UNKNOWN),
        row(Unavailable, "etcdserver: request timed out, possibly due to previous leader failure", K::NoQuorum, UNKNOWN),
        row(Unavailable, "etcdserver: request timed out, possibly due to connection lost", K::NoQuorum, UNKNOWN),
        row(Unavailable, "etcdserver: request timed out, waiting for the applied index took too long", K::NoQuorum, UNKNOWN),
        row(Unavailable, "etcdserver: no leader", K::NoQuorum, SAFE),
        row(Unknown, "raft proposal dropped", K::NoQuorum, SAFE),
        row(Unavailable, "etcdserver: leader changed", K::NoQuorum, UNKNOWN),
        row(Unavailable, "etcdserver: server stopped", K::Unavailable, UNKNOWN),
        row(Unknown, "etcdserver: too many requests", K::Unavailable, SAFE),
        row(ResourceExhausted, "etcdserver: too many requests", K::Unavailable, SAFE),
        row(Unavailable, "etcdserver: not capable", K::Unavailable, SAFE),
        row(Unavailable, "etcdserver: rpc not supported for learner", K::Unavailable, SAFE),
        row(FailedPrecondition, "etcdserver: not leader", K::InvalidArgument, NEVER),
        row(FailedPrecondition, "etcdserver: bad leader transferee", K::InvalidArgument, NEVER),
        row(InvalidArgument, "etcdserver: given member URLs are invalid", K::InvalidArgument, NEVER),
        row(DataLoss, "etcdserver: corrupt cluster", K::Corrupt, NEVER),
        row(InvalidArgument, "etcdserver: request is too large", K::TooLarge { limit: 1_572_864 }, NEVER),
        row(ResourceExhausted, "grpc: received message larger than max (3000030 vs. 2097152)", K::TooLarge { limit: 2_097_152 }, NEVER),
        row(OutOfRange, "Error, decoded message length too large: found 5242896 bytes, the limit is: 4194304 bytes", K::TooLarge { limit: 4_194_304 }, UNKNOWN),
        row(InvalidArgument, "etcdserver: too many operations in txn request", K::TooLarge { limit: 128 }, NEVER),
        row(InvalidArgument, "etcdserver: duplicate key given in txn request", K::InvalidArgument, NEVER),
        row(InvalidArgument, "etcdserver: key is not provided", K::InvalidArgument, NEVER),
        row(InvalidArgument, "etcdserver: value is provided", K::InvalidArgument, NEVER),
        row(InvalidArgument, "etcdserver: lease is provided", K::InvalidArgument, NEVER),
        row(InvalidArgument, "etcdserver: key not found", K::NotFound, NEVER),
        row(OutOfRange, "etcdserver: mvcc: required revision has been compacted", K::Compacted { oldest: Revision::ZERO }, NEVER),
        row(OutOfRange, "etcdserver: mvcc: required revision is a future revision", K::FutureRevision { current: Revision::ZERO }, NEVER),
        row(ResourceExhausted, "etcdserver: mvcc: database space exceeded", K::StorageFull, NEVER),
        row(NotFound, "etcdserver: requested lease not found", K::LeaseNotFound, NEVER),
        row(Unknown, "lease not found", K::LeaseNotFound, NEVER),
        row(FailedPrecondition, "etcdserver: lease already exists", K::AlreadyExists, NEVER),
        row(OutOfRange, "etcdserver: too large lease TTL", ttl.clone(), NEVER),
        row(InvalidArgument, "etcdserver: ttl is 0", ttl, NEVER),
        row(InvalidArgument, "etcdserver: authentication failed, invalid user ID or password", K::Unauthenticated, NEVER),
        row(InvalidArgument, "etcdserver: user name is empty", K::Unauthenticated, NEVER),
        row(Unknown, "auth: user name is empty", K::Unauthenticated, NEVER),
        row(Unauthenticated, "etcdserver: invalid auth token", K::Unauthenticated, NEVER),
        row(FailedPrecondition, "etcdserver: authentication is not enabled", K::InvalidConfig, NEVER),
        row(PermissionDenied, "etcdserver: permission denied", K::PermissionDenied, NEVER),
        row(Unknown, "auth: permission denied", K::PermissionDenied, NEVER),
        row(InvalidArgument, "etcdserver: permission not given", K::InvalidArgument, NEVER),
        row(InvalidArgument, "etcdserver: role name is empty", K::InvalidArgument, NEVER),
        row(FailedPrecondition, "etcdserver: role is not granted to the user", K::NotFound, NEVER),
        row(FailedPrecondition, "etcdserver: root user does not exist", K::InvalidArgument, NEVER),
        row(FailedPrecondition, "etcdserver: root user does not have root role", K::InvalidArgument, NEVER),
        row(InvalidArgument, "etcdserver: revision of auth store is old", K::Unavailable, SAFE),
        // What nobody knows goes by its code.
        row(Unavailable, "a new one", K::Unavailable, UNKNOWN),
        row(Cancelled, "a new one", K::Unavailable, UNKNOWN),
        row(Aborted, "a new one", K::Unavailable, UNKNOWN),
        row(ResourceExhausted, "a new one", K::Unavailable, UNKNOWN),
        row(DeadlineExceeded, "context deadline exceeded", K::Timeout, UNKNOWN),
        row(InvalidArgument, "a new one", K::InvalidArgument, NEVER),
        row(FailedPrecondition, "a new one", K::InvalidArgument, NEVER),
        row(OutOfRange, "a new one", K::InvalidArgument, NEVER),
        row(NotFound, "a new one", K::NotFound, NEVER),
        row(AlreadyExists, "a new one", K::AlreadyExists, NEVER),
        row(PermissionDenied, "a new one", K::PermissionDenied, NEVER),
        row(Unauthenticated, "a new one", K::Unauthenticated, NEVER),
        row(DataLoss, "a new one", K::Corrupt, UNKNOWN),
        row(Unimplemented, "unknown method Range", K::InvalidConfig, SAFE),
        row(Unknown, "a new one", K::Internal, UNKNOWN),
        row(Internal, "a new one", K::Internal, UNKNOWN),
        row(Code::Ok, "", K::Internal, UNKNOWN),
    ]
}

#[test]
fn every_row_of_the_table_is_read_and_written_as_it_says() {
    for (code, words, kind, read, write) in table() {
        for (call, retry) in [(Call::Read, read), (Call::Write, write)] {
            let error = error(call, etcd_client::Error::GRpcStatus(Status::new(code, words)));
            assert_eq!((error.kind(), error.retry()), (&kind, retry), "{words} {call:?}");
            assert!(!error.message().is_empty(), "{words}");
            let source = error.source().and_then(|source| source.downcast_ref::<Status>());
            assert_eq!(source.map(Status::message), Some(words), "the source is kept");
        }
    }
}

#[test]
fn a_message_whose_limit_cannot_be_read_is_still_too_large() {
    for (words, limit) in [
        ("grpc: received message larger than max", 1_572_864),
        ("grpc: received message larger than max (1 vs. x)", 0),
        ("grpc: received message larger than max (1 vs. 99999999999999999999999999)", usize::MAX),
    ] {
        let error = status_error(Call::Write, Status::new(Code::ResourceExhausted, words));
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit }, "{words}");
    }
}

#[test]
fn what_the_client_says_itself_has_a_kind_too() {
    use etcd_client::Error as Client;
    for (source, kind, write) in [
        (Client::IoError(std::io::Error::other("x")), ErrorKind::Unavailable, Retry::Ambiguous),
        (Client::WatchError("x".to_owned()), ErrorKind::Unavailable, Retry::Safe),
        (Client::LeaseKeepAliveError("x".to_owned()), ErrorKind::Unavailable, Retry::Safe),
        (Client::InvalidArgs("x".to_owned()), ErrorKind::InvalidArgument, Retry::Never),
        (Client::EndpointsNotManaged, ErrorKind::Internal, Retry::Ambiguous),
        (Client::Internal("x".to_owned()), ErrorKind::Internal, Retry::Ambiguous),
    ] {
        let error = error(Call::Write, source);
        assert_eq!((error.kind(), error.retry()), (&kind, write));
        assert!(error.source().is_some());
    }
}

#[test]
fn a_hostile_message_stays_on_its_line() {
    let error = status_error(Call::Read, Status::new(Code::Unknown, "a\nb\u{1b}[31m"));
    assert!(!error.to_string().contains(['\n', '\u{1b}']), "{error}");
}
