//! What recipes that keep a key or follow a directory need of the engine besides its verbs.

use std::time::Duration;

use bytes::Bytes;
use tokio::runtime;
use tokio::time::Instant;

use super::Engine;
use super::deadline::later_than;
use super::keeper::kept_alive;
use crate::{Capabilities, LeaseId, LockOptions, Operation, Result, Target};

impl Engine {
    /// The runtime that the store was opened in.
    pub(crate) fn runtime(&self) -> &runtime::Handle {
        &self.shared.runtime
    }

    /// `Closed` once the handle is.
    pub(crate) fn ensure_open(&self, operation: Operation, name: &str) -> Result<()> {
        self.shared.ensure_open().map_err(|error| self.shared.explain(operation, name, error))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Resolves when the handle is closed.
    pub(crate) async fn until_closed(&self) {
        self.shared.until_closed().await;
    }

    /// Checks a key, its value and the TTL of its lease as the store would, without asking it. Answers the key as
    /// pairs show it.
    pub(crate) fn check_leased(&self, key: &str, value: &Bytes, ttl: Duration) -> Result<String> {
        let check = || {
            self.shared.ensure_open()?;
            self.shared.require(Capabilities::LEASES)?;
            self.shared.check_ttl(ttl)?;
            let (absolute, text) = self.shared.domain.named_key(key)?;
            self.shared.check_put_size(&absolute, value)?;
            Ok(text.into_owned())
        };
        check().map_err(|error| self.shared.explain(Operation::Put, key, error))
    }

    /// Checks a request for a lock as the store would, without asking it.
    pub(crate) fn check_lock(&self, name: &str, options: LockOptions) -> Result<()> {
        let checked = self.shared.lock_request(name, options);
        checked.map(drop).map_err(|error| self.shared.explain(Operation::Lock, name, error))
    }

    /// Checks what is to be watched, without asking the store.
    pub(crate) fn check_target(&self, target: Target<'_>) -> Result<()> {
        let checked = self.shared.ensure_open().and_then(|()| self.shared.target_range(target));
        checked.map(drop).map_err(|error| self.shared.explain(Operation::Watch, target.name(), error))
    }

    /// Keeps a lease alive that was asked for at `sent`, below all wrappers; ends when it is lost: the store says so,
    /// or a TTL has passed since the last good keep-alive was sent.
    pub(crate) async fn keep_until_lost(&self, lease: &LeaseId, ttl: Duration, sent: Instant) {
        let mut until = later_than(sent, ttl);
        loop {
            // Two thirds are left for the tries; the first is made at once if the way to the store took up so much.
            let left = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.saturating_sub(ttl.mul_f64(2.0 / 3.0))).await;
            match kept_alive(&*self.shared.backend, lease, ttl, until).await {
                Ok(next) => until = next,
                Err(()) => return,
            }
            self.shared.granted.note(lease.clone(), ttl);
        }
    }

    /// Ends a lease in the background, however long the store is out of reach; never blocks.
    pub(crate) fn revoke_later(&self, lease: LeaseId) {
        self.shared.janitor.revoke(lease);
    }
}
