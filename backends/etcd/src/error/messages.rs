//! What etcd says, by its own words (its package rpctypes, 3.4 to 3.6). What only users and members are told is in
//! [`crate::admin_error`].

use kvdb_core::{ErrorKind, Revision};

use super::{Fate, Meaning};
use Fate::{NotDone, Refused, Unknown};

/// `--max-request-bytes` unless set.
const REQUEST_BYTES: usize = 1_572_864;

/// `--max-txn-ops` unless set.
const TXN_OPS: usize = 128;

/// etcd's longest TTL, in seconds.
const TTL_MAX: std::time::Duration = std::time::Duration::from_secs(9_000_000_000);

/// What a message means, if etcd has it.
pub(super) fn meaning(message: &str) -> Option<Meaning> {
    let message = message.strip_prefix("etcdserver: ").unwrap_or(message);
    let message = message.strip_prefix("mvcc: ").unwrap_or(message);
    let message = message.strip_prefix("auth: ").unwrap_or(message);
    cluster(message).or_else(|| data(message)).or_else(|| users(message))
}

fn cluster(message: &str) -> Option<Meaning> {
    // The time that an answer was not there in is told with several guesses at the cause.
    if message.starts_with("request timed out") {
        return Some(Meaning::new(
            ErrorKind::NoQuorum,
            Unknown,
            "the members did not agree in time: check that most of them run and reach each other",
        ));
    }
    let (kind, fate, advice) = match message {
        "no leader" => (
            ErrorKind::NoQuorum,
            NotDone,
            "the cluster has no leader: check that most of its members run and reach each other",
        ),
        "raft proposal dropped" => {
            (ErrorKind::NoQuorum, NotDone, "the cluster is between two leaders, or has none: try again")
        }
        "leader changed" => (ErrorKind::NoQuorum, Unknown, "the cluster changed its leader meanwhile: try again"),
        "server stopped" => (ErrorKind::Unavailable, Unknown, "the member is shutting down: try another one"),
        "too many requests" => {
            (ErrorKind::Unavailable, NotDone, "the member is behind with its work: try again, with fewer calls at once")
        }
        "not capable" => (ErrorKind::Unavailable, NotDone, "the cluster does not know its version yet: try again"),
        "rpc not supported for learner" => (
            ErrorKind::Unavailable,
            NotDone,
            "the endpoint is a learner, which serves no such calls: name voting members as endpoints",
        ),
        "given member URLs are invalid" => {
            (ErrorKind::InvalidArgument, Refused, "a peer URL is written http://host:port or https://host:port")
        }
        "not leader" => (ErrorKind::InvalidArgument, Refused, "only the leader can do this: send it to its endpoint"),
        "bad leader transferee" => {
            (ErrorKind::InvalidArgument, Refused, "that member cannot lead: name a voting member that runs")
        }
        "corrupt cluster" => (
            ErrorKind::Corrupt,
            Refused,
            "the members' data differ (alarm CORRUPT): find the odd one with `etcdctl endpoint hashkv`, replace it, and \
             disarm the alarm",
        ),
        _ => return None,
    };
    Some(Meaning::new(kind, fate, advice))
}

