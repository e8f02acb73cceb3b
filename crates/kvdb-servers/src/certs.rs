//! Certificates for servers and clients of tests.

use crate::janitor;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The names that a server is called by; the last is what Consul asks for between servers.
const SERVER_NAMES: [&str; 4] = ["localhost", "127.0.0.1", "::1", "server.dc1.consul"];

/// An authority with a server and a client certificate, one of each that has expired, and a foreign authority with a
/// client of its own: P-256, PKCS#8, X.509 v3 with extended key usage, as PEM files of a directory that goes away with
/// this.
#[derive(Debug)]
pub struct Certs {
    dir: TempDir,
}

/// The files of a certificate and its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertFiles {
    /// The certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

#[derive(Clone, Copy)]
enum Life {
    Now,
    Past,
}

impl Certs {
    /// Makes them all; `client_name` is the common name of the clients, which is the user for an etcd with users.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn new(client_name: &str) -> io::Result<Self> {
        let certs = Self { dir: janitor::directory("kvdb-certs-")? };
        let authority = certs.authority("ca", "kvdb test authority")?;
        let foreign = certs.authority("foreign-ca", "foreign test authority")?;
        certs.server("server", &authority, Life::Now)?;
        certs.server("expired-server", &authority, Life::Past)?;
        certs.client("client", client_name, &authority, Life::Now)?;
        certs.client("expired-client", client_name, &authority, Life::Past)?;
        certs.client("foreign-client", client_name, &foreign, Life::Now)?;
        Ok(certs)
    }

    /// The authority that signs servers and clients.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// An authority that signed neither.
    #[must_use]
    pub fn foreign_ca(&self) -> PathBuf {
        self.path("foreign-ca.crt")
    }

    /// A server called localhost, 127.0.0.1, ::1 or server.dc1.consul.
    #[must_use]
    pub fn server_files(&self) -> CertFiles {
        self.files("server")
    }

    /// The same server, long expired.
    #[must_use]
    pub fn expired_server(&self) -> CertFiles {
        self.files("expired-server")
    }

    /// The client.
    #[must_use]
    pub fn client_files(&self) -> CertFiles {
        self.files("client")
    }

    /// The client, long expired.
    #[must_use]
    pub fn expired_client(&self) -> CertFiles {
        self.files("expired-client")
    }

    /// A client of the same name that the foreign authority signed.
    #[must_use]
    pub fn foreign_client(&self) -> CertFiles {
        self.files("foreign-client")
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn files(&self, name: &str) -> CertFiles {
        CertFiles { cert: self.path(&format!("{name}.crt")), key: self.path(&format!("{name}.key")) }
    }

    fn authority(&self, file: &str, name: &str) -> io::Result<CertifiedIssuer<'static, KeyPair>> {
        let mut params = params(&[], name, Life::Now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key()?).map_err(io::Error::other)?;
        write(&self.files(file).cert, &issuer.pem())?;
        Ok(issuer)
    }

    fn server(&self, file: &str, issuer: &CertifiedIssuer<'_, KeyPair>, life: Life) -> io::Result<()> {
        let mut params = params(&SERVER_NAMES, "localhost", life)?;
        // A server is a client of its peers too.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(file, params, issuer)
    }

    fn client(&self, file: &str, name: &str, issuer: &CertifiedIssuer<'_, KeyPair>, life: Life) -> io::Result<()> {
        let mut params = params(&[], name, life)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(file, params, issuer)
    }

    fn sign(&self, file: &str, mut params: CertificateParams, issuer: &CertifiedIssuer<'_, KeyPair>) -> io::Result<()> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = key()?;
        let certificate = params.signed_by(&key, issuer).map_err(io::Error::other)?;
        let files = self.files(file);
        write(&files.cert, &certificate.pem())?;
        write(&files.key, &key.serialize_pem())
    }
}

fn key() -> io::Result<KeyPair> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)
}

fn params(names: &[&str], common_name: &str, life: Life) -> io::Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    (params.not_before, params.not_after) = match life {
        Life::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2100, 1, 1)),
        Life::Past => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
    };
    Ok(params)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}
