//! The one table from what etcd and its client say to what kvdb says.
//!
//! A server's message decides first: several of etcd's errors arrive with the wrong code. What the table does not know
//! falls back to its gRPC code, and there a write that was sent counts as ambiguous.
//!
//! Certificates: that we do not accept the server's, or the server ours, is `Unauthenticated`, as on every store, and not
//! tried again.

mod messages;
mod transport;

use std::borrow::Cow;

use kvdb_core::{Error, ErrorKind, Retry};
use tonic::{Code, Status};

/// What kind of call failed: a write that was sent and not answered is ambiguous, a read never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Changes nothing, or may be repeated without harm.
    Read,
    /// Writes.
    Write,
}

/// What became of the call that an error answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Refused: the same call fails again.
    Refused,
    /// Surely not done, and the next moment may be better.
    NotDone,
    /// Done or not.
    Unknown,
}

/// What an error means.
#[derive(Debug)]
struct Meaning {
    kind: ErrorKind,
    fate: Fate,
    message: Cow<'static, str>,
}

impl Meaning {
    fn new(kind: ErrorKind, fate: Fate, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, fate, message: message.into() }
    }

    fn error(self, call: Call) -> Error {
        let retry = match (self.fate, call) {
            (Fate::Refused, _) => Retry::Never,
            (Fate::NotDone, _) | (Fate::Unknown, Call::Read) => Retry::Safe,
            (Fate::Unknown, Call::Write) => Retry::Ambiguous,
        };
        Error::new(self.kind, self.message).with_retry(retry)
    }
}

/// The error of a failed call.
pub(crate) fn error(call: Call, source: etcd_client::Error) -> Error {
    use etcd_client::Error as Client;
    let (kind, fate, message) = match source {
        Client::GRpcStatus(status) => return status_error(call, status),
        Client::TransportError(_) | Client::IoError(_) => {
            (ErrorKind::Unavailable, Fate::Unknown, "the connection to etcd broke")
        }
        Client::WatchError(_) | Client::LeaseKeepAliveError(_) => {
            (ErrorKind::Unavailable, Fate::NotDone, "the stream from etcd has ended")
        }
        Client::InvalidArgs(_) | Client::InvalidUri(_) => {
            (ErrorKind::InvalidArgument, Fate::Refused, "etcd's client refuses the arguments")
        }
        Client::Utf8Error(_) => (ErrorKind::Serialization, Fate::Refused, "etcd answered text that is not UTF-8"),
        Client::InvalidMetadataValue(_)
        | Client::ElectError(_)
        | Client::EndpointError(_)
        | Client::EndpointsNotManaged
        | Client::Internal(_) => (ErrorKind::Internal, Fate::Unknown, "etcd's client failed"),
    };
    Meaning::new(kind, fate, message).error(call).with_source(source)
}

/// The error that a status or the reason of a cancelled watch tells.
pub(crate) fn status_error(call: Call, status: Status) -> Error {
    meaning(&status).error(call).with_source(status)
}

fn meaning(status: &Status) -> Meaning {
    transport::meaning(status)
        .or_else(|| messages::meaning(status.message()))
        .unwrap_or_else(|| by_code(status.code(), status.message()))
}

/// What a message that nobody knows means.
fn by_code(code: Code, message: &str) -> Meaning {
    use Fate::{NotDone, Refused, Unknown};
    let said = || message.escape_debug().to_string();
    match code {
        Code::Unavailable => {
            Meaning::new(ErrorKind::Unavailable, Unknown, format!("etcd is not available: {}", said()))
        }
        Code::Cancelled | Code::Aborted | Code::ResourceExhausted => {
            Meaning::new(ErrorKind::Unavailable, Unknown, format!("etcd gave the call up: {}", said()))
        }
        Code::DeadlineExceeded => Meaning::new(ErrorKind::Timeout, Unknown, "the server's own deadline passed"),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            Meaning::new(ErrorKind::InvalidArgument, Refused, format!("etcd refuses: {}", said()))
        }
        Code::NotFound => Meaning::new(ErrorKind::NotFound, Refused, format!("etcd does not find it: {}", said())),
        Code::AlreadyExists => Meaning::new(ErrorKind::AlreadyExists, Refused, format!("etcd has it: {}", said())),
        Code::PermissionDenied => Meaning::new(ErrorKind::PermissionDenied, Refused, format!("refused: {}", said())),
        Code::Unauthenticated => Meaning::new(ErrorKind::Unauthenticated, Refused, format!("refused: {}", said())),
        Code::DataLoss => Meaning::new(ErrorKind::Corrupt, Unknown, format!("etcd lost data: {}", said())),
        Code::Unimplemented => Meaning::new(
            ErrorKind::InvalidConfig,
            NotDone,
            "what answers there does not know this call: it is no etcd of version 3.4 or later",
        ),
        Code::Ok | Code::Unknown | Code::Internal => {
            Meaning::new(ErrorKind::Internal, Unknown, format!("etcd failed: {}", said()))
        }
    }
}

#[cfg(test)]
mod tests;