fn data(message: &str) -> Option<Meaning> {
    if let Some(meaning) = too_long(message) {
        return Some(meaning);
    }
    let (kind, advice) = match message {
        "request is too large" => (
            ErrorKind::TooLarge { limit: REQUEST_BYTES },
            "more bytes than the server's --max-request-bytes, 1.5 MiB unless set",
        ),
        "too many operations in txn request" => {
            (ErrorKind::TooLarge { limit: TXN_OPS }, "more operations than the server's --max-txn-ops, 128 unless set")
        }
        "duplicate key given in txn request" => {
            (ErrorKind::InvalidArgument, "a transaction writes each key at most once")
        }
        "key is not provided" => (ErrorKind::InvalidArgument, "the key is empty"),
        "value is provided" => (ErrorKind::InvalidArgument, "a put that keeps the value must not have one"),
        "lease is provided" => (ErrorKind::InvalidArgument, "a put that keeps the lease must not have one"),
        "key not found" => (ErrorKind::NotFound, "there is no key whose value or lease could be kept"),
        "required revision has been compacted" => (
            ErrorKind::Compacted { oldest: Revision::ZERO },
            "the revision is no longer in the history: read the present state and go on from there",
        ),
        "required revision is a future revision" => (
            ErrorKind::FutureRevision { current: Revision::ZERO },
            "the store has not come to that revision: it is another cluster's, or one from before a restore",
        ),
        "database space exceeded" => (
            ErrorKind::StorageFull,
            "a member's database is over its quota (alarm NOSPACE): compact, defragment every member, then disarm the \
             alarm",
        ),
        "requested lease not found" | "lease not found" => {
            (ErrorKind::LeaseNotFound, "the lease has run out or was revoked: grant a new one")
        }
        "lease already exists" => (ErrorKind::AlreadyExists, "the id of the lease is taken: choose another one"),
        "too large lease TTL" => (
            ErrorKind::TtlNotSupported { min: std::time::Duration::from_secs(1), max: Some(TTL_MAX) },
            "no lease lives longer than 9,000,000,000 s",
        ),
        "ttl is 0" => (
            ErrorKind::TtlNotSupported { min: std::time::Duration::from_secs(1), max: Some(TTL_MAX) },
            "a lease lives for a second at least",
        ),
        _ => return None,
    };
    Some(Meaning::new(kind, Refused, advice))
}

/// Messages over gRPC's own limits; they end with the limit.
fn too_long(message: &str) -> Option<Meaning> {
    let number = |text: &str| {
        text.bytes().take_while(u8::is_ascii_digit).fold(0_usize, |number, digit| {
            number.saturating_mul(10).saturating_add(usize::from(digit.wrapping_sub(b'0')))
        })
    };
    if message.contains("received message larger than max") {
        let limit = message.rsplit_once("vs. ").map_or(REQUEST_BYTES, |(_, limit)| number(limit));
        let advice = format!("more bytes than the server takes in one request, {limit}");
        return Some(Meaning::new(ErrorKind::TooLarge { limit }, Refused, advice));
    }
    // Ours: the server did what was asked.
    if message.contains("decoded message length too large") {
        let limit = message.rsplit_once("limit is: ").map_or(0, |(_, limit)| number(limit));
        let advice = format!("the answer has more bytes than are taken at once, {limit}: ask for less of it");
        return Some(Meaning::new(ErrorKind::TooLarge { limit }, Unknown, advice));
    }
    None
}

fn users(message: &str) -> Option<Meaning> {
    let (kind, advice) = match message {
        "authentication failed, invalid user ID or password" => {
            (ErrorKind::Unauthenticated, "wrong user or password: check `username` and `password`")
        }
        "user name is empty" => {
            (ErrorKind::Unauthenticated, "the store has users and none was given: set `username` and `password`")
        }
        "invalid auth token" => {
            (ErrorKind::Unauthenticated, "the server does not know our token any more, nor a new one")
        }
        "authentication is not enabled" => (
            ErrorKind::InvalidConfig,
            "the store has no users switched on: remove `username` and `password`, or run `etcdctl auth enable`",
        ),
        "permission denied" => (ErrorKind::PermissionDenied, "the user's roles do not allow this: grant one that does"),
        "permission not given" => (ErrorKind::InvalidArgument, "the permission to grant is missing"),
        "role name is empty" => (ErrorKind::InvalidArgument, "the name of the role is empty"),
        "role is not granted to the user" => (ErrorKind::NotFound, "the user does not have that role"),
        "root user does not exist" => {
            (ErrorKind::InvalidArgument, "users are switched on only once there is a user `root`: add it first")
        }
        "root user does not have root role" => (
            ErrorKind::InvalidArgument,
            "users are switched on only once the user `root` has the role `root`: grant it first",
        ),
        "revision of auth store is old" => {
            return Some(Meaning::new(
                ErrorKind::Unavailable,
                NotDone,
                "users or roles were changed meanwhile: try again",
            ));
        }
        _ => return None,
    };
    Some(Meaning::new(kind, Refused, advice))
}
