//! The one table from what Consul, its HTTP API and the way there say to what kvdb says.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use kvdb_core::{Error, ErrorKind, Retry};

use crate::config::BODY_BYTES;
use crate::go::duration;
use crate::tls;

/// What kind of call failed: a write that was sent and not answered is ambiguous, a read never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Changes nothing, or may be repeated without harm.
    Read,
    /// Writes.
    Write,
}

impl Call {
    /// After the request was sent, with nothing said about what became of it.
    const fn unknown(self) -> Retry {
        match self {
            Self::Read => Retry::Safe,
            Self::Write => Retry::Ambiguous,
        }
    }
}

/// An answer that is a refusal, as the cause of an error.
#[derive(Debug)]
struct Answer {
    status: u16,
    text: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}: {}", self.status, self.text)
    }
}

impl StdError for Answer {}

/// What an answer means.
struct Meaning {
    kind: ErrorKind,
    retry: fn(Call) -> Retry,
    message: &'static str,
}

const NEVER: fn(Call) -> Retry = |_| Retry::Never;
const SAFE: fn(Call) -> Retry = |_| Retry::Safe;
const UNKNOWN: fn(Call) -> Retry = Call::unknown;

/// The error of an answer that is neither a success nor one of those a caller expects.
pub(crate) fn refused(call: Call, status: u16, body: &[u8]) -> Error {
    /// The longest text that is kept; Consul's own are far shorter.
    const SHOWN: usize = 300;
    let text: String = String::from_utf8_lossy(body).chars().take(SHOWN).collect();
    let text = text.trim();
    let Meaning { kind, retry, message } = meaning(status, text);
    Error::new(kind, message).with_retry(retry(call)).with_source(Answer { status, text: text.to_owned() })
}

fn meaning(status: u16, text: &str) -> Meaning {
    let is = |kind, retry, message| Meaning { kind, retry, message };
    // Servers pass on what the leader said with this in front.
    let said = text.strip_prefix("rpc error making call: ").unwrap_or(text);
    if let Some((min, max)) = ttl_bounds(said) {
        let kind = ErrorKind::TtlNotSupported { min, max: Some(max) };
        return is(kind, NEVER, "the servers' session_ttl_min and Consul's longest session say so");
    }
    if let Some(meaning) = identity(said) {
        return meaning;
    }
    if said.starts_with("failed session lookup") || said.starts_with("invalid session") {
        return is(ErrorKind::LeaseNotFound, NEVER, "the session was destroyed, ran out or never was");
    }
    match status {
        401 | 403 => is(ErrorKind::PermissionDenied, NEVER, DENIED),
        413 => is(ErrorKind::TooLarge { limit: BODY_BYTES }, NEVER, "the servers take at most so many bytes"),
        429 => is(ErrorKind::Unavailable, SAFE, "the agent has too many connections or requests from here"),
        400 => is(ErrorKind::InvalidArgument, NEVER, "the agent does not take the request"),
        500 => failed(said),
        502..=504 => is(ErrorKind::Unavailable, UNKNOWN, "what stands before the agent did not reach it"),
        _ => is(ErrorKind::InvalidConfig, NEVER, "what answers there is not Consul's HTTP API: check the endpoints"),
    }
}

const DENIED: &str = "the token (the option acl_token; none if unset) may not do this: key_prefix and session_prefix rules must cover the domain";

/// Refusals of the token, in every answer and for single operations of a transaction.
fn identity(said: &str) -> Option<Meaning> {
    let is = |kind, message| Some(Meaning { kind, retry: NEVER, message });
    if said.starts_with("Permission denied") {
        is(ErrorKind::PermissionDenied, DENIED)
    } else if said.starts_with("ACL not found") {
        is(ErrorKind::Unauthenticated, "the servers do not know the acl_token")
    } else {
        None
    }
}

