use std::future::IntoFuture;
use std::time::Duration;

use super::Boxed;
use crate::{Kvdb, OnGap, Result, Revision, Snapshot, Target, Watch, WatchOptions, WatchStart};

/// Watches keys.
#[must_use = "a builder does nothing until it is awaited"]
pub struct WatchBuilder<'a, K: ?Sized> {
    kv: &'a K,
    target: Target<'a>,
    pub(super) options: WatchOptions,
}

impl<'a, K: Kvdb + ?Sized> WatchBuilder<'a, K> {
    pub(in crate::ext) fn new(kv: &'a K, target: Target<'a>) -> Self {
        Self { kv, target, options: WatchOptions::default() }
    }

    /// Starts with the first change above this revision.
    pub fn after(mut self, revision: impl Into<Revision>) -> Self {
        self.options.start = WatchStart::After(revision.into());
        self
    }

    /// Starts with the present state, then `Synced`, then every change.
    pub fn current(mut self) -> Self {
        self.options.start = WatchStart::Current;
        self
    }

    /// Starts with the first change after a snapshot of the same store and domain: no gap and no repeat.
    pub fn from(mut self, snapshot: &Snapshot) -> Self {
        self.options.start = WatchStart::Snapshot(snapshot.clone());
        self
    }

    /// Every event carries the pair before it.
    pub fn previous(mut self) -> Self {
        self.options.previous = true;
        self
    }

    /// What to do when the history it needs is gone.
    pub fn on_gap(mut self, on_gap: OnGap) -> Self {
        self.options.on_gap = Some(on_gap);
        self
    }

    /// Delivers `Progress` events on every store.
    pub fn progress(mut self) -> Self {
        self.options.progress = true;
        self
    }

    timeout!();
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for WatchBuilder<'a, K> {
    type Output = Result<Watch>;
    type IntoFuture = Boxed<'a, Watch>;

    fn into_future(self) -> Self::IntoFuture {
        self.kv.watch_opts(self.target, self.options)
    }
}
