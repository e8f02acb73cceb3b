//! What is wrong between the certificates, and what to do about it. The handshake comes before every request: nothing
//! was written.

use std::error::Error as StdError;

use kvdb_core::ErrorKind;
use rustls::{AlertDescription, CertificateError};

/// The kind and the advice, if this cause of an error is one of TLS that will not get better by itself.
pub(crate) fn verdict(cause: &(dyn StdError + 'static)) -> Option<(ErrorKind, &'static str)> {
    Some(match cause.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(problem) => (ErrorKind::Unauthenticated, theirs(problem)),
        rustls::Error::NoCertificatesPresented => (ErrorKind::Unauthenticated, "the agent shows no certificate"),
        rustls::Error::AlertReceived(alert) => (ErrorKind::Unauthenticated, ours(*alert)),
        rustls::Error::InvalidMessage(_) => {
            (ErrorKind::InvalidConfig, "what answers there does not speak TLS: is the endpoint http?")
        }
        _ => return None,
    })
}

fn theirs(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the agent's certificate has expired: renew it"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the agent's certificate is not valid yet: check the clocks"
        }
        CertificateError::UnknownIssuer => "the authority in `ca_file` has not signed the agent's certificate",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the agent's certificate is for other names: set `server_name` to one of them, or use it as endpoint"
        }
        _ => "the agent's certificate is not accepted: see `ca_file` and `server_name`",
    }
}

fn ours(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => {
            "the agent wants a certificate of ours: set `cert_file` and `cert_key_file`"
        }
        AlertDescription::CertificateExpired => "our certificate has expired: renew `cert_file`",
        AlertDescription::UnknownCA => "the agent does not trust the authority that signed `cert_file`",
        // Consul 1.8.7 says it of every certificate that it does not take, and of none.
        _ => "the agent refuses the TLS handshake: check `cert_file` and `cert_key_file`, which it may want",
    }
}
