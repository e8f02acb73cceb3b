//! A watch that calls back instead of being read (contract 7.13).

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use crate::{Error, ErrorKind, Event, KvPair, Operation, Result, Watch};

/// Calls `callback` with every change of `watch`, one after the other, until it answers an error, the watch ends or
/// [`CallbackWatch::cancel`] is called.
///
/// At most one call carries an error, and it is the last: `WatchStopped`, with the callback's own error as its
/// source, after the callback answered one; or the error that ended the watch (`Compacted`, `Closed`, ..), whatever
/// the callback answers to it. A cancelled watch makes no last call, and a callback that panics is not called again.
///
/// The callback runs on a worker of the runtime: it may take its time to hand a change over, but not block for long.
/// While it runs, the watch waits as any slow reader does.
///
/// # Errors
/// `InvalidArgument` outside of a tokio runtime.
pub fn call_back(
    watch: Watch,
    callback: impl FnMut(Result<KvPair>) -> Result<()> + Send + 'static,
) -> Result<CallbackWatch> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|source| {
        Error::invalid("a watch that calls back needs a tokio runtime to run on")
            .with_operation(Operation::Watch)
            .with_source(source)
    })?;
    let gate = Arc::new(Gate::default());
    let task = runtime.spawn(drive(watch, callback, Arc::clone(&gate))).abort_handle();
    Ok(CallbackWatch { gate, task })
}

/// A running watch that calls back. Dropping it does not stop the watch: that is for [`CallbackWatch::cancel`], for
/// the callback's own error and for the store's `close`.
#[derive(Clone)]
#[must_use = "dropping it leaves the watch running until its callback answers an error or the store is closed"]
pub struct CallbackWatch {
    gate: Arc<Gate>,
    task: AbortHandle,
}

impl CallbackWatch {
    /// Stops the watch: once this has returned the callback is neither running nor called again. Any number of calls
    /// is fine.
    ///
    /// A call that is under way on another thread is waited for, so do not cancel while holding a lock that the
    /// callback takes. Inside of a callback, this watch's own or another's, nothing is waited for: the call under
    /// way is the last one.
    pub fn cancel(&self) {
        self.gate.lock().cancelled = true;
        self.task.abort();
        if INSIDE.get() {
            return;
        }
        let mut state = self.gate.lock();
        while state.calling {
            state = self.gate.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the callback will not be called again.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.gate.lock().cancelled || self.task.is_finished()
    }
}

impl fmt::Debug for CallbackWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackWatch").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

thread_local! {
    /// Whether this thread is inside of some callback. Two callbacks that cancel each other must not wait for each
    /// other, so it is one flag for all watches.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Decides between a call and a cancellation. The lock is held for a flag's change only, never during a call.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    /// Notified when a call has ended.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cancelled: bool,
    calling: bool,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call; `None` once the watch is cancelled.
    fn enter(&self) -> Option<Call<'_>> {
        let mut state = self.lock();
        if state.cancelled {
            return None;
        }
        state.calling = true;
        Some(Call { gate: self, outer: INSIDE.replace(true) })
    }
}

/// A call under way; its drop ends it, also when the callback panics.
struct Call<'a> {
    gate: &'a Gate,
    outer: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        INSIDE.set(self.outer);
        self.gate.lock().calling = false;
        self.gate.idle.notify_all();
    }
}

async fn drive(mut watch: Watch, mut callback: impl FnMut(Result<KvPair>) -> Result<()>, gate: Arc<Gate>) {
    let last = loop {
        // A watch with a long backlog is always ready: without this no other task of the worker would get its turn.
        tokio::task::coop::consume_budget().await;
        let pair = match watch.next().await {
            Some(Ok(Event::Put(pair) | Event::Delete(pair) | Event::Expire(pair))) => pair,
            Some(Ok(Event::Progress(_) | Event::Synced(_) | Event::Resynced { .. })) => continue,
            Some(Err(error)) => break error,
            None => break stopped("the watch has ended"),
        };
        let Some(call) = gate.enter() else { return };
        let answer = callback(Ok(pair));
        drop(call);
        if let Err(error) = answer {
            break stopped("the callback answered an error").with_source(error);
        }
    };
    // The server's watch ends before the last call, so that a callback may watch anew in it.
    drop(watch);
    if let Some(_call) = gate.enter() {
        // Nobody is left to tell what it answers.
        let _ = callback(Err(last));
    }
}

fn stopped(message: &'static str) -> Error {
    Error::new(ErrorKind::WatchStopped, message).with_operation(Operation::Watch)
}
