use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use kvdb_core::options::duration;
use kvdb_core::{Error, ErrorKind, Limits, Result, Secret};
use reqwest::{Certificate, Identity, Url};
use serde::Deserialize;

/// The most bytes of a transaction's body: `limits.txn_max_req_len` of the agents, 512 KiB unless set.
pub(crate) const BODY_BYTES: usize = 512 << 10;

/// The most operations of a transaction up to Consul 1.13; later ones take 128.
pub(crate) const TXN_OPS: usize = 64;

/// What of a body is left for keys and the JSON around them: each may stand there four times with every character
/// escaped.
const KEY_ROOM: usize = 32 << 10;

const KEY_BYTES: usize = 2 << 10;

/// The options of a Consul store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsulConfig {
    /// The ACL token that every request carries.
    pub acl_token: Option<Secret>,
    /// The certificates in PEM that alone may vouch for the agents, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate in PEM, with [`ConsulConfig::cert_key_file`].
    pub cert_file: Option<PathBuf>,
    /// The key of [`ConsulConfig::cert_file`] in PEM.
    pub cert_key_file: Option<PathBuf>,
    /// The name that the agents' certificates must have, such as `server.dc1.consul`; that of the endpoint unless set.
    pub server_name: Option<String>,
    /// The reference library's name of [`ConsulConfig::server_name`].
    pub ca_auth_address: Option<String>,
    /// Takes any certificate of an agent: for tests.
    pub insecure_skip_verify: bool,
    /// `http` or `https`, for endpoints that do not say it themselves.
    pub transport_scheme: Option<Scheme>,
    /// The datacenter whose keys these are; that of the agent unless set.
    pub datacenter: Option<String>,
    /// How long making a connection may take. Default 5 s.
    #[serde(with = "duration")]
    pub dial_timeout: Duration,
    /// How long the agent holds a request of a watch when nothing changes, from 1 s to 10 minutes. A connection that
    /// died unnoticed is given up after one and a half of it; a store that was restored between two requests is noticed
    /// after one. Default 10 s.
    #[serde(with = "duration")]
    pub watch_wait: Duration,
}

impl Default for ConsulConfig {
    fn default() -> Self {
        Self {
            acl_token: None,
            ca_file: None,
            cert_file: None,
            cert_key_file: None,
            server_name: None,
            ca_auth_address: None,
            insecure_skip_verify: false,
            transport_scheme: None,
            datacenter: None,
            dial_timeout: Duration::from_secs(5),
            watch_wait: Duration::from_secs(10),
        }
    }
}

/// How agents are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// What the files and endpoints of a config say, checked; nothing is connected yet.
pub(crate) struct Settings {
    pub(crate) endpoints: Vec<Url>,
    pub(crate) authorities: Option<Vec<Certificate>>,
    pub(crate) identity: Option<Identity>,
    pub(crate) server_name: Option<String>,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidConfig, message.into())
}

impl ConsulConfig {
    pub(crate) fn settings(&self, endpoints: &[String]) -> Result<Settings> {
        if self.dial_timeout.is_zero() {
            return Err(invalid("`dial_timeout` is zero"));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(600)).contains(&self.watch_wait) {
            return Err(invalid("`watch_wait` is from 1 s to 10 minutes"));
        }
        let server_name = match (&self.server_name, &self.ca_auth_address) {
            (Some(one), Some(other)) if one != other => {
                return Err(invalid("`server_name` and `ca_auth_address` mean the same and differ"));
            }
            (one, other) => one.clone().or_else(|| other.clone()).filter(|name| !name.is_empty()),
        };
        let tls = self.ca_file.is_some()
            || self.cert_file.is_some()
            || self.cert_key_file.is_some()
            || server_name.is_some()
            || self.insecure_skip_verify;
        let endpoints = self.endpoints(endpoints, tls)?;
        if tls && endpoints.iter().any(|endpoint| endpoint.scheme() == "http") {
            return Err(invalid("options of TLS are set, but the endpoints are http: make them https"));
        }
        Ok(Settings { endpoints, authorities: self.authorities()?, identity: self.identity()?, server_name })
    }

