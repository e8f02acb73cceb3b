use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kvdb_core::{Backend, Capabilities, Error, Handle, Limits, Options, Result};

use crate::Trial;

/// A store under test: what the author of a backend implements to run the suite.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The backend's name, as errors and `info` show it.
    fn name(&self) -> &'static str;

    /// What the store can do: chooses the trials, which then hold the store to it.
    fn capabilities(&self) -> Capabilities;

    /// What the store can take, as far as trials need to know before it is open.
    fn limits(&self) -> Limits;

    /// The calls that answer `Unsupported`, by the names of [`crate::CALLS`]: the store's committed table.
    fn unsupported(&self) -> &'static [&'static str];

    /// Whether the store counts exactly: empty it is at revision 1, each changing commit takes exactly the next one
    /// and nothing else takes any (contract 2.1: memory and redb). Then each [`Place`] is a store of its own.
    fn counts_exactly(&self) -> bool {
        false
    }

    /// What the names of its trials end with: the backend's name, unless it is tested in several ways.
    fn label(&self) -> String {
        self.name().to_owned()
    }

    /// Puts around a handle that a trial has opened what this store is tested under, such as a wrapper.
    ///
    /// # Errors
    /// What fails the trial.
    fn wrap(&self, _kv: &Handle) -> Result<()> {
        Ok(())
    }

    /// Whether this trial is run; one that is not shows as ignored.
    fn runs(&self, _trial: &Trial) -> bool {
        true
    }

    /// A fresh place for one trial: an empty store, or a shared one in which nobody else uses the trial's domain.
    async fn place(&self) -> Result<Box<dyn Place>>;
}

/// Where one trial takes place. Dropping it removes what it left.
#[async_trait]
pub trait Place: fmt::Debug + Send + Sync + 'static {
    /// Opens one more client of the same store. Closing one client must not touch the others; a store that only one
    /// client of the process may open hands out [`crate::decorate::Shared`] views of it.
    async fn connect(&self, options: &Options) -> Result<Arc<dyn Backend>>;

    /// Closes the store under its clients, as if their processes had ended, so that the next `connect` opens it anew
    /// (DURABLE). The handles of before are dropped or closed first.
    async fn restart(&self) -> Result<()> {
        Err(Error::unsupported(Capabilities::DURABLE))
    }
}
