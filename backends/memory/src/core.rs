use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use bytes::Bytes;
use kvdb_core::toolkit::{Clock, Found, History, Hub, Index, Meta, Stage, Store};
use kvdb_core::{Batch, Error, ErrorKind, Limits, Outcome, Result, Revision};

use crate::config::MemoryConfig;

/// The store itself, shared by its handles.
///
/// One lock around keys and leases; the reaper's alarm is locked for moments, never before or inside of it.
pub(crate) struct Core {
    state: RwLock<State>,
    hub: Hub,
    clock: Arc<dyn Clock>,
    alarm: Arc<Alarm>,
    limits: Limits,
    list_life: Duration,
    id: u64,
}

struct State {
    index: Index<Bytes>,
    history: History,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared();
        f.debug_struct("Core")
            .field("revision", &state.index.mvcc.revision())
            .field("known_keys", &state.index.mvcc.known_keys())
            .finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(config: &MemoryConfig, clock: Arc<dyn Clock>) -> Self {
        let alarm = Arc::new(Alarm::default());
        let bell = Arc::downgrade(&alarm);
        clock.on_change(Box::new(move || {
            if let Some(alarm) = bell.upgrade() {
                alarm.ring();
            }
        }));
        Self {
            state: RwLock::new(State { index: Index::default(), history: config.history() }),
            hub: Hub::default(),
            clock,
            alarm,
            limits: config.limits(),
            list_life: config.list_life,
            // The standard library's own randomness, which no two of these share.
            id: RandomState::new().hash_one(()),
        }
    }

    /// Tells this store from every other one: none outlives its process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn commit(&self, batch: &Batch) -> Result<Outcome> {
        // Reading the clock costs as much as the rest of a small put, and only leases look at it.
        let leased = batch.ops.iter().any(|op| matches!(op, kvdb_core::Op::Put { lease: Some(_), .. }));
        let now = if leased { self.clock.now() } else { Duration::ZERO };
        self.staged(now, |stage| stage.commit(batch, |found: &Found<Bytes>| Ok(found.value.clone())))
    }

    /// Stages one request and publishes it at once.
    pub(crate) fn staged<R>(
        &self,
        now: Duration,
        request: impl FnOnce(&mut Stage<'_, Bytes>) -> Result<R>,
    ) -> Result<R> {
        let mut guard = self.exclusive();
        let State { index, history } = &mut *guard;
        let mut stage = Stage::new(index, now);
        let answer = request(&mut stage)?;
        let staged = stage.finish();
        if !staged.is_empty() {
            index.apply(staged);
            if let Some(before) = history.due(&index.mvcc, || self.clock.now()) {
                index.mvcc.compact(before, self.clock.now());
            }
            drop(guard);
            self.hub.publish();
        }
        Ok(answer)
    }

    pub(crate) fn compact(&self, before: Revision) -> Result<()> {
        let now = self.clock.now();
        let mut guard = self.exclusive();
        guard.index.mvcc.check_compaction(before)?;
        guard.index.mvcc.compact(before, now);
        drop(guard);
        // A reader that is too far behind learns of it.
        self.hub.publish();
        Ok(())
    }

    /// Makes sure that the reaper looks at the present deadlines.
    ///
    /// # Errors
    /// `Unavailable` when the system has no thread for it.
    pub(crate) fn watch_deadlines(self: &Arc<Self>) -> Result<()> {
        let first = {
            let mut watching = self.alarm.state();
            !std::mem::replace(&mut watching.running, true)
        };
        if first {
            let (core, alarm) = (Arc::downgrade(self), Arc::clone(&self.alarm));
            let reaper = std::thread::Builder::new().name("kvdb-mem-reaper".to_owned());
            if let Err(source) = reaper.spawn(move || reap(&core, &alarm)) {
                self.alarm.state().running = false;
                return Err(
                    Error::new(ErrorKind::Unavailable, "no thread for the expiry of leases").with_source(source)
                );
            }
        } else {
            self.alarm.ring();
        }
        Ok(())
    }

    /// Ends what is due; answers how long nothing else is.
    fn expire(&self) -> Option<Duration> {
        let now = self.clock.now();
        let due = self.shared().index.leases.next_due();
        if due.is_some_and(|due| due <= now) {
            // Staging an expiry cannot fail.
            let _ = self.staged(now, |stage| {
                stage.expire();
                Ok(())
            });
        }
        let next = self.shared().index.leases.next_due();
        next.map(|due| due.saturating_sub(now))
    }

    fn shared(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Core {
    type Value = Bytes;
    type View = ();

    fn read<R>(&self, look: impl FnOnce(&Index<Bytes>, &()) -> R) -> Result<R> {
        Ok(look(&self.shared().index, &()))
    }

    fn keep((): &()) {}

    fn load(&self, (): &(), _: &Meta, value: Bytes) -> Result<Bytes> {
        Ok(value)
    }

    fn hub(&self) -> &Hub {
        &self.hub
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn list_life(&self) -> Duration {
        self.list_life
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.alarm.state().ended = true;
        self.alarm.wake.notify_all();
    }
}

/// What the reaper sleeps on.
#[derive(Default)]
struct Alarm {
    state: Mutex<AlarmState>,
    wake: Condvar,
}

#[derive(Default)]
struct AlarmState {
    running: bool,
    rung: bool,
    ended: bool,
}

impl Alarm {
    fn state(&self) -> std::sync::MutexGuard<'_, AlarmState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        self.state().rung = true;
        self.wake.notify_all();
    }
}

/// Deletes the keys of leases whose time is over, until the store is dropped.
///
/// A thread and not a task: a store outlives the runtimes that use it.
fn reap(core: &Weak<Core>, alarm: &Alarm) {
    loop {
        let wait = match core.upgrade() {
            Some(core) => core.expire(),
            None => return,
        };
        let state = alarm.state();
        let asleep = |state: &mut AlarmState| !state.rung && !state.ended;
        let mut state = match wait {
            // A timer may fire a little early: the next look sees that nothing is due.
            Some(wait) => {
                let wait = wait.max(Duration::from_micros(100));
                alarm.wake.wait_timeout_while(state, wait, asleep).unwrap_or_else(PoisonError::into_inner).0
            }
            None => alarm.wake.wait_while(state, asleep).unwrap_or_else(PoisonError::into_inner),
        };
        if state.ended {
            return;
        }
        state.rung = false;
    }
}