/// A failure inside the servers. What was refused before it reached the leader's log was surely not written.
fn failed(said: &str) -> Meaning {
    let is = |kind, retry, message| Meaning { kind, retry, message };
    let no_quorum = |retry| is(ErrorKind::NoQuorum, retry, "the servers have no leader");
    if said.starts_with("No cluster leader") || said.starts_with("Raft leader not found in server lookup mapping") {
        no_quorum(SAFE)
    } else if said.starts_with("node is not the leader") || said.starts_with("timed out enqueuing operation") {
        is(ErrorKind::Unavailable, SAFE, "the leader is changing")
    } else if said.starts_with("leadership lost while committing log") {
        is(ErrorKind::Unavailable, UNKNOWN, "the leader changed")
    } else if said.starts_with("rpc error getting client") {
        is(ErrorKind::Unavailable, SAFE, "the agent cannot reach the leader")
    } else if said.starts_with("No path to datacenter") {
        is(ErrorKind::InvalidConfig, NEVER, "the servers know no such datacenter")
    } else {
        is(ErrorKind::Unavailable, UNKNOWN, "the servers failed")
    }
}

/// What one operation of a transaction said, where it is not about the key's state.
pub(crate) fn operation_refused(what: &str) -> Option<Error> {
    let said = what.strip_prefix("rpc error making call: ").unwrap_or(what);
    let answer = || Answer { status: 409, text: what.to_owned() };
    if let Some(Meaning { kind, message, .. }) = identity(said) {
        return Some(Error::new(kind, message).with_source(answer()));
    }
    if said.starts_with("invalid session") || said.starts_with("failed session lookup") {
        return Some(lease_gone());
    }
    said.ends_with("due to lock delay").then(|| {
        Error::new(ErrorKind::Unavailable, "a session of somebody else held the key, and its lock delay runs")
            .with_retry(Retry::Safe)
            .with_source(answer())
    })
}

pub(crate) fn lease_gone() -> Error {
    Error::new(ErrorKind::LeaseNotFound, "the session was destroyed, ran out or never was")
}

/// The bounds in `Invalid Session TTL '1', must be between [10s=24h0m0s]`.
fn ttl_bounds(said: &str) -> Option<(Duration, Duration)> {
    let bounds = said.strip_prefix("Invalid Session TTL")?.rsplit_once('[')?.1.strip_suffix(']')?;
    let (min, max) = bounds.split_once('=')?;
    Some((duration(min)?, duration(max)?))
}

/// A request that got no answer.
pub(crate) fn unanswered(call: Call, source: reqwest::Error) -> Error {
    let source = source.without_url();
    let error = match causes(&source).find_map(tls::verdict) {
        Some((kind, advice)) => Error::new(kind, advice),
        None if source.is_connect() => {
            Error::new(ErrorKind::Unavailable, "the agent cannot be reached").with_retry(Retry::Safe)
        }
        None if source.is_builder() => Error::invalid("the request cannot be written"),
        None => Error::new(ErrorKind::Unavailable, "the connection broke").with_retry(call.unknown()),
    };
    error.with_source(source)
}

/// A request that was not answered for too long.
pub(crate) fn silent(call: Call, limit: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the agent was silent for {limit:?}")).with_retry(call.unknown())
}

