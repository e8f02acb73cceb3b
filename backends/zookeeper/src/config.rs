use std::path::PathBuf;
use std::time::Duration;

use kvdb_core::options::duration;
use kvdb_core::{Error, ErrorKind, Limits, Result, Secret};
use serde::Deserialize;

/// The most bytes of a request: `jute.maxbuffer` of the servers, 0xfffff unless set. They hang up on more.
pub(crate) const REQUEST_BYTES: usize = 0xf_ffff;

/// The most bytes of a value: what a request leaves beside the paths, which may stand there four times with every byte
/// encoded.
const VALUE_BYTES: usize = 960 << 10;

const KEY_BYTES: usize = 2 << 10;

/// Guards and writes of a batch. ZooKeeper bounds its bytes only: so many leave each write's nodes room in a request.
const BATCH_OPS: usize = 512;

/// The bounds of a session's timeout where the servers do not tell theirs: two and twenty ticks of 2 s.
pub(crate) const BOUNDS: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(40));

/// The options of a ZooKeeper store. All are checked before anything is connected.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ZooKeeperConfig {
    /// Who we are, by the scheme `digest`; needs `password`. Every node that is made is then this user's alone.
    pub username: Option<String>,
    /// The password of `username`.
    pub password: Option<Secret>,
    /// A PEM file of the authorities that may have signed the servers' certificates; no others are trusted.
    pub ca_file: Option<PathBuf>,
    /// A PEM file of the certificate that we show to servers; needs `cert_key_file`.
    pub cert_file: Option<PathBuf>,
    /// A PEM file of the private key of `cert_file`.
    pub cert_key_file: Option<PathBuf>,
    /// `http` for plain text or `https` for TLS, for endpoints that do not say it themselves.
    pub transport_scheme: Option<String>,
    /// How long making a connection to one server may take, and how long a server may be silent before the connection
    /// counts as broken; at most three fifths of `session_timeout`. Default 3 s.
    #[serde(with = "duration")]
    pub dial_timeout: Duration,
    /// How long the session that carries calls and watches outlives its connection. Servers clamp it. Default 10 s.
    #[serde(with = "duration")]
    pub session_timeout: Duration,
}

impl Default for ZooKeeperConfig {
    fn default() -> Self {
        Self {
            username: None,
            password: None,
            ca_file: None,
            cert_file: None,
            cert_key_file: None,
            transport_scheme: None,
            dial_timeout: Duration::from_secs(3),
            session_timeout: Duration::from_secs(10),
        }
    }
}

pub(crate) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

impl ZooKeeperConfig {
    /// The name and password, if there are any.
    ///
    /// # Errors
    /// `InvalidConfig` when one comes without the other, or the name cannot be told from the password.
    pub(crate) fn user(&self) -> Result<Option<(&str, &Secret)>> {
        let name = self.username.as_deref().filter(|name| !name.is_empty());
        match (name, &self.password) {
            (None, None) => Ok(None),
            (Some(name), _) if name.contains(':') => Err(invalid("`username` has a colon, which ends a name")),
            (Some(name), Some(password)) if !password.reveal().is_empty() => Ok(Some((name, password))),
            (Some(_), _) => Err(invalid(
                "`username` needs a password: set `password`, `password_file` or the variable KVDB_PASSWORD",
            )),
            (None, Some(_)) => Err(invalid("`password` needs a user: set `username`, or remove it")),
        }
    }

    /// Refuses durations that can never do.
    ///
    /// # Errors
    /// `InvalidConfig` naming the option.
    pub(crate) fn check_durations(&self) -> Result<()> {
        let year = Duration::from_secs(366 * 24 * 3600);
        if !(Duration::from_millis(100)..=year).contains(&self.session_timeout) {
            return Err(invalid("`session_timeout` is from 100 ms to a year"));
        }
        if self.dial_timeout < Duration::from_millis(10) {
            return Err(invalid("`dial_timeout` is 10 ms or more"));
        }
        if self.dial_timeout > self.session_timeout / 5 * 3 {
            return Err(invalid("`dial_timeout` is at most three fifths of `session_timeout`"));
        }
        Ok(())
    }

    /// Whether an option is given that means something with TLS alone.
    pub(crate) fn tls_option(&self) -> Option<&'static str> {
        [
            (self.ca_file.is_some(), "ca_file"),
            (self.cert_file.is_some(), "cert_file"),
            (self.cert_key_file.is_some(), "cert_key_file"),
        ]
        .into_iter()
        .find_map(|(given, name)| given.then_some(name))
    }

    /// What the store takes with these bounds of a session's timeout.
    pub(crate) fn limits((ttl_min, ttl_max): (Duration, Duration)) -> Limits {
        Limits {
            key_bytes: KEY_BYTES,
            value_bytes: VALUE_BYTES,
            batch_ops: BATCH_OPS,
            batch_bytes: VALUE_BYTES + KEY_BYTES,
            // A batch is written by one session, and each lease may have another.
            leases_per_batch: 1,
            ttl_min,
            ttl_max: Some(ttl_max),
            ttl_granularity: Duration::from_millis(1),
            // The least timeout is two ticks; half a second for our own deletion.
            ttl_slack: ttl_min.saturating_add(Duration::from_millis(500)),
        }
    }
}

#[cfg(test)]
mod tests {
    use kvdb_core::Options;

    use super::*;

    fn refusal(config: &ZooKeeperConfig) -> String {
        let error = config.user().map(drop).and_then(|()| config.check_durations()).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidConfig);
        format!("{error:?}")
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let plain = ZooKeeperConfig::default;
        let hidden = Some(Secret::new("hunter2"));
        for (config, why) in [
            (ZooKeeperConfig { username: Some("me".into()), ..plain() }, "`password`"),
            (ZooKeeperConfig { password: hidden.clone(), ..plain() }, "`username`"),
            (ZooKeeperConfig { username: Some("a:b".into()), password: hidden.clone(), ..plain() }, "colon"),
            (ZooKeeperConfig { dial_timeout: Duration::ZERO, ..plain() }, "dial_timeout"),
            (ZooKeeperConfig { dial_timeout: Duration::from_secs(7), ..plain() }, "three fifths"),
            (ZooKeeperConfig { session_timeout: Duration::ZERO, ..plain() }, "session_timeout"),
            (ZooKeeperConfig { session_timeout: Duration::MAX, ..plain() }, "session_timeout"),
        ] {
            let text = refusal(&config);
            assert!(text.contains(why) && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn options_are_read_by_name_and_the_password_is_not_shown() {
        let options = Options::new()
            .set("Username", "me")
            .set("Password", "hunter2")
            .set("CAFile", "ca.pem")
            .set("session_timeout", "30s");
        let config: ZooKeeperConfig = options.backend_config().unwrap();
        assert_eq!(config.session_timeout, Duration::from_secs(30));
        assert_eq!(config.user().unwrap().map(|(name, _)| name), Some("me"));
        assert_eq!(config.tls_option(), Some("ca_file"));
        assert!(!format!("{config:?}").contains("hunter2"));
        let error = Options::new().set("sesion_timeout", "1s").backend_config::<ZooKeeperConfig>().unwrap_err();
        assert!(error.to_string().contains("`session_timeout`"), "{error}");
    }
}
