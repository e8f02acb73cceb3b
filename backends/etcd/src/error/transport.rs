//! What came of calls that no server answered.

use std::error::Error as StdError;

use kvdb_core::ErrorKind;
use rustls::{AlertDescription, CertificateError};
use tonic::Status;

use super::{Fate, Meaning};
use crate::router::{DialError, Lost, Unreached};

/// What a status means that does not come from a server.
pub(super) fn meaning(status: &Status) -> Option<Meaning> {
    let source = status.source()?;
    if let Some(unreached) = source.downcast_ref::<Unreached>() {
        return Some(unreached_meaning(unreached));
    }
    if let Some(lost) = source.downcast_ref::<Lost>() {
        return Some(Meaning::new(ErrorKind::Unavailable, Fate::Unknown, lost.to_string()));
    }
    // A stream broke off in the middle.
    source
        .downcast_ref::<hyper::Error>()
        .map(|broken| Meaning::new(ErrorKind::Unavailable, Fate::Unknown, format!("the stream broke: {broken}")))
}

/// While one endpoint may come back it is unavailable; once all refuse for good, it is as the first one says.
fn unreached_meaning(unreached: &Unreached) -> Meaning {
    let verdicts: Option<Vec<_>> = unreached.errors().map(verdict).collect();
    match verdicts.and_then(|verdicts| verdicts.into_iter().next()) {
        Some((kind, advice)) => Meaning::new(kind, Fate::Refused, format!("{unreached} ({advice})")),
        None => Meaning::new(ErrorKind::Unavailable, Fate::NotDone, format!("no endpoint can be reached: {unreached}")),
    }
}

/// What will not get better by itself.
fn verdict(error: &DialError) -> Option<(ErrorKind, &'static str)> {
    let DialError::Tls(error) = error else { return None };
    Some(match error {
        rustls::Error::InvalidCertificate(problem) => (ErrorKind::Unauthenticated, server_certificate(problem)),
        rustls::Error::AlertReceived(alert) => client_certificate(*alert)?,
        _ => return None,
    })
}

fn server_certificate(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired: renew it"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: check the clocks"
        }
        CertificateError::UnknownIssuer => "the authority in `ca_file` has not signed the server's certificate",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for other names: set `server_name` to one of them, or use it as endpoint"
        }
        CertificateError::Revoked => "the server's certificate was revoked: renew it",
        _ => "the server's certificate is not accepted: see `ca_file` and `server_name`",
    }
}

fn client_certificate(alert: AlertDescription) -> Option<(ErrorKind, &'static str)> {
    let advice = match alert {
        AlertDescription::CertificateRequired => {
            "the server wants a certificate of ours: set `cert_file` and `cert_key_file`"
        }
        AlertDescription::CertificateExpired => "our certificate has expired: renew `cert_file`",
        AlertDescription::UnknownCA => "the server does not trust the authority that signed `cert_file`",
        // Also what a server says that has not got the certificate it wants.
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => {
            "the server does not accept our certificate: check `cert_file` and `cert_key_file`"
        }
        _ => return None,
    };
    Some((ErrorKind::Unauthenticated, advice))
}
