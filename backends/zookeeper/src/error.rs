//! The one table from what ZooKeeper, its client and the way there say to what kvdb says.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use kvdb_core::{Capabilities, Error, ErrorKind, Retry};
use zookeeper::Error as Cause;

use crate::config::REQUEST_BYTES;

/// What kind of call failed: a write that was sent and not answered is ambiguous, a read never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Changes nothing, or may be repeated without harm.
    Read,
    /// Writes.
    Write,
}

impl Call {
    /// After the request may have been sent, with nothing said about what became of it.
    const fn unknown(self) -> Retry {
        match self {
            Self::Read => Retry::Safe,
            Self::Write => Retry::Ambiguous,
        }
    }

    /// The same of a failure that will come again.
    const fn broken(self) -> Retry {
        match self {
            Self::Read => Retry::Never,
            Self::Write => Retry::Ambiguous,
        }
    }
}

/// The error of a call that failed so.
pub(crate) fn explain(call: Call, cause: Cause) -> Error {
    use ErrorKind as K;
    let (kind, retry, message) = match &cause {
        // Whatever broke the connection comes as a custom error too.
        Cause::ConnectionLoss | Cause::Custom(_) => (K::Unavailable, call.unknown(), "the connection broke"),
        Cause::SessionExpired => (K::Unavailable, call.unknown(), "the session expired"),
        Cause::SessionMoved => (K::Unavailable, Retry::Safe, "the session has moved to another server"),
        Cause::ClientClosed => (K::Unavailable, call.unknown(), "the session was closed"),
        Cause::Throttled => (K::Unavailable, Retry::Safe, "the server has too much to do"),
        Cause::NotReadOnly => (K::NoQuorum, Retry::Safe, "the server has no quorum and takes no writes"),
        Cause::NoHosts | Cause::Timeout => (K::Unavailable, Retry::Safe, "no server can be reached"),
        Cause::NoAuth => (K::PermissionDenied, Retry::Never, "the user may not do this with the znode"),
        Cause::AuthFailed => (K::Unauthenticated, Retry::Never, "the servers refuse who we say we are"),
        Cause::InvalidAcl => (K::PermissionDenied, Retry::Never, "the servers do not take the user's rights"),
        Cause::QuotaExceeded => (K::StorageFull, Retry::Never, "a quota of ZooKeeper is used up"),
        Cause::NotEmpty => (K::NotEmpty, Retry::Never, "somebody else put znodes below the one of the key's value"),
        Cause::NoChildrenForEphemerals => {
            (K::InvalidArgument, Retry::Never, "somebody else's ephemeral znode is where a directory must be")
        }
        Cause::NoNode | Cause::NodeExists | Cause::BadVersion => {
            (K::Contention, Retry::Safe, "others kept changing the znodes; try again later")
        }
        Cause::Unimplemented => {
            (K::InvalidConfig, Retry::Never, "the server is older than ZooKeeper 3.6, which this store needs")
        }
        Cause::ReconfigDisabled => (K::Unsupported(Capabilities::MEMBERS), Retry::Never, "reconfiguration is disabled"),
        Cause::BadArguments(_) => (K::InvalidArgument, Retry::Never, "ZooKeeper does not take the request"),
        Cause::MarshallingError => (K::TooLarge { limit: REQUEST_BYTES }, Retry::Never, "the server cannot read it"),
        Cause::UnmarshalError { .. } | Cause::UnexpectedError(_) | Cause::UnexpectedErrorCode(_) => {
            (K::Internal, call.broken(), "the server answers what the client does not understand")
        }
        // NoWatcher, RuntimeInconsistent, and what later versions of the client may have.
        _ => (K::Internal, call.broken(), "the client failed"),
    };
    Error::new(kind, message).with_retry(retry).with_source(cause)
}

/// Whether a call failed with its connection: all that was read from it counts no more.
pub(crate) fn is_lost(error: &Error) -> bool {
    *error.kind() == ErrorKind::Unavailable
}

pub(crate) fn lease_gone() -> Error {
    Error::new(ErrorKind::LeaseNotFound, "the lease ran out, was revoked or is another handle's")
}

pub(crate) fn contention() -> Error {
    Error::new(ErrorKind::Contention, "others kept changing the keys; try again later").with_retry(Retry::Safe)
}

pub(crate) fn mismatched() -> Error {
    Error::new(ErrorKind::Internal, "the answer does not have what was asked for").with_retry(Retry::Ambiguous)
}

