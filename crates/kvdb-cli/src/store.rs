//! Opening the store that the command line names, and closing it again.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kvdb::{ErrorKind, Handle, Options};

use crate::failure::Failure;
use crate::output::Output;

/// Where keys are unless `--store` or KVDB_URL says otherwise.
const DEFAULT_STORE: &str = "redb:kvdb.redb";

/// How long a command waits for a file that another one has open: longer than short commands take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long it waits between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// The URI as it may be printed: without its options and its user, which may have secrets.
pub(crate) fn without_secrets(uri: &str) -> Cow<'_, str> {
    let (place, options) = uri.split_once('?').unwrap_or((uri, ""));
    let Some((scheme, hosts)) = place.split_once("://").filter(|(_, hosts)| !hosts.starts_with('/')) else {
        return place.into();
    };
    match hosts.rsplit_once('@') {
        Some((_, hosts)) => format!("{scheme}://{hosts}").into(),
        // The `?` may be one of a password that is not encoded.
        None if options.contains('@') => format!("{scheme}:").into(),
        None => place.into(),
    }
}

/// What every command needs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) store: Option<String>,
    pub(crate) domain: Option<String>,
    /// Where calls are logged, if they are.
    pub(crate) log: Option<PathBuf>,
    pub(crate) out: Output,
}

impl Context {
    /// The store's URI.
    pub(crate) fn uri(&self) -> &str {
        self.store.as_deref().unwrap_or(DEFAULT_STORE)
    }

    /// The options that the command line adds to the URI's own.
    pub(crate) fn options(&self) -> Options {
        self.domain.iter().fold(Options::new(), |options, domain| options.set("domain", domain))
    }

    /// Opens the store; commands that are run side by side on one file take turns.
    pub(crate) async fn open(&self) -> Result<Handle, Failure> {
        self.open_within(PATIENCE).await
    }

    /// Opens the store, waiting at most so long for a file that another process has open.
    pub(crate) async fn open_within(&self, patience: Duration) -> Result<Handle, Failure> {
        self.open_at(self.uri(), patience).await
    }

    /// Opens a store that the command names beside `--store`.
    async fn open_at(&self, uri: &str, patience: Duration) -> Result<Handle, Failure> {
        let started = Instant::now();
        let kv = loop {
            match kvdb::connect_with(uri, self.options()).await {
                // Nobody tells when a file is free, so it is tried again.
                Err(error) if *error.kind() == ErrorKind::AlreadyOpen && started.elapsed() < patience => {
                    tokio::time::sleep(TRY_AGAIN.min(patience.saturating_sub(started.elapsed()))).await;
                }
                opened => break opened?,
            }
        };
        if let Some(path) = &self.log {
            let path = path.to_str().ok_or_else(|| Failure::Usage("the name of the log is not UTF-8".to_owned()))?;
            kv.add_wrapper("log", &Options::new().set("log_path", path))?;
        }
        Ok(kv)
    }

    /// Runs `work` on the open store and closes it whatever came of it, so that leases and locks are given back and
    /// the file is free when the command ends.
    pub(crate) async fn with_store<T>(
        self,
        work: impl AsyncFnOnce(&Handle, &mut Output) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let kv = self.open().await?;
        self.with_opened(kv, work).await
    }

    /// The same with two stores that the command names.
    pub(crate) async fn with_two<T>(
        self,
        (one, other): (&str, &str),
        work: impl AsyncFnOnce(&Handle, &Handle, &mut Output) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let first = self.open_at(one, PATIENCE).await?;
        let second = self.open_at(other, PATIENCE).await;
        self.with_opened(first, async |first, out| {
            let second = second?;
            let outcome = work(first, &second, out).await;
            let closed = kvdb::Kvdb::close(&second).await;
            let value = outcome?;
            closed?;
            Ok(value)
        })
        .await
    }

    /// The same with a store that is open already.
    pub(crate) async fn with_opened<T>(
        mut self,
        kv: Handle,
        work: impl AsyncFnOnce(&Handle, &mut Output) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let outcome = work(&kv, &mut self.out).await;
        let closed = kvdb::Kvdb::close(&kv).await;
        let value = outcome?;
        closed?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_shown_without_what_may_be_secret() {
        for (uri, shown) in [
            ("redb:a@b.redb?durability=fast", "redb:a@b.redb"),
            ("redb:///var/a@b.redb", "redb:///var/a@b.redb"),
            ("etcd+https://h:1,h:2/app?username=me&password=canary", "etcd+https://h:1,h:2/app"),
            ("consul://h?acl_token=canary", "consul://h"),
            ("etcd://me:canary@h:1,h:2/app", "etcd://h:1,h:2/app"),
            ("etcd://me:can/ary@h", "etcd://h"),
            ("etcd://me:can@ary@h", "etcd://h"),
            ("etcd://me:canary?x@h", "etcd:"),
            ("etcd://me:can?ary=x@h", "etcd:"),
        ] {
            assert_eq!(without_secrets(uri), shown, "{uri}");
        }
    }
}
