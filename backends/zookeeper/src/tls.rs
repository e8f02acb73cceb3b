//! TLS: whom we trust and what we show.

use std::path::Path;
use std::sync::Arc;

use kvdb_core::Result;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use zookeeper::TlsOptions;

use crate::config::{ZooKeeperConfig, invalid};

/// How connections are secured: for the client, and for those that we make ourselves.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) options: TlsOptions,
    pub(crate) config: Arc<ClientConfig>,
}

impl Tls {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// `InvalidConfig` naming the option and the way out.
    pub(crate) fn new(config: &ZooKeeperConfig) -> Result<Self> {
        // The client makes its own config by the process's default, and panics where that is not clear.
        if CryptoProvider::get_default().is_none() {
            // Somebody else may be first.
            let _ = aws_lc_rs::default_provider().install_default();
        }
        let Some(path) = &config.ca_file else {
            return Err(invalid(
                "https needs `ca_file`, the authorities to trust: your own, or the system's, often \
                 /etc/ssl/certs/ca-certificates.crt",
            ));
        };
        let ca = text("ca_file", path)?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates("ca_file", path, &ca)? {
            roots.add(certificate).map_err(|source| {
                invalid(format!("`ca_file`: {} has a certificate that cannot be read", path.display()))
                    .with_source(source)
            })?;
        }
        let options = TlsOptions::new()
            .with_pem_ca(&ca)
            .map_err(|_| invalid(format!("`ca_file`: {} has no authority to trust", path.display())))?;
        let builder = ClientConfig::builder().with_root_certificates(roots);
        match (&config.cert_file, &config.cert_key_file) {
            (None, None) => Ok(Self { options, config: Arc::new(builder.with_no_client_auth()) }),
            (Some(_), None) => Err(invalid("`cert_file` needs its private key: set `cert_key_file`")),
            (None, Some(_)) => Err(invalid("`cert_key_file` needs its certificate: set `cert_file`")),
            (Some(certificate), Some(key)) => {
                let (chain, secret) = (text("cert_file", certificate)?, text("cert_key_file", key)?);
                // What is wrong with the key is not kept as a source: it could quote it.
                let wrong = || {
                    invalid(format!(
                        "`cert_key_file`: {} has no unencrypted private key (-----BEGIN PRIVATE KEY-----)",
                        key.display()
                    ))
                };
                let private = PrivateKeyDer::from_pem_slice(secret.as_bytes()).map_err(|_| wrong())?;
                let shown = certificates("cert_file", certificate, &chain)?;
                let mismatch = "`cert_key_file` is not the key of `cert_file`: give the two that were made together";
                let config = builder
                    .with_client_auth_cert(shown, private)
                    .map_err(|source| invalid(mismatch).with_source(source))?;
                let options = options.with_pem_identity(&chain, &secret).map_err(|_| wrong())?;
                Ok(Self { options, config: Arc::new(config) })
            }
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

fn text(option: &str, path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|source| invalid(format!("`{option}`: cannot read {}", path.display())).with_source(source))
}

fn certificates(option: &str, path: &Path, pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| invalid(format!("`{option}`: {} is not a PEM file", path.display())))?;
    match found.is_empty() {
        true => {
            Err(invalid(format!("`{option}`: {} has no certificate (-----BEGIN CERTIFICATE-----)", path.display())))
        }
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use kvdb_core::ErrorKind;

    use super::*;

    #[test]
    fn files_that_cannot_do_are_refused_and_not_shown() {
        let file = |text: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        };
        let (junk, certs) = (file("hunter2"), kvdb_servers::Certs::new("client").unwrap());
        let (ca, client) = (Some(certs.ca()), certs.client_files());
        let foreign = certs.foreign_client();
        let path = |file: &tempfile::NamedTempFile| Some(file.path().to_owned());
        let plain = ZooKeeperConfig::default;
        for (config, why) in [
            (plain(), "`ca_file`"),
            (ZooKeeperConfig { ca_file: Some("/nowhere/ca.pem".into()), ..plain() }, "cannot read"),
            (ZooKeeperConfig { ca_file: path(&junk), ..plain() }, "no certificate"),
            (ZooKeeperConfig { ca_file: ca.clone(), cert_file: path(&junk), ..plain() }, "`cert_key_file`"),
            (ZooKeeperConfig { ca_file: ca.clone(), cert_key_file: path(&junk), ..plain() }, "`cert_file`"),
            (
                ZooKeeperConfig {
                    ca_file: ca.clone(),
                    cert_file: Some(client.cert.clone()),
                    cert_key_file: path(&junk),
                    ..plain()
                },
                "no unencrypted private key",
            ),
            (
                ZooKeeperConfig {
                    ca_file: ca.clone(),
                    cert_file: Some(client.cert.clone()),
                    cert_key_file: Some(foreign.key),
                    ..plain()
                },
                "made together",
            ),
        ] {
            let error = Tls::new(&config).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::InvalidConfig, "{error:?}");
            let text = format!("{error:?}");
            assert!(text.contains(why) && !text.contains("hunter2"), "{text}");
        }
        let whole =
            ZooKeeperConfig { ca_file: ca, cert_file: Some(client.cert), cert_key_file: Some(client.key), ..plain() };
        assert!(Tls::new(&whole).is_ok());
    }
}