/// A server that could not be reached or spoken to, before anything was asked.
pub(crate) fn unreached(source: io::Error) -> Error {
    let error = match causes(&source).find_map(tls_cause) {
        Some((kind, message)) => Error::new(kind, message),
        None => Error::new(ErrorKind::Unavailable, "the server cannot be reached").with_retry(Retry::Safe),
    };
    error.with_source(source)
}

/// A server that says nothing.
pub(crate) fn silent(limit: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the server was silent for {limit:?}")).with_retry(Retry::Safe)
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        // Its `source` is that of the error inside, not that error.
        Some(error) => error.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    })
}

fn tls_cause(cause: &(dyn StdError + 'static)) -> Option<(ErrorKind, &'static str)> {
    match cause.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => Some((
            ErrorKind::Unauthenticated,
            "the server's certificate is not the one that ca_file and its name ask for",
        )),
        rustls::Error::AlertReceived(_) => Some((
            ErrorKind::Unauthenticated,
            "the server refuses the TLS handshake: it may want a certificate of its CA",
        )),
        rustls::Error::InvalidMessage(_) => {
            Some((ErrorKind::InvalidConfig, "what answers there does not speak TLS: is the endpoint http?"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_a_kind_and_a_retry_class() {
        use ErrorKind as K;
        const NO: Retry = Retry::Never;
        const YES: Retry = Retry::Safe;
        const MAYBE: Retry = Retry::Ambiguous;
        for (cause, kind, read, write) in [
            (Cause::ConnectionLoss, K::Unavailable, YES, MAYBE),
            (Cause::SessionExpired, K::Unavailable, YES, MAYBE),
            (Cause::ClientClosed, K::Unavailable, YES, MAYBE),
            (Cause::SessionMoved, K::Unavailable, YES, YES),
            (Cause::Throttled, K::Unavailable, YES, YES),
            (Cause::NotReadOnly, K::NoQuorum, YES, YES),
            (Cause::NoHosts, K::Unavailable, YES, YES),
            (Cause::Timeout, K::Unavailable, YES, YES),
            (Cause::NoAuth, K::PermissionDenied, NO, NO),
            (Cause::AuthFailed, K::Unauthenticated, NO, NO),
            (Cause::InvalidAcl, K::PermissionDenied, NO, NO),
            (Cause::QuotaExceeded, K::StorageFull, NO, NO),
            (Cause::NotEmpty, K::NotEmpty, NO, NO),
            (Cause::NoChildrenForEphemerals, K::InvalidArgument, NO, NO),
            (Cause::NoNode, K::Contention, YES, YES),
            (Cause::NodeExists, K::Contention, YES, YES),
            (Cause::BadVersion, K::Contention, YES, YES),
            (Cause::Unimplemented, K::InvalidConfig, NO, NO),
            (Cause::ReconfigDisabled, K::Unsupported(Capabilities::MEMBERS), NO, NO),
            (Cause::BadArguments(&"x"), K::InvalidArgument, NO, NO),
            (Cause::MarshallingError, K::TooLarge { limit: 0xf_ffff }, NO, NO),
            (Cause::UnexpectedError("x".to_owned()), K::Internal, NO, MAYBE),
            (Cause::UnexpectedErrorCode(-7), K::Internal, NO, MAYBE),
            (Cause::UnmarshalError { entity: "x", reason: &"y" }, K::Internal, NO, MAYBE),
            (Cause::NoWatcher, K::Internal, NO, MAYBE),
            (Cause::RuntimeInconsistent, K::Internal, NO, MAYBE),
        ] {
            for (call, retry) in [(Call::Read, read), (Call::Write, write)] {
                let error = explain(call, cause.clone());
                assert_eq!((error.kind(), error.retry()), (&kind, retry), "{cause:?} of a {call:?}");
                assert!(error.source().is_some());
            }
        }
    }

    #[test]
    fn what_is_wrong_with_certificates_is_told_from_what_is_out_of_reach() {
        let wrapped = |inner: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, inner);
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        for (cause, kind, retry) in [
            (wrapped(expired), ErrorKind::Unauthenticated, Retry::Never),
            (wrapped(alert), ErrorKind::Unauthenticated, Retry::Never),
            (io::Error::from(io::ErrorKind::ConnectionRefused), ErrorKind::Unavailable, Retry::Safe),
        ] {
            let error = unreached(cause);
            assert_eq!((error.kind(), error.retry()), (&kind, retry));
        }
    }
}
