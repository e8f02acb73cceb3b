//! Writing one key, as users ask for it: checks, TTLs granted, answers as pairs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Shared;
use super::condition::not_found;
use super::deadline::Deadline;
use super::read::action_of;
use super::write_key::KeyWrite;
use crate::{
    Capabilities, DeleteOptions, Deleted, Entry, Error, ErrorKind, Fence, Guard, Key, KvAction, KvPair, Op, OpResult,
    PutOptions, Result, Retry,
};

impl Shared {
    pub(super) async fn put(self: &Arc<Self>, name: &str, value: Bytes, options: PutOptions) -> Result<KvPair> {
        self.ensure_open()?;
        let key = self.domain.key(name)?;
        self.check_put_size(&key, &value)?;
        let Some(ttl) = options.ttl else {
            if options.lease.is_some() {
                self.require(Capabilities::LEASES)?;
            }
            return self.put_now(&key, value, options).await;
        };
        self.require(Capabilities::TTL)?;
        if options.lease.is_some() {
            return Err(Error::invalid("a put takes a TTL or a lease, not both"));
        }
        self.check_ttl(ttl)?;
        // Grant and put run to their end together: a caller that goes away leaves no lease without its key.
        let shared = Arc::clone(self);
        let task = self.runtime.spawn(async move { shared.put_with_ttl(&key, value, ttl, options).await });
        task.await.map_err(ended_early)?
    }

    async fn put_with_ttl(&self, key: &Key, value: Bytes, ttl: Duration, options: PutOptions) -> Result<KvPair> {
        let mut deadline = self.deadline(options.timeout);
        loop {
            let (lease, granted) = self.grant(ttl, &mut deadline).await?;
            let under = PutOptions { lease: Some(lease.clone()), ..options.clone() };
            match self.put_now(key, value.clone(), under).await {
                Ok(mut pair) => {
                    pair.ttl = Some(granted);
                    return Ok(pair);
                }
                // The TTL was shorter than the way to the store: nothing was written, the next try may be faster.
                Err(error) if *error.kind() == ErrorKind::LeaseNotFound => deadline.pause(error).await?,
                Err(error) => {
                    // The lease of a write that may stand is left to run out: revoking it would delete the key.
                    if error.retry() != Retry::Ambiguous {
                        self.janitor.revoke(lease);
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn put_now(&self, key: &Key, value: Bytes, options: PutOptions) -> Result<KvPair> {
        let ours = options.ttl.and(options.lease.as_ref());
        let op = Op::Put { key: key.clone(), value, lease: options.lease.clone(), previous: options.previous };
        let write = KeyWrite { key, op, when: options.when, fence: options.fence.as_ref(), ours };
        match self.write_key(write, &mut self.deadline(options.timeout)).await? {
            (revision, OpResult::Put { entry, previous }) => {
                let action = action_of(&entry);
                let mut pair = self.pair(entry, action, revision).ok_or_else(mismatched_answer)?;
                let previous = previous.filter(|_| options.previous);
                pair.previous = previous.and_then(|old| self.pair(old, KvAction::Get, revision)).map(Box::new);
                Ok(pair)
            }
            _ => Err(mismatched_answer()),
        }
    }

    pub(super) async fn delete(&self, name: &str, options: DeleteOptions) -> Result<Deleted> {
        self.ensure_open()?;
        let key = self.domain.key(name)?;
        #[cfg(kvdb_mutant = "domain_twice")]
        let key = match key.as_bytes().strip_prefix(self.domain.name().as_bytes()) {
            Some(_) if !self.domain.name().is_empty() => Key::from(format!("{}/{key}", self.domain.name())),
            _ => key,
        };
        self.check_key_size(&key)?;
        if options.when.exists == Some(false) {
            return Err(Error::invalid("a deletion cannot ask for an absent key"));
        }
        let op = Op::Delete { key: key.clone(), previous: true };
        let write = KeyWrite { key: &key, op, when: options.when, fence: options.fence.as_ref(), ours: None };
        match self.write_key(write, &mut self.deadline(options.timeout)).await? {
            (_, OpResult::Deleted { removed: 0, .. }) => Err(not_found()),
            (revision, OpResult::Deleted { removed, previous }) => {
                let pair = self.deleted_pair(&key, previous, revision, KvAction::Delete);
                Ok(Deleted { removed, revision, pair })
            }
            _ => Err(mismatched_answer()),
        }
    }

    /// Whether the lock behind a fence is still held.
    pub(super) async fn check_fence(&self, fence: Option<&Fence>, deadline: &mut Deadline) -> Result<()> {
        let Some(fence) = fence else { return Ok(()) };
        fence_holds(fence, self.fetch(&fence.key, deadline).await?.entry.as_ref())
    }

    pub(super) fn check_put_size(&self, key: &Key, value: &Bytes) -> Result<()> {
        self.check_key_size(key)?;
        let limits = self.backend.limits();
        let refuse = |what: &str, size: usize, limit: usize| {
            Err(Error::new(ErrorKind::TooLarge { limit }, format!("{what} has {size} bytes, the store takes {limit}")))
        };
        if value.len() > limits.value_bytes {
            return refuse("the value", value.len(), limits.value_bytes);
        }
        if key.len() + value.len() > limits.batch_bytes {
            return refuse("the write", key.len() + value.len(), limits.batch_bytes);
        }
        Ok(())
    }
}

/// The guard of a fence: the holder's own waiter key, as it was when the lock was taken.
pub(super) fn fence_guard(fence: Option<&Fence>) -> Option<Guard> {
    if cfg!(kvdb_mutant = "fence_not_compared") {
        return None;
    }
    fence.map(|fence| Guard::Unchanged(fence.key.clone(), fence.token))
}

/// Whether the lock behind a fence is held, by what its key holds.
pub(super) fn fence_holds(fence: &Fence, entry: Option<&Entry>) -> Result<()> {
    if entry.is_some_and(|entry| entry.modified == fence.token) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::LockLost,
        format!("the lock with token {} is no longer held; nothing was written", fence.token),
    ))
}

/// The runtime went down in the middle of a write.
fn ended_early(source: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, "the write's task ended early").with_retry(Retry::Ambiguous).with_source(source)
}

pub(super) fn mismatched_answer() -> Error {
    Error::new(ErrorKind::Internal, "the backend's answer does not fit the request; report this as a bug")
}
