//! What all clients of a run share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use kvdb::prelude::*;
use kvdb_tests::check::{Call, History};

/// The deadline of every call.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// No call may take longer than this many deadlines: it would hang. Not a measure of speed.
pub(crate) const HANGS: u32 = 3;
/// Keys of one directory: few, so that the clients meet.
const KEYS: usize = 8;
/// Calls on one directory before the clients go on to the next, so that no key's history grows without end.
const CALLS_A_DIRECTORY: usize = 1600;

/// Opens one more client of the store, on the run's domain or on another one.
pub(crate) type Open = Arc<dyn Fn(&'static str) -> BoxFuture<'static, Result<Handle>> + Send + Sync>;

/// The shared part of a run.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) history: History,
    begun: AtomicUsize,
    acknowledged: AtomicUsize,
    stop: AtomicBool,
    findings: Mutex<Vec<String>>,
}

impl Load {
    /// Where the next call goes.
    pub(crate) fn directory(&self) -> usize {
        self.begun.fetch_add(1, Ordering::Relaxed) / CALLS_A_DIRECTORY
    }

    /// How many calls were answered so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Notes a call, which must have ended in time.
    pub(crate) fn note(&self, call: Call) {
        let took = Duration::from_nanos(call.returned - call.invoked);
        if took > TIMEOUT * HANGS {
            self.found(format!("hung for {took:?}: {call:?}"));
        }
        if call.is_answered() {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        self.history.note(call);
    }

    /// Notes what the store must not do.
    pub(crate) fn found(&self, what: String) {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub(crate) fn findings(&self) -> Vec<String> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The clients end with their present call.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The keys of a directory.
pub(crate) fn keys(directory: usize) -> impl Iterator<Item = String> {
    (0..KEYS).map(move |n| key(directory, n))
}

/// One of them; any number names one.
pub(crate) fn key(directory: usize, n: usize) -> String {
    format!("d{directory:04}/k{}", n % KEYS)
}
