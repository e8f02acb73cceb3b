//! Opening the store that the command line names, and closing it again.

use std::path::PathBuf;

use kvdb::{Handle, Options};

use crate::failure::Failure;
use crate::output::Output;

/// Where keys are unless `--store` or KVDB_URL says otherwise.
const DEFAULT_STORE: &str = "redb:kvdb.redb";

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

    /// Opens the store.
    pub(crate) async fn open(&self) -> Result<Handle, Failure> {
        let kv = kvdb::connect_with(self.uri(), self.options()).await?;
        if let Some(path) = &self.log {
            let path = path.to_str().ok_or_else(|| Failure::Usage("the name of the log is not UTF-8".to_owned()))?;
            kv.add_wrapper("log", &Options::new().set("log_path", path))?;
        }
        Ok(kv)
    }

    /// Runs `work` on the open store and closes it whatever came of it, so that leases and locks are given back and
    /// the file is free when the command ends.
    pub(crate) async fn with_store<T>(
        mut self,
        work: impl AsyncFnOnce(&Handle, &mut Output) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let kv = self.open().await?;
        let outcome = work(&kv, &mut self.out).await;
        let closed = kvdb::Kvdb::close(&kv).await;
        let value = outcome?;
        closed?;
        Ok(value)
    }
}