/// An answer that cannot be read. What was written then stands.
pub(crate) fn garbled(call: Call, source: serde_json::Error) -> Error {
    let retry = if call == Call::Write { Retry::Ambiguous } else { Retry::Never };
    Error::new(ErrorKind::Internal, "the agent's answer is not what its API says").with_retry(retry).with_source(source)
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        // Its `source` is that of the error inside, not that error.
        Some(error) => error.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: Retry = Retry::Never;
    const YES: Retry = Retry::Safe;
    const MAYBE: Retry = Retry::Ambiguous;

    #[test]
    fn each_answer_has_a_kind_and_a_retry_class() {
        use ErrorKind as K;
        let second = Duration::from_secs(1);
        let table = [
            (403, "Permission denied", K::PermissionDenied, NO, NO),
            (403, "Permission denied: token with AccessorID 'x' lacks permission", K::PermissionDenied, NO, NO),
            (403, "rpc error making call: Permission denied", K::PermissionDenied, NO, NO),
            (403, "ACL not found", K::Unauthenticated, NO, NO),
            (403, "rpc error making call: ACL not found", K::Unauthenticated, NO, NO),
            (403, "ACL support disabled", K::PermissionDenied, NO, NO),
            (401, "", K::PermissionDenied, NO, NO),
            (413, "Request body(524289 bytes) too large", K::TooLarge { limit: 512 << 10 }, NO, NO),
            (429, "Your IP is issuing too many concurrent connections", K::Unavailable, YES, YES),
            (400, "Failed to parse body", K::InvalidArgument, NO, NO),
            (500, "No cluster leader", K::NoQuorum, YES, YES),
            (500, "rpc error making call: No cluster leader", K::NoQuorum, YES, YES),
            (500, "Raft leader not found in server lookup mapping", K::NoQuorum, YES, YES),
            (500, "node is not the leader", K::Unavailable, YES, YES),
            (500, "rpc error making call: node is not the leader", K::Unavailable, YES, YES),
            (500, "timed out enqueuing operation", K::Unavailable, YES, YES),
            (500, "leadership lost while committing log", K::Unavailable, YES, MAYBE),
            (500, "rpc error getting client: failed to get conn: refused", K::Unavailable, YES, YES),
            (500, "rpc error making call: EOF", K::Unavailable, YES, MAYBE),
            (500, "rpc error making call: stream closed", K::Unavailable, YES, MAYBE),
            (500, "No path to datacenter", K::InvalidConfig, NO, NO),
            (500, "anything else", K::Unavailable, YES, MAYBE),
            (500, "failed session lookup: index error: UUID must be 36 characters", K::LeaseNotFound, NO, NO),
            (502, "", K::Unavailable, YES, MAYBE),
            (503, "", K::Unavailable, YES, MAYBE),
            (504, "", K::Unavailable, YES, MAYBE),
            (301, "Moved", K::InvalidConfig, NO, NO),
            (404, "404 page not found", K::InvalidConfig, NO, NO),
            (
                500,
                "Invalid Session TTL '1', must be between [1s=24h0m0s]",
                K::TtlNotSupported { min: second, max: Some(24 * 3600 * second) },
                NO,
                NO,
            ),
            (
                500,
                "rpc error making call: Invalid Session TTL '1', must be between [1m30s=24h0m0s]",
                K::TtlNotSupported { min: 90 * second, max: Some(24 * 3600 * second) },
                NO,
                NO,
            ),
        ];
        for (status, text, kind, read, write) in table {
            for (call, retry) in [(Call::Read, read), (Call::Write, write)] {
                let error = refused(call, status, text.as_bytes());
                assert_eq!((error.kind(), error.retry()), (&kind, retry), "{status} {text} of a {call:?}");
                assert!(error.source().is_some_and(|cause| cause.to_string().contains(&status.to_string())));
            }
        }
    }

    #[test]
    fn each_refusal_of_an_operation_is_told_from_what_is_about_the_keys_state() {
        let session = "00000000-0000-0000-0000-000000000000";
        let table = [
            ("Permission denied".to_owned(), Some((ErrorKind::PermissionDenied, NO))),
            ("rpc error making call: Permission denied".to_owned(), Some((ErrorKind::PermissionDenied, NO))),
            ("ACL not found".to_owned(), Some((ErrorKind::Unauthenticated, NO))),
            (format!("invalid session \"{session}\""), Some((ErrorKind::LeaseNotFound, NO))),
            ("failed session lookup: index error".to_owned(), Some((ErrorKind::LeaseNotFound, NO))),
            ("failed to lock key \"a\" due to lock delay".to_owned(), Some((ErrorKind::Unavailable, YES))),
            ("failed to set key \"Permission denied\", index is stale".to_owned(), None),
            ("key \"invalid session\" doesn't exist".to_owned(), None),
        ];
        for (what, expected) in table {
            let found = operation_refused(&what).map(|error| (error.kind().clone(), error.retry()));
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn a_long_answer_is_cut() {
        let error = refused(Call::Read, 500, "x".repeat(100_000).as_bytes());
        assert!(format!("{error:?}").len() < 1000);
    }
}
