use kvdb::{Error, ErrorKind, Options, Result};

use super::DIST_LOCK_KEY;

/// The option with the name of the lock.
const LOCK_NAME: &str = "lock_name";
/// The option that says whether watches with a callback end with their key.
const END_ON_DELETE: &str = "end_on_delete";

/// How a [`super::Kvi`] is opened.
///
/// The Go package's form is one text: empty, or `name=value&name=value` with the store's options and the two of this
/// type, `lock_name` and `end_on_delete`. Values stand in it as they are, so one with an `&` needs the typed form.
///
/// ```
/// use kvdb_compat::hmetcd::KviOptions;
/// use std::time::Duration;
///
/// let by_text = KviOptions::from("lock_name=nightly&lock_ttl=30s");
/// let typed = KviOptions::new().lock_name("nightly").store(kvdb::Options::new().lock_ttl(Duration::from_secs(30)));
/// assert_eq!(format!("{by_text:?}"), format!("{typed:?}"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct KviOptions {
    options: Options,
}

/// What a [`super::Kvi`] itself is set to.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) lock_name: String,
    pub(super) end_on_delete: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lock_name: DIST_LOCK_KEY.to_owned(), end_on_delete: true }
    }
}

impl KviOptions {
    /// Everything at its default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The name of the lock that `dist_lock` takes, [`DIST_LOCK_KEY`] unless set.
    #[must_use]
    pub fn lock_name(self, name: &str) -> Self {
        self.set(LOCK_NAME, name)
    }

    /// Whether a watch with a callback ends when its key is deleted, as the Go package's page says; true unless set.
    #[must_use]
    pub fn end_on_delete(self, end: bool) -> Self {
        self.set(END_ON_DELETE, &end.to_string())
    }

    /// The store's own options, in place of those set before; `domain` is among them.
    #[must_use]
    pub fn store(self, options: Options) -> Self {
        let own = [LOCK_NAME, END_ON_DELETE];
        let options = own.into_iter().fold(options, |options, name| match self.options.get(name) {
            Some(value) => options.set(name, value),
            None => options,
        });
        Self { options }
    }

    fn set(self, name: &str, value: &str) -> Self {
        Self { options: self.options.set(name, value) }
    }

    /// The settings of a `Kvi`, and what is left for the store.
    pub(super) fn split(self) -> Result<(Settings, Options)> {
        let mut settings = Settings::default();
        if let Some(name) = self.options.get(LOCK_NAME) {
            name.clone_into(&mut settings.lock_name);
        }
        if let Some(value) = self.options.get(END_ON_DELETE) {
            settings.end_on_delete = value.parse().map_err(|source: std::str::ParseBoolError| {
                let message = format!("the option `{END_ON_DELETE}` is `true` or `false`");
                Error::new(ErrorKind::InvalidConfig, message).with_source(source)
            })?;
        }
        Ok((settings, self.options.without(LOCK_NAME).without(END_ON_DELETE)))
    }
}

/// What has no `=` is taken as an option without a value, which opening then refuses by its name.
impl From<&str> for KviOptions {
    fn from(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self { options: pairs.collect() }
    }
}

impl From<String> for KviOptions {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<Options> for KviOptions {
    fn from(options: Options) -> Self {
        Self { options }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_text_and_the_typed_form_say_the_same() {
        let (settings, store) = KviOptions::from("lock_name=a&end_on_delete=false&timeout=3s").split().unwrap();
        assert_eq!((settings.lock_name.as_str(), settings.end_on_delete), ("a", false));
        assert_eq!(format!("{store:?}"), format!("{:?}", Options::new().set("timeout", "3s")));
        let typed = KviOptions::new().end_on_delete(false).lock_name("a").store(Options::new().set("timeout", "3s"));
        let (typed, store) = typed.split().unwrap();
        assert_eq!((typed.lock_name.as_str(), typed.end_on_delete), ("a", false));
        assert_eq!(store.get("timeout"), Some("3s"));
    }

    #[test]
    fn an_empty_text_sets_nothing() {
        let (settings, store) = KviOptions::from("").split().unwrap();
        assert_eq!((settings.lock_name.as_str(), settings.end_on_delete), (DIST_LOCK_KEY, true));
        assert_eq!(format!("{store:?}"), "{}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let error = KviOptions::from("end_on_delete=perhaps").split().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("end_on_delete"), "{error}");
    }
}
