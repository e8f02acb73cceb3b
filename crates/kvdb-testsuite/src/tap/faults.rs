use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kvdb_core::{Error, ErrorKind, Retry};
use tokio::sync::watch;

/// A point of a backend call where a fault can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    /// Before a read.
    Get,
    /// Before a listing.
    List,
    /// Before a commit.
    Commit,
    /// After the store has committed, before the engine hears of it.
    CommitReply,
    /// Before a watch is registered.
    Watch,
    /// Before a lease is granted.
    Grant,
    /// After the store has granted, before the engine hears of it.
    GrantReply,
    /// Before a keep-alive.
    KeepAlive,
    /// Before a revocation.
    Revoke,
    /// Before a compaction.
    Compact,
}

impl Call {
    const ALL: [Self; 10] = [
        Self::Get,
        Self::List,
        Self::Commit,
        Self::CommitReply,
        Self::Watch,
        Self::Grant,
        Self::GrantReply,
        Self::KeepAlive,
        Self::Revoke,
        Self::Compact,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Answers `Unavailable` at once.
    Refuse,
    /// Answers `Unavailable` so many times more.
    RefuseNext(usize),
    /// Does not answer while the fault stands.
    Stall,
}

/// Which calls fail now, and the switch that breaks the open feeds.
#[derive(Debug)]
pub(crate) struct Faults {
    calls: Mutex<BTreeMap<Call, Fault>>,
    changed: watch::Sender<u64>,
    breaks: watch::Sender<u64>,
    held: watch::Sender<bool>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            calls: Mutex::default(),
            changed: watch::Sender::new(0),
            breaks: watch::Sender::new(0),
            held: watch::Sender::new(false),
        }
    }
}

/// The refusal of a call: behind a reply that is lost the store has done what it was asked.
fn cut(call: Call) -> Error {
    let retry = match call {
        Call::CommitReply | Call::GrantReply => Retry::Ambiguous,
        _ => Retry::Safe,
    };
    Error::new(ErrorKind::Unavailable, "the connection is cut").with_retry(retry)
}

impl Faults {
    fn calls(&self) -> MutexGuard<'_, BTreeMap<Call, Fault>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, calls: &[Call], fault: Option<Fault>) {
        for call in calls {
            match fault {
                Some(fault) => self.calls().insert(*call, fault),
                None => self.calls().remove(call),
            };
        }
        self.changed.send_modify(|count| *count += 1);
    }

    /// These calls answer `Unavailable` from now on.
    pub(crate) fn refuse_from_now(&self, calls: &[Call]) {
        self.set(calls, Some(Fault::Refuse));
    }

    /// This call answers `Unavailable` so many times.
    pub(crate) fn refuse_next(&self, call: Call, times: usize) {
        self.set(&[call], Some(Fault::RefuseNext(times)));
    }

    /// These calls get no answer from now on, until healed.
    pub(crate) fn stall(&self, calls: &[Call]) {
        self.set(calls, Some(Fault::Stall));
    }

    /// The store is gone: every call answers `Unavailable` and every feed breaks.
    pub(crate) fn die(&self) {
        self.refuse_from_now(&Call::ALL);
        self.break_feeds();
    }

    /// The store hangs: no call is answered from now on. The feeds stay open and silent calls wait until healed.
    pub(crate) fn stall_all(&self) {
        self.stall(&Call::ALL);
    }

    /// These calls work again.
    pub(crate) fn heal(&self, calls: &[Call]) {
        self.set(calls, None);
    }

    /// The store is back.
    pub(crate) fn revive(&self) {
        self.heal(&Call::ALL);
    }

    /// Ends every open feed with `Unavailable`.
    pub(crate) fn break_feeds(&self) {
        self.breaks.send_modify(|count| *count += 1);
    }

    /// Holds what open feeds have to tell back until it is let go.
    pub(crate) fn hold_feeds(&self, held: bool) {
        self.held.send_replace(held);
    }

    pub(super) fn on_hold(&self) -> watch::Receiver<bool> {
        self.held.subscribe()
    }

    pub(super) fn on_break(&self) -> watch::Receiver<u64> {
        self.breaks.subscribe()
    }

    /// The refusal that stands for a call, for calls that cannot wait.
    pub(super) fn refuse(&self, call: Call) -> Option<Error> {
        self.calls().contains_key(&call).then(|| cut(call))
    }

    /// Goes through, is refused, or waits until healed.
    pub(super) async fn pass(&self, call: Call) -> Result<(), Error> {
        let mut changed = self.changed.subscribe();
        loop {
            let fault = {
                let mut calls = self.calls();
                let fault = calls.get(&call).copied();
                match fault {
                    Some(Fault::RefuseNext(0 | 1)) => drop(calls.remove(&call)),
                    Some(Fault::RefuseNext(times)) => drop(calls.insert(call, Fault::RefuseNext(times - 1))),
                    _ => {}
                }
                fault
            };
            match fault {
                None => return Ok(()),
                Some(Fault::Refuse | Fault::RefuseNext(_)) => return Err(cut(call)),
                Some(Fault::Stall) => changed.changed().await.map_err(|_| cut(call))?,
            }
        }
    }
}
