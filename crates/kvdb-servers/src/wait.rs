//! Waiting for a condition, never without a deadline.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to be ready. A cluster takes 3 s at most on two busy cores.
pub(crate) const READY: Duration = Duration::from_secs(30);

/// How long a process may take to be gone after SIGKILL.
pub(crate) const GONE: Duration = Duration::from_secs(10);

const STEP: Duration = Duration::from_millis(5);

/// Asks `condition` until it answers `Some` or `deadline` has passed; it is asked at least once.
pub(crate) fn until<T>(
    deadline: Duration,
    mut condition: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition()? {
            return Ok(Some(value));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        thread::sleep(STEP);
    }
}

pub(crate) fn timed_out(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what.to_string())
}

/// A lock that a panic of another test thread does not take away.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
