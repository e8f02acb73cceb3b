use std::future::IntoFuture;
use std::time::Duration;

use super::Boxed;
use crate::{IntoValue, Kvdb, LockGuard, LockMode, LockOptions, Result};

/// Takes a lock.
#[must_use = "a builder does nothing until it is awaited"]
pub struct Lock<'a, K: ?Sized> {
    kv: &'a K,
    name: &'a str,
    pub(super) options: LockOptions,
}

impl<'a, K: Kvdb + ?Sized> Lock<'a, K> {
    pub(in crate::ext) fn new(kv: &'a K, name: &'a str) -> Self {
        Self { kv, name, options: LockOptions::default() }
    }

    /// Who asks: shown to others.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.options.id = Some(id.into());
        self
    }

    /// How long to wait; zero tries once.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.options.wait = Some(wait);
        self
    }

    /// How long after the holder's death the lock frees itself.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// How long it may be held before the fatal callback is called.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.options.hold = Some(hold);
        self
    }

    /// Beside whom it may be held: [`crate::recipes::RwLock`] and [`crate::recipes::Semaphore`] set it.
    pub fn mode(mut self, mode: LockMode) -> Self {
        self.options.mode = mode;
        self
    }

    /// What is shown to others beside the id, see [`crate::LockHolder`].
    pub fn value(mut self, value: impl IntoValue) -> Self {
        self.options.value = value.into_value();
        self
    }

    timeout!();
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for Lock<'a, K> {
    type Output = Result<LockGuard>;
    type IntoFuture = Boxed<'a, LockGuard>;

    fn into_future(self) -> Self::IntoFuture {
        self.kv.lock_opts(self.name, self.options)
    }
}
