//! The one `impl Kvdb` with logic: domain, checks, conditions, leases, locks, watches over any [`Backend`].

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;

use crate::options::Common;
use crate::{Backend, Error, ErrorKind, FatalCallback, Info, Operation, Options, Result};

mod admin;
mod at_once;
mod condition;
mod deadline;
mod domain;
mod janitor;
mod keep;
mod keeper;
mod lease;
mod list;
mod lock;
mod lock_call;
mod lock_fresh;
mod lock_guard;
mod lock_holders;
mod lock_ids;
mod lock_queue;
mod lock_stand;
mod lock_ticket;
mod lock_wait;
mod own;
mod read;
mod seen;
mod snapshot;
mod tree;
mod txn;
mod txn_emulated;
mod verbs;
mod void;
mod watch_reader;
mod watch_upstream;
mod write;
mod write_key;
mod write_native;

pub(crate) use deadline::Deadline;
pub(crate) use domain::{directory_len, normalize};
pub use list::{ListPage, Listing, Pages};
pub(crate) use lock_call::Withdrawn;
pub use lock_guard::LockGuard;
pub use snapshot::Snapshot;
pub use watch_reader::Watch;

use domain::Domain;

/// One opened store under one domain.
#[derive(Debug)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
}

/// What the engine's calls, tasks, guards and watches share.
///
/// Locks: `settings`, `keepers`, `granted`, `upstreams`, `waiter_ids` and `fresh` are held for moments only, never across
/// an await and never two at a time.
pub(crate) struct Shared {
    name: &'static str,
    backend: Arc<dyn Backend>,
    domain: Domain,
    timeout: Duration,
    lock_ttl: Duration,
    settings: Mutex<Settings>,
    runtime: runtime::Handle,
    janitor: janitor::Janitor,
    closed: watch::Sender<bool>,
    keepers: keeper::Keepers,
    granted: lease::Granted,
    upstreams: watch_upstream::Upstreams,
    seen: seen::Seen,
    waiter_ids: lock_ids::Ids,
    fresh: lock_fresh::Fresh,
}

/// What can be set while the handle is in use.
#[derive(Clone)]
struct Settings {
    on_fatal: Option<FatalCallback>,
    lock_wait: Duration,
    lock_hold: Option<Duration>,
}

impl Engine {
    /// Takes over a connected backend.
    ///
    /// # Errors
    /// `InvalidConfig` for options or a domain that make no sense, or outside a tokio runtime.
    pub(crate) fn open(name: &'static str, backend: Arc<dyn Backend>, domain: &str, options: &Options) -> Result<Self> {
        let invalid = |error: Error| error.with_operation(Operation::Connect).with_backend(name);
        let common: Common = options.common().map_err(invalid)?;
        let domain = Domain::new(domain).map_err(invalid)?;
        let runtime = runtime::Handle::try_current().map_err(|source| {
            invalid(Error::new(ErrorKind::InvalidConfig, "open the store inside a tokio runtime").with_source(source))
        })?;
        let janitor = janitor::Janitor::start(&runtime, Arc::clone(&backend));
        let shared = Shared {
            name,
            backend,
            domain,
            timeout: common.timeout,
            lock_ttl: common.lock_ttl,
            settings: Mutex::new(Settings {
                on_fatal: options.fatal_callback(),
                lock_wait: common.lock_wait,
                lock_hold: common.lock_hold,
            }),
            runtime,
            janitor,
            closed: watch::Sender::new(false),
            keepers: keeper::Keepers::default(),
            granted: lease::Granted::default(),
            upstreams: watch_upstream::Upstreams::default(),
            seen: seen::Seen::default(),
            waiter_ids: lock_ids::Ids::default(),
            fresh: lock_fresh::Fresh::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) fn set_fatal_callback(&self, callback: FatalCallback) {
        self.shared.settings().on_fatal = Some(callback);
    }

    pub(crate) fn lock_hold(&self) -> Option<Duration> {
        self.shared.settings().lock_hold
    }

    pub(crate) fn set_lock_hold(&self, hold: Option<Duration>) {
        self.shared.settings().lock_hold = hold;
    }

    pub(crate) fn lock_wait(&self) -> Duration {
        self.shared.settings().lock_wait
    }

    pub(crate) fn set_lock_wait(&self, wait: Duration) {
        self.shared.settings().lock_wait = wait;
    }
}

impl Shared {
    /// The same handle's settings over another backend.
    fn over(&self, backend: Arc<dyn Backend>) -> Self {
        let settings = self.settings();
        Self {
            name: self.name,
            backend,
            domain: self.domain.clone(),
            timeout: self.timeout,
            lock_ttl: self.lock_ttl,
            settings: Mutex::new(settings.clone()),
            runtime: self.runtime.clone(),
            janitor: self.janitor.clone(),
            closed: watch::Sender::new(false),
            keepers: keeper::Keepers::default(),
            granted: lease::Granted::default(),
            upstreams: watch_upstream::Upstreams::default(),
            seen: seen::Seen::default(),
            waiter_ids: lock_ids::Ids::default(),
            fresh: lock_fresh::Fresh::default(),
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn info(&self) -> Info {
        Info::new(self.name, self.domain.name().to_owned(), self.backend.details())
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    fn ensure_open(&self) -> Result<()> {
        if self.is_closed() { Err(closed_error()) } else { Ok(()) }
    }

    /// Resolves when the handle is closed.
    async fn until_closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender lives in `self`, so the wait ends by a close alone.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// Reports what no call can report. The default logs.
    fn fatal(&self, error: &Error) {
        let callback = self.settings().on_fatal.clone();
        match callback {
            // It may end the process, as the Go library's does by default; if it panics instead, whoever reports here
            // has more to do.
            Some(callback) => {
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| callback(error))).is_err() {
                    tracing::error!(%error, "the fatal callback panicked");
                }
            }
            None => tracing::error!(%error, "kvdb"),
        }
    }

    /// The error of a call, with all that the engine knows about it.
    fn explain(&self, operation: Operation, key: &str, error: Error) -> Error {
        let error = error.with_operation(operation).with_backend(self.name);
        if key.is_empty() { error } else { error.with_key(key) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for lease in self.keepers.drain() {
            self.janitor.revoke(lease);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("backend", &self.backend)
            .field("domain", &self.domain.name())
            .finish_non_exhaustive()
    }
}

fn closed_error() -> Error {
    Error::new(ErrorKind::Closed, "the handle was closed; open a new one")
}
