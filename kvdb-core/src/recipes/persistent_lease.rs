//! A key that stays as long as its owner does (contract 13.7).
//!
//! Key layout: the one key that was named, attached to a lease of its own (default TTL 10 s). Timing: the lease is kept
//! alive every third of its TTL and counts as lost when the store says so, or when a TTL has passed since the last good
//! keep-alive was sent. The key is watched, so that a deletion or another's write is put right one round trip after it
//! is told, and at growing intervals, up to half a second, where others keep at it. A lease that was lost is replaced by
//! a new one as soon as the store grants it.
//!
//! Given up by `close` the key is gone once that has returned; dropped, in the background; when the process or its way
//! to the store is gone, within the TTL and the store's slack.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::{Handle, IntoValue, KvPair, Kvdb, Operation, Result};

mod pace;
mod sight;
mod state;
mod task;

pub use state::{PersistentState, PersistentStates};

use state::{Told, closed};
use task::Owner;

/// What is done about somebody else's value at the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnConflict {
    /// The key is ours whoever writes it: it is put anew, and a close removes it as it finds it.
    #[default]
    Reassert,
    /// The other one's value is left alone; ours is put once it is gone.
    Yield,
    /// The other one's value is left alone, and the persistent lease fails with `AlreadyExists`.
    Fail,
}

/// How a [`PersistentLease`] holds its key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PersistentLeaseOptions {
    /// How long after its owner's death the key is gone; within the store's bounds. 10 s, the seed's.
    pub ttl: Duration,
    /// What is done about somebody else's value.
    pub on_conflict: OnConflict,
}

impl Default for PersistentLeaseOptions {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(10), on_conflict: OnConflict::default() }
    }
}

impl PersistentLeaseOptions {
    /// Sets how long after its owner's death the key is gone.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets what is done about somebody else's value.
    #[must_use]
    pub const fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.on_conflict = on_conflict;
        self
    }
}

/// Keeps a key at the store with a value, until it is closed or dropped, whatever happens to the key, its lease or the
/// way to the store.
///
/// It lives as its own use of the handle: dropping other clones of the handle does not end it, closing the handle does.
#[must_use = "the key is given up when its persistent lease is dropped"]
pub struct PersistentLease {
    common: Arc<Common>,
    task: AbortHandle,
}

/// The part of a persistent lease that its task shares.
struct Common {
    kv: Handle,
    key: String,
    options: PersistentLeaseOptions,
    wanted: watch::Sender<Wanted>,
    told: watch::Sender<Told>,
    closing: watch::Sender<bool>,
}

/// The value that was set last, and the number of values that were set before it.
#[derive(Clone)]
struct Wanted {
    value: Bytes,
    number: u64,
}

impl PersistentLease {
    /// Starts to keep `key` at the store with `value`. Waits for nothing: [`PersistentLease::ready`] does.
    ///
    /// # Errors
    /// `InvalidArgument` or `TooLarge` for a key or value that the store does not take, `TtlNotSupported` for a TTL
    /// outside its bounds, `Unsupported` without LEASES, `Closed`.
    #[allow(clippy::unused_async, reason = "callers await it as every other way to take something at the store")]
    pub async fn new(kv: &Handle, key: &str, value: impl IntoValue, options: PersistentLeaseOptions) -> Result<Self> {
        let value = value.into_value();
        let key = kv.engine().check_leased(key, &value, options.ttl)?;
        let common = Arc::new(Common {
            kv: kv.clone(),
            key,
            options,
            wanted: watch::Sender::new(Wanted { value, number: 0 }),
            told: watch::Sender::new(Told::new()),
            closing: watch::Sender::new(false),
        });
        let task = kv.engine().runtime().spawn(Owner::new(Arc::clone(&common)).run()).abort_handle();
        Ok(Self { common, task })
    }

    /// The key, as pairs show it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.common.key
    }

    /// Resolves once the key is at the store with the value that was set last before this call, with the pair as it was
    /// put.
    ///
    /// # Errors
    /// What the store refuses for a reason that does not pass by waiting (`PermissionDenied`, `TtlNotSupported`, ..),
    /// though the persistent lease goes on trying; `AlreadyExists` once it has failed; `Closed`.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn ready(&self) -> Result<KvPair> {
        if self.state() == PersistentState::Closed {
            return Err(self.common.explain(closed()));
        }
        let number = self.common.wanted.borrow().number;
        let mut told = self.common.told.subscribe();
        let answer = match told.wait_for(|told| told.ready(number).is_some()).await {
            Ok(told) => told.ready(number),
            Err(_) => None,
        };
        answer.unwrap_or_else(|| Err(closed())).map_err(|error| self.common.explain(error))
    }

    /// Sets the value; never blocks, whether the store can be reached or not. Of several in a row the last one counts,
    /// and those before it may never be seen at the store.
    ///
    /// # Errors
    /// `TooLarge`; `AlreadyExists` once it has failed; `Closed`.
    pub fn set_value(&self, value: impl IntoValue) -> Result<()> {
        let common = &self.common;
        let value = value.into_value();
        common.kv.engine().check_leased(&common.key, &value, common.options.ttl)?;
        if *common.closing.borrow() {
            return Err(common.explain(closed()));
        }
        let told = common.told.borrow();
        if told.state.is_final() {
            let error = told.refused.as_ref().map_or_else(closed, crate::Error::duplicate);
            return Err(common.explain(error));
        }
        drop(told);
        common.wanted.send_modify(|wanted| *wanted = Wanted { value, number: wanted.number + 1 });
        Ok(())
    }

    /// Where it stands, as far as is known here.
    #[must_use]
    pub fn state(&self) -> PersistentState {
        let state = self.common.told.borrow().state;
        // The task hears of the handle's close a moment later.
        if !state.is_final() && self.common.kv.engine().is_closed() { PersistentState::Closed } else { state }
    }

    /// Resolves once the state is another one than `seen`, with that state.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn changed(&self, seen: PersistentState) -> PersistentState {
        let mut told = self.common.told.subscribe();
        let changed = told.wait_for(|told| told.state != seen).await;
        changed.map_or(PersistentState::Closed, |told| told.state)
    }

    /// Its states from now on, the present one first.
    #[must_use]
    pub fn states(&self) -> PersistentStates {
        PersistentStates::new(self.common.told.subscribe())
    }

    /// Gives the key up: once this has returned it is gone and nothing puts it back. A second close is Ok, as is one
    /// after the handle's. Somebody else's value that was yielded to stays.
    ///
    /// # Errors
    /// When the store cannot be reached within the handle's timeout: the key is then removed in the background once it
    /// can, and is gone with its lease at the latest.
    ///
    /// # Cancel safety
    /// Once polled, the key is given up even if the future is dropped.
    pub async fn close(&self) -> Result<()> {
        self.common.closing.send_replace(true);
        let mut told = self.common.told.subscribe();
        let ended = told.wait_for(|told| told.state.is_final()).await;
        let left = ended.ok().and_then(|told| told.left.as_ref().map(crate::Error::duplicate));
        left.map_or(Ok(()), |error| Err(self.common.explain(error)))
    }
}

impl Common {
    fn explain(&self, error: crate::Error) -> crate::Error {
        error.with_operation(Operation::Put).with_key(self.key.as_str()).with_backend(self.kv.info().backend)
    }
}

impl Drop for PersistentLease {
    fn drop(&mut self) {
        // What the task holds, it lets go of in the background.
        self.task.abort();
    }
}

impl fmt::Debug for PersistentLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistentLease")
            .field("key", &self.common.key)
            .field("options", &self.common.options)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