    fn endpoints(&self, endpoints: &[String], tls: bool) -> Result<Vec<Url>> {
        let default = self.transport_scheme.unwrap_or(if tls { Scheme::Https } else { Scheme::Http });
        let given: Vec<&str> = endpoints.iter().map(String::as_str).filter(|endpoint| !endpoint.is_empty()).collect();
        let given = if given.is_empty() { vec!["127.0.0.1"] } else { given };
        let urls = given.into_iter().map(|endpoint| url(endpoint, default)).collect::<Result<Vec<_>>>()?;
        if urls.windows(2).any(|pair| matches!(pair, [one, other] if one.scheme() != other.scheme())) {
            return Err(invalid("the endpoints mix http and https"));
        }
        if let Some(scheme) = self.transport_scheme
            && urls.iter().any(|url| url.scheme() != scheme.to_string())
        {
            return Err(invalid(format!("`transport_scheme` is {scheme}, but an endpoint says otherwise")));
        }
        Ok(urls)
    }

    fn authorities(&self) -> Result<Option<Vec<Certificate>>> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let certificates = Certificate::from_pem_bundle(&read("ca_file", path)?)
            .map_err(|source| invalid("`ca_file` is not PEM").with_source(source))?;
        if certificates.is_empty() {
            return Err(invalid("`ca_file` holds no certificate"));
        }
        Ok(Some(certificates))
    }

    fn identity(&self) -> Result<Option<Identity>> {
        let (certificate, key) = match (&self.cert_file, &self.cert_key_file) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate, key),
            _ => return Err(invalid("`cert_file` and `cert_key_file` go together")),
        };
        let mut pem = read("cert_key_file", key)?;
        pem.push(b'\n');
        pem.extend(read("cert_file", certificate)?);
        // The cause is left out: it is about the key.
        let identity = Identity::from_pem(&pem)
            .map_err(|_| invalid("`cert_file` and `cert_key_file` are not a certificate and its key in PEM"))?;
        Ok(Some(identity))
    }

    /// What the store takes with these bounds of a TTL.
    pub(crate) fn limits((ttl_min, ttl_max): (Duration, Duration)) -> Limits {
        let value_bytes = (BODY_BYTES - KEY_ROOM) / 4 * 3;
        Limits {
            key_bytes: KEY_BYTES,
            value_bytes,
            // A write takes two operations, and deletions one more together.
            batch_ops: (TXN_OPS - 1) / 2,
            batch_bytes: value_bytes + KEY_BYTES,
            // A key has one session, and each put may name another.
            leases_per_batch: (TXN_OPS - 1) / 2,
            ttl_min,
            ttl_max: Some(ttl_max),
            ttl_granularity: Duration::from_millis(1),
            // Servers end a session up to one more TTL late; of the shortest, and as much again for the way.
            ttl_slack: ttl_min.saturating_mul(2),
        }
    }
}

fn read(option: &str, path: &PathBuf) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|source| invalid(format!("`{option}`: cannot read {}", path.display())).with_source(source))
}

fn url(endpoint: &str, default: Scheme) -> Result<Url> {
    let bad = |why: &str| {
        // Without what stands before an `@`, which may be a password.
        let shown = endpoint.rsplit_once('@').map_or(endpoint, |(_, host)| host);
        invalid(format!("endpoint `{}`: {why}", shown.escape_debug()))
    };
    let whole = match endpoint.contains("://") {
        true => endpoint.to_owned(),
        false => format!("{default}://{endpoint}"),
    };
    let mut url = Url::parse(&whole).map_err(|source| bad("it is not an address").with_source(source))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("its scheme is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("a token is given by the option `acl_token`"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(bad("it is a host and a port, without a path"));
    }
    // The port of a scheme is not kept, so whether one was named is looked up in the text.
    if url.port().is_none() && !names_port(&whole) {
        let port = if url.scheme() == "https" { 8501 } else { 8500 };
        url.set_port(Some(port)).map_err(|()| bad("it has no host"))?;
    }
    Ok(url)
}

