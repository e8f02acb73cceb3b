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

    /// Whether a put makes its key anew where the key gets a lease, loses the one it has or moves to one of another TTL
    /// (contract 6.4: ZooKeeper, whose leases are sessions, one for each TTL of a handle).
    fn leases_make_anew(&self) -> bool {
        false
    }

    /// Whether the store is real servers that share this machine with all trials, so that one may fail for want of time
    /// alone. Such a trial is made once more, at most [`crate::UNSTEADY`] in a run, and told as `unsteady`.
    fn shares_the_machine(&self) -> bool {
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

    /// A place in a store that this trial has to itself: it restarts the store, compacts it, or counts what the store
    /// does. The same as any place where each is a store of its own.
    async fn place_of_its_own(&self) -> Result<Box<dyn Place>> {
        self.place().await
    }
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
