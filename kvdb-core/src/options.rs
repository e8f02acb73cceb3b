//! Options of a store: a string map with typed setters, read into each backend's own config.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::{Capabilities, Error, ErrorKind, Result};

mod parse;

/// Called when something breaks that no call can report: a lock lost, a lock held too long.
///
/// It is called at most once per event, outside all locks, and may call anything. It never ends the process.
pub type FatalCallback = Arc<dyn Fn(&Error) + Send + Sync>;

/// A text that no Debug, log or error shows.
#[derive(Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The reference library's option names and ours.
const ALIASES: &[(&str, &str)] = &[
    ("Username", "username"),
    ("Password", "password"),
    ("CAFile", "ca_file"),
    ("CertFile", "cert_file"),
    ("CertKeyFile", "cert_key_file"),
    ("TrustedCAFile", "trusted_ca_file"),
    ("ClientCertAuth", "client_cert_auth"),
    ("RetryCount", "retry_count"),
    ("ACLToken", "acl_token"),
    ("CAAuthAddress", "ca_auth_address"),
    ("InsecureSkipVerify", "insecure_skip_verify"),
    ("TransportScheme", "transport_scheme"),
    ("LogPathOption", "log_path"),
];

/// Options that prove who we are; a store without users refuses them as `Unsupported`.
const CREDENTIALS: &[&str] = &["username", "password", "password_file", "acl_token"];

/// Options whose values are never shown.
const SECRETS: &[&str] = &["password", "acl_token"];

/// The options every store takes.
const COMMON: &[&str] = &["timeout", "lock_ttl", "lock_wait", "lock_hold"];

/// Options of a store. Names are snake_case; the reference library's names are accepted as aliases.
///
/// Durations are written as `500ms`, `10s`, `2m`; a bare number is seconds.
#[derive(Clone, Default)]
pub struct Options {
    map: BTreeMap<String, String>,
    on_fatal: Option<FatalCallback>,
}

impl Options {
    /// No options: everything at its default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an option by name, replacing an earlier value.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl fmt::Display) -> Self {
        let name = ALIASES.iter().find(|(seed, _)| *seed == name).map_or(name, |(_, ours)| ours);
        self.map.insert(name.to_owned(), value.to_string());
        self
    }

    /// The deadline of each call, 10 s unless set.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set("timeout", humantime::format_duration(timeout))
    }

    /// The time to live of locks, 16 s unless set: a lock frees itself so long after its holder died.
    #[must_use]
    pub fn lock_ttl(self, ttl: Duration) -> Self {
        self.set("lock_ttl", humantime::format_duration(ttl))
    }

    /// How long taking a lock may wait, 300 s unless set.
    #[must_use]
    pub fn lock_wait(self, wait: Duration) -> Self {
        self.set("lock_wait", humantime::format_duration(wait))
    }

    /// How long a lock may be held before the fatal callback is called; no limit unless set.
    #[must_use]
    pub fn lock_hold(self, hold: Duration) -> Self {
        self.set("lock_hold", humantime::format_duration(hold))
    }

    /// Who we are, for stores with users.
    #[must_use]
    pub fn username(self, name: &str) -> Self {
        self.set("username", name)
    }

    /// The password of [`Options::username`].
    #[must_use]
    pub fn password(self, password: &Secret) -> Self {
        self.set("password", password.reveal())
    }

    /// Called when something breaks that no call can report; the default logs.
    #[must_use]
    pub fn on_fatal(mut self, callback: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_fatal = Some(Arc::new(callback));
        self
    }

    /// The callback, if one was set.
    #[must_use]
    pub fn fatal_callback(&self) -> Option<FatalCallback> {
        self.on_fatal.clone()
    }

    /// The value of an option as it was set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.map.get(name).map(String::as_str)
    }

    /// Takes an option back.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.map.remove(name);
        self
    }

    /// Reads a backend's own options, everything but the common ones, into its config.
    ///
    /// # Errors
    /// `InvalidConfig` for a value that cannot be read or a name the config does not have, naming the one that was
    /// meant; `Unsupported` for credentials that the config does not have.
    pub fn backend_config<T: DeserializeOwned>(&self) -> Result<T> {
        let own = self.map.iter().filter(|(name, _)| !COMMON.contains(&name.as_str()));
        parse::read(own, COMMON)
    }

    /// Reads the options every store takes.
    pub(crate) fn common(&self) -> Result<Common> {
        parse::read(self.map.iter().filter(|(name, _)| COMMON.contains(&name.as_str())), &[])
    }
}