fn names_port(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use kvdb_core::Options;

    use super::*;

    fn urls(config: &ConsulConfig, endpoints: &[&str]) -> Result<Vec<String>> {
        let endpoints: Vec<String> = endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect();
        Ok(config.settings(&endpoints)?.endpoints.iter().map(Url::to_string).collect())
    }

    #[test]
    fn endpoints_get_the_scheme_and_port_that_they_lack() {
        let plain = ConsulConfig::default();
        assert_eq!(urls(&plain, &[]).unwrap(), ["http://127.0.0.1:8500/"]);
        assert_eq!(
            urls(&plain, &["h1", "h2:80", "[::1]"]).unwrap(),
            ["http://h1:8500/", "http://h2/", "http://[::1]:8500/"]
        );
        assert_eq!(urls(&plain, &["https://h1/", "https://h2:443"]).unwrap(), ["https://h1:8501/", "https://h2/"]);
        let tls = ConsulConfig { server_name: Some("server.dc1.consul".into()), ..plain.clone() };
        assert_eq!(urls(&tls, &["h1:8501"]).unwrap(), ["https://h1:8501/"]);
        let https = ConsulConfig { transport_scheme: Some(Scheme::Https), ..plain };
        assert_eq!(urls(&https, &["h1"]).unwrap(), ["https://h1:8501/"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_any_connection() {
        let plain = ConsulConfig::default;
        let file = |text: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        };
        let (empty, junk) = (file(""), file("hunter2"));
        let path = |file: &tempfile::NamedTempFile| Some(file.path().to_owned());
        let cases: Vec<(ConsulConfig, &[&str], &str)> = vec![
            (plain(), &["http://a", "https://b"], "mix"),
            (plain(), &["ftp://a"], "neither"),
            (plain(), &["http://u:hunter2@a"], "acl_token"),
            (plain(), &["http://a/v1"], "path"),
            (plain(), &["a b"], "address"),
            (ConsulConfig { transport_scheme: Some(Scheme::Https), ..plain() }, &["http://a"], "transport_scheme"),
            (ConsulConfig { insecure_skip_verify: true, ..plain() }, &["http://a"], "https"),
            (ConsulConfig { cert_file: path(&junk), ..plain() }, &[], "go together"),
            (ConsulConfig { cert_key_file: path(&junk), ..plain() }, &[], "go together"),
            (ConsulConfig { cert_file: path(&junk), cert_key_file: path(&junk), ..plain() }, &[], "in PEM"),
            (ConsulConfig { ca_file: Some("/nowhere/ca.pem".into()), ..plain() }, &[], "cannot read"),
            (ConsulConfig { ca_file: path(&empty), ..plain() }, &[], "no certificate"),
            (
                ConsulConfig { server_name: Some("a".into()), ca_auth_address: Some("b".into()), ..plain() },
                &[],
                "differ",
            ),
            (ConsulConfig { watch_wait: Duration::from_millis(1), ..plain() }, &[], "watch_wait"),
            (ConsulConfig { dial_timeout: Duration::ZERO, ..plain() }, &[], "dial_timeout"),
        ];
        for (config, endpoints, why) in cases {
            let error = urls(&config, endpoints).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::InvalidConfig, "{error:?}");
            let text = format!("{error:?}");
            assert!(text.contains(why) && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn the_reference_librarys_names_are_understood_and_the_token_is_not_shown() {
        let options = Options::new()
            .set("ACLToken", "hunter2")
            .set("CAAuthAddress", "server.dc1.consul")
            .set("InsecureSkipVerify", "true")
            .set("TransportScheme", "https")
            .set("watch_wait", "30s");
        let config: ConsulConfig = options.backend_config().unwrap();
        assert_eq!(config.acl_token.as_ref().map(Secret::reveal), Some("hunter2"));
        assert_eq!(config.transport_scheme, Some(Scheme::Https));
        assert_eq!(config.watch_wait, Duration::from_secs(30));
        assert!(config.insecure_skip_verify && !format!("{config:?}").contains("hunter2"));
        let settings = config.settings(&[]).unwrap();
        assert_eq!(settings.server_name.as_deref(), Some("server.dc1.consul"));
        let error = Options::new().set("acl_tokn", "x").backend_config::<ConsulConfig>().unwrap_err();
        assert!(error.to_string().contains("acl_token"), "{error}");
    }
}
