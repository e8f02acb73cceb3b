use std::time::Duration;

use kvdb_core::options::{Secret, duration};
use kvdb_core::{Error, ErrorKind, Options, Result};
use serde::Deserialize;

/// The options of an etcd store. All are checked before anything is connected.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EtcdConfig {
    /// Who we are; needs `password`.
    pub username: Option<String>,
    /// The password of `username`.
    pub password: Option<Secret>,
    /// A PEM file of the authorities that may have signed the servers' certificates; no others are trusted.
    pub ca_file: Option<String>,
    /// The same, under the reference library's other name; it wins over `ca_file`.
    pub trusted_ca_file: Option<String>,
    /// A PEM file of the certificate that we show to servers, with those between it and its authority; needs
    /// `cert_key_file`.
    pub cert_file: Option<String>,
    /// A PEM file of the private key of `cert_file`.
    pub cert_key_file: Option<String>,
    /// Whether servers want a certificate of ours: `true` makes `cert_file` and `cert_key_file` obligatory.
    pub client_cert_auth: bool,
    /// `http` or `https`: the scheme of endpoints without one. Unset it is `https` as soon as an option of TLS is given.
    pub transport_scheme: Option<String>,
    /// Whether to talk to servers whose certificate proves nothing; not together with a CA file. For trials only:
    /// whoever sits in between reads and changes everything.
    pub insecure_skip_verify: bool,
    /// The name that servers' certificates must have, where it is not the endpoint's host.
    pub server_name: Option<String>,
    /// Accepted for the reference library's sake and without effect: a call is made again, where that is safe, until
    /// its deadline.
    pub retry_count: Option<i64>,
    /// How long one attempt to connect to one endpoint may take, TLS included. Default 2 s.
    #[serde(with = "duration")]
    pub dial_timeout: Duration,
    /// How long a connection with calls or watches on it may be silent before it is asked for a sign of life. Default
    /// 6 s: etcd hangs up on clients that ask more often than its `--grpc-keepalive-min-time`, 5 s unless set.
    #[serde(with = "duration")]
    pub keep_alive_time: Duration,
    /// How long that sign may take before the connection counts as broken. Default 2 s.
    #[serde(with = "duration")]
    pub keep_alive_timeout: Duration,
    /// How often a quiet watch asks how far it has seen. Default 5 s.
    #[serde(with = "duration")]
    pub watch_progress_interval: Duration,
    /// The deadline of what happens while connecting: the option `timeout`, which every store has.
    #[serde(skip)]
    pub(crate) timeout: Duration,
}

impl Default for EtcdConfig {
    fn default() -> Self {
        Self {
            username: None,
            password: None,
            ca_file: None,
            trusted_ca_file: None,
            cert_file: None,
            cert_key_file: None,
            client_cert_auth: false,
            transport_scheme: None,
            insecure_skip_verify: false,
            server_name: None,
            retry_count: None,
            dial_timeout: Duration::from_secs(2),
            keep_alive_time: Duration::from_secs(6),
            keep_alive_timeout: Duration::from_secs(2),
            watch_progress_interval: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
        }
    }
}

impl EtcdConfig {
    /// Reads a store's options.
    ///
    /// # Errors
    /// `InvalidConfig` for a name or a value that makes no sense.
    pub(crate) fn read(options: &Options) -> Result<Self> {
        let mut config: Self = options.backend_config()?;
        if let Some(text) = options.get("timeout") {
            config.timeout = duration::parse(text).map_err(|source| {
                Error::new(ErrorKind::InvalidConfig, "option `timeout`: write a duration such as 500ms, 10s or 2m")
                    .with_source(source)
            })?;
        }
        Ok(config)
    }

    /// The name and password, if there are any.
    ///
    /// # Errors
    /// `InvalidConfig` when one comes without the other.
    pub(crate) fn user(&self) -> Result<Option<(&str, &Secret)>> {
        match (set(self.username.as_deref()), &self.password) {
            (None, None) => Ok(None),
            (Some(name), Some(password)) if !password.reveal().is_empty() => Ok(Some((name, password))),
            (Some(_), _) => Err(invalid(
                "`username` needs a password: set `password`, `password_file` or the variable KVDB_PASSWORD",
            )),
            (None, Some(_)) => Err(invalid("`password` needs a user: set `username`, or remove it")),
        }
    }

    /// The file of the authorities.
    pub(crate) fn authorities(&self) -> Option<(&'static str, &str)> {
        let trusted = set(self.trusted_ca_file.as_deref()).map(|path| ("trusted_ca_file", path));
        trusted.or_else(|| set(self.ca_file.as_deref()).map(|path| ("ca_file", path)))
    }

    /// The files of our own certificate and its key.
    ///
    /// # Errors
    /// `InvalidConfig` when one comes without the other, or there must be one and is none.
    pub(crate) fn identity(&self) -> Result<Option<(&str, &str)>> {
        match (set(self.cert_file.as_deref()), set(self.cert_key_file.as_deref())) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (Some(_), None) => Err(invalid("`cert_file` needs its private key: set `cert_key_file`")),
            (None, Some(_)) => Err(invalid("`cert_key_file` needs its certificate: set `cert_file`")),
            (None, None) if self.client_cert_auth => {
                Err(invalid("`client_cert_auth` needs a certificate to show: set `cert_file` and `cert_key_file`"))
            }
            (None, None) => Ok(None),
        }
    }

    /// Whether an option is given that means something with TLS alone.
    pub(crate) fn tls_option(&self) -> Option<&'static str> {
        [
            (set(self.trusted_ca_file.as_deref()).is_some(), "trusted_ca_file"),
            (set(self.ca_file.as_deref()).is_some(), "ca_file"),
            (set(self.cert_file.as_deref()).is_some(), "cert_file"),
            (set(self.cert_key_file.as_deref()).is_some(), "cert_key_file"),
            (self.client_cert_auth, "client_cert_auth"),
            (self.insecure_skip_verify, "insecure_skip_verify"),
            (set(self.server_name.as_deref()).is_some(), "server_name"),
        ]
        .into_iter()
        .find_map(|(given, name)| given.then_some(name))
    }

    /// Refuses durations that can never pass.
    ///
    /// # Errors
    /// `InvalidConfig` naming the option.
    pub(crate) fn check_durations(&self) -> Result<()> {
        [
            (self.dial_timeout, "dial_timeout"),
            (self.keep_alive_time, "keep_alive_time"),
            (self.keep_alive_timeout, "keep_alive_timeout"),
            (self.watch_progress_interval, "watch_progress_interval"),
        ]
        .into_iter()
        .try_for_each(|(duration, name)| match duration.is_zero() {
            true => Err(invalid(format!("`{name}` must be longer than 0; leave it away for its default"))),
            false => Ok(()),
        })
    }
}

/// An option that is set to nothing is not set.
pub(crate) fn set(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

pub(crate) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}
