//! Writing one key: conditions lowered to guards, unknown outcomes settled, TTLs granted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Shared;
use super::condition::{Plan, check, not_found};
use super::deadline::Deadline;
use super::read::action_of;
use crate::{
    Batch, Capabilities, DeleteOptions, Deleted, Entry, Error, ErrorKind, Fence, Guard, Key, KvAction, KvPair, LeaseId,
    Op, OpResult, Outcome, Precondition, PutOptions, Result, Retry, Revision,
};

/// A write of one key, as it is put to the store.
pub(super) struct KeyWrite<'a> {
    pub(super) key: &'a Key,
    pub(super) op: Op,
    pub(super) when: Precondition,
    pub(super) fence: Option<&'a Fence>,
    /// No other writer can leave this: an entry that has it proves that our write stands.
    pub(super) ours: Option<&'a LeaseId>,
}

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

    /// Writes one key under its conditions, in one round trip where one guard can say them all.
    ///
    /// An outcome that is not known is settled by reading (contract 10.4): while the guard still holds nothing was
    /// written and the write is tried again; an entry that only we can have written proves it; anything else stays
    /// ambiguous, and never becomes `Modified` or `AlreadyExists` for what may be our own success.
    pub(super) async fn write_key(
        &self,
        mut write: KeyWrite<'_>,
        deadline: &mut Deadline,
    ) -> Result<(Revision, OpResult)> {
        let plan = Plan::of(&mut write.when)?;
        let mut unsure: Option<Error> = None;
        let mut sent: Option<Guard> = None;
        loop {
            let (guard, pinned) = match &plan {
                Plan::Free => (None, None),
                Plan::Absent => (Some(Guard::Absent(write.key.clone())), None),
                Plan::Present => (Some(Guard::Present(write.key.clone())), None),
                Plan::Unchanged(revision) => (Some(Guard::Unchanged(write.key.clone(), *revision)), None),
                Plan::Examine => {
                    let fetched = self.fetch(write.key, deadline).await;
                    let entry = fetched.map_err(|error| unsure.take().unwrap_or(error))?.entry;
                    if let Err(error) = check(&write.when, entry.as_ref()) {
                        return Err(unsure.unwrap_or(error));
                    }
                    let guard = entry.as_ref().map(|entry| Guard::Unchanged(write.key.clone(), entry.modified));
                    (guard, entry)
                }
            };
            // Only the very same guard keeps both tries from being done. Another one means that the key was written
            // since, and nobody knows by whom.
            if guard != sent
                && let Some(error) = unsure
            {
                return Err(error);
            }
            sent.clone_from(&guard);
            let settles = matches!(guard, Some(Guard::Absent(_) | Guard::Unchanged(..)));
            let batch = Batch {
                guards: guard.into_iter().chain(fence_guard(write.fence)).collect(),
                ops: vec![write.op.clone()],
            };
            match deadline.write(|| self.backend.commit(&batch)).await {
                Ok(Outcome::Committed { revision, results }) => {
                    let result = results.into_iter().next().ok_or_else(mismatched_answer)?;
                    return Ok((revision, result));
                }
                Ok(Outcome::Conflict) => {
                    let fetched = self.fetch(write.key, deadline).await;
                    let now = fetched.map_err(|error| unsure.take().unwrap_or(error))?;
                    if let Some(found) = write.proof(now.entry.as_ref(), pinned.as_ref()) {
                        return Ok(found);
                    }
                    if let Some(error) = unsure {
                        return Err(error);
                    }
                    self.check_fence(write.fence, deadline).await?;
                    check(&write.when, now.entry.as_ref())?;
                    // The condition holds again: somebody wrote in between.
                    let contention = Error::new(ErrorKind::Contention, "others kept writing the key; try again later");
                    deadline.pause(contention).await?;
                }
                Err(error) if settles && error.retry() == Retry::Ambiguous && *error.kind() != ErrorKind::Timeout => {
                    let Ok(now) = self.fetch(write.key, deadline).await else { return Err(error) };
                    if let Some(found) = write.proof(now.entry.as_ref(), pinned.as_ref()) {
                        return Ok(found);
                    }
                    if !batch.guards.first().is_some_and(|guard| holds(guard, now.entry.as_ref())) {
                        return Err(error);
                    }
                    let again = error.duplicate();
                    unsure = Some(error);
                    deadline.pause(again).await?;
                }
                Err(error) if error.retry() == Retry::Ambiguous => return Err(error),
                // An earlier try may still be on its way: that this one failed for sure settles nothing.
                Err(error) => return Err(unsure.unwrap_or(error)),
            }
        }
    }

    /// Whether the lock behind a fence is still held.
    pub(super) async fn check_fence(&self, fence: Option<&Fence>, deadline: &mut Deadline) -> Result<()> {
        let Some(fence) = fence else { return Ok(()) };
        let entry = self.fetch(&fence.key, deadline).await?.entry;
        if entry.is_some_and(|entry| entry.modified == fence.token) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::LockLost,
            format!("the lock with token {} is no longer held; nothing was written", fence.token),
        ))
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

impl KeyWrite<'_> {
    /// The result of our own write, if what is there proves that it stands.
    fn proof(&self, now: Option<&Entry>, pinned: Option<&Entry>) -> Option<(Revision, OpResult)> {
        let (entry, ours) = (now?, self.ours?);
        (entry.lease.as_ref() == Some(ours))
            .then(|| (entry.modified, OpResult::Put { entry: entry.clone(), previous: pinned.cloned() }))
    }
}

/// The guard of a fence: the holder's own waiter key, as it was when the lock was taken.
pub(super) fn fence_guard(fence: Option<&Fence>) -> Option<Guard> {
    if cfg!(kvdb_mutant = "fence_not_compared") {
        return None;
    }
    fence.map(|fence| Guard::Unchanged(fence.key.clone(), fence.token))
}

fn holds(guard: &Guard, entry: Option<&Entry>) -> bool {
    match guard {
        Guard::Absent(_) => entry.is_none(),
        Guard::Present(_) => entry.is_some(),
        Guard::Unchanged(_, revision) => entry.is_some_and(|entry| entry.modified == *revision),
    }
}

/// The runtime went down in the middle of a write.
fn ended_early(source: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, "the write's task ended early").with_retry(Retry::Ambiguous).with_source(source)
}

pub(super) fn mismatched_answer() -> Error {
    Error::new(ErrorKind::Internal, "the backend's answer does not fit the request; report this as a bug")
}