/// Shows names and values, secrets hidden.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.map.iter().map(|(name, value)| {
                (name, if SECRETS.contains(&name.as_str()) { "(hidden)" } else { value.as_str() })
            }))
            .finish()
    }
}

impl<K: AsRef<str>, V: fmt::Display> FromIterator<(K, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        pairs.into_iter().fold(Self::new(), |options, (name, value)| options.set(name.as_ref(), value))
    }
}

/// What the engine itself is set to.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Common {
    #[serde(with = "duration")]
    pub(crate) timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) lock_ttl: Duration,
    #[serde(with = "duration")]
    pub(crate) lock_wait: Duration,
    #[serde(with = "duration::optional")]
    pub(crate) lock_hold: Option<Duration>,
}

impl Default for Common {
    /// 10 s a call (contract 10.1), locks as the reference library has them: 16 s TTL, 300 s wait, no hold limit.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            lock_ttl: Duration::from_secs(16),
            lock_wait: Duration::from_secs(300),
            lock_hold: None,
        }
    }
}

/// Durations in configs: `500ms`, `10s`, `2m`; a bare number is seconds. For `#[serde(with = ..)]`.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    /// Reads a duration from text.
    ///
    /// # Errors
    /// When the text is not a duration.
    pub fn parse(text: &str) -> Result<Duration, humantime::DurationError> {
        match text.trim().parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => humantime::parse_duration(text.trim()),
        }
    }

    /// Reads a duration.
    ///
    /// # Errors
    /// When the text is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text)
            .map_err(|_| serde::de::Error::custom(format!("`{text}` is not a duration such as 500ms, 10s or 2m")))
    }

    /// An optional duration; `0` is none.
    pub mod optional {
        use super::{Deserializer, Duration};

        /// Reads a duration; `0` is none.
        ///
        /// # Errors
        /// When the text is not a duration.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
            super::deserialize(from).map(|duration| Some(duration).filter(|duration| !duration.is_zero()))
        }
    }
}

fn unknown_option(name: &str, known: &[&str]) -> Error {
    if CREDENTIALS.contains(&name) {
        return Error::new(
            ErrorKind::Unsupported(Capabilities::USERS),
            format!("the store has no users; remove the option `{name}`"),
        );
    }
    let meant = known
        .iter()
        .map(|field| (strsim::damerau_levenshtein(field, &name.to_lowercase()), field))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, field)| format!("; did you mean `{field}`?"))
        .unwrap_or_default();
    Error::new(
        ErrorKind::InvalidConfig,
        format!("unknown option `{}`{meant} (this store takes: {})", name.escape_debug(), known.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        history_revisions: u64,
        fast: bool,
        #[serde(with = "duration::optional")]
        age: Option<Duration>,
    }

    impl Default for Config {
        fn default() -> Self {
            Self { history_revisions: 7, fast: false, age: None }
        }
    }

    #[test]
    fn texts_become_numbers_flags_and_durations() {
        let options =
            Options::new().set("history_revisions", 12).set("fast", "TRUE").set("age", "90s").set("timeout", "3");
        let config: Config = options.backend_config().unwrap();
        assert_eq!(config, Config { history_revisions: 12, fast: true, age: Some(Duration::from_secs(90)) });
        assert_eq!(options.common().unwrap().timeout, Duration::from_secs(3));
    }

    #[test]
    fn a_typo_names_the_option_that_was_meant() {
        let error = Options::new().set("histroy_revisions", 1).backend_config::<Config>().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("did you mean `history_revisions`"), "{error}");
        let error = Options::new().set("timeuot", 1).backend_config::<Config>().unwrap_err();
        assert!(error.to_string().contains("did you mean `timeout`"), "{error}");
    }

    #[test]
    fn a_bad_value_names_the_option() {
        let error = Options::new().set("fast", "maybe").backend_config::<Config>().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("`fast`"), "{error}");
        let error = Options::new().set("timeout", "soon").common().unwrap_err();
        assert!(error.to_string().contains("`timeout`") && error.to_string().contains("500ms"), "{error}");
    }

    #[test]
    fn no_secret_is_shown_and_credentials_are_unsupported_without_users() {
        let options = Options::new().set("Username", "me").password(&Secret::new("hunter2"));
        assert!(!format!("{options:?}").contains("hunter2"));
        let error = options.backend_config::<Config>().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Unsupported(Capabilities::USERS));
    }
}
