use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::{Error, ErrorKind, Result};

/// Whether one handle of a store is open. Closing it ends what the handle started, and nothing of other handles.
#[derive(Debug)]
pub struct Gate {
    closed: AtomicBool,
    signal: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { closed: AtomicBool::new(false), signal: watch::Sender::new(false) }
    }
}

impl Gate {
    /// Lets a call pass.
    ///
    /// # Errors
    /// `Closed` once [`Gate::close`] was called.
    pub fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Self::closed_error()) } else { Ok(()) }
    }

    /// Closes the handle and wakes everything that waits on it. Idempotent.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.signal.send_replace(true);
    }

    /// The error of a call on a closed handle.
    #[must_use]
    pub fn closed_error() -> Error {
        Error::new(ErrorKind::Closed, "open the store again")
    }

    /// Turns true once the handle is closed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.signal.subscribe()
    }
}

/// The wake-up of all feeds of a store: says that something was published, never what.
#[derive(Debug)]
pub struct Hub {
    signal: watch::Sender<()>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { signal: watch::Sender::new(()) }
    }
}

impl Hub {
    /// Wakes every feed. Call it after the index was changed and its lock released: a feed subscribes before it reads
    /// the index, so that the count below cannot miss one that has not seen the change.
    pub fn publish(&self) {
        if self.signal.receiver_count() > 0 {
            self.signal.send_replace(());
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.signal.subscribe()
    }
}
