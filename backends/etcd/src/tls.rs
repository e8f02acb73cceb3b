//! TLS: whom we trust and what we show.

use std::sync::Arc;

use http::uri::Scheme;
use kvdb_core::Result;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::config::{EtcdConfig, invalid, set};

/// HTTP/2, as TLS names it.
pub(crate) const HTTP2: &[u8] = b"h2";

/// How connections of one store are secured.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    /// The name certificates must have; the endpoint's host if none.
    pub(crate) name: Option<ServerName<'static>>,
}

impl Tls {
    /// What the options ask for; none for http. Reads and checks the files.
    ///
    /// # Errors
    /// `InvalidConfig` naming the option and the way out.
    pub(crate) fn new(scheme: &Scheme, config: &EtcdConfig) -> Result<Option<Self>> {
        let identity = config.identity()?;
        if *scheme != Scheme::HTTPS {
            return Ok(None);
        }
        // The process's own choice, if it made one.
        let provider = CryptoProvider::get_default().cloned();
        let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|source| invalid("the process's crypto provider has no TLS 1.2 or 1.3").with_source(source))?;
        let builder = match (config.authorities(), config.insecure_skip_verify) {
            (Some((option, path)), false) => builder.with_root_certificates(trusted(option, path)?),
            (None, true) => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
            (Some((option, _)), true) => {
                return Err(invalid(format!("`{option}` and `insecure_skip_verify` exclude each other: remove one")));
            }
            (None, false) => {
                return Err(invalid(
                    "https needs `ca_file`, the authorities to trust: your own, or the system's, often \
                     /etc/ssl/certs/ca-certificates.crt",
                ));
            }
        };
        let mut tls = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, key) = (certificates("cert_file", certificate)?, private_key(key)?);
                builder.with_client_auth_cert(chain, key).map_err(|source| {
                    invalid("`cert_key_file` is not the key of `cert_file`: give the two that were made together")
                        .with_source(source)
                })?
            }
        };
        tls.alpn_protocols.push(HTTP2.to_vec());
        let name = match set(config.server_name.as_deref()) {
            None => None,
            Some(name) => Some(ServerName::try_from(name.to_owned()).map_err(|source| {
                invalid("`server_name` is neither a host name nor an address").with_source(source)
            })?),
        };
        Ok(Some(Self { config: Arc::new(tls), name }))
    }
}

fn trusted(option: &str, path: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(option, path)? {
        roots.add(certificate).map_err(|source| {
            let path = path.escape_debug();
            invalid(format!("`{option}`: `{path}` has a certificate that cannot be read")).with_source(source)
        })?;
    }
    Ok(roots)
}

fn certificates(option: &str, path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let shown = path.escape_debug();
    let found = CertificateDer::pem_slice_iter(&read(option, path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| invalid(format!("`{option}`: `{shown}` is not a PEM file")))?;
    match found.is_empty() {
        true => Err(invalid(format!("`{option}`: `{shown}` has no certificate (-----BEGIN CERTIFICATE-----)"))),
        false => Ok(found),
    }
}

/// What is wrong with the file is not kept as a source: it could quote the key.
fn private_key(path: &str) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&read("cert_key_file", path)?).map_err(|_| {
        let path = path.escape_debug();
        invalid(format!("`cert_key_file`: `{path}` has no unencrypted private key (-----BEGIN PRIVATE KEY-----)"))
    })
}

fn read(option: &str, path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| {
        invalid(format!("`{option}`: cannot read `{}`: {source}", path.escape_debug())).with_source(source)
    })
}

/// Takes any certificate, of any name; the server must still have its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
