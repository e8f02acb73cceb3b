//! The leases that carry a handle's locks: one per TTL, kept alive while a lock uses it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::deadline::{Deadline, later_than};
use super::{Shared, closed_error};
use crate::{Backend, ErrorKind, LeaseId, Result};

/// One kept-alive lease.
///
/// It counts as lost when the store says so, or when a TTL has passed since the last good keep-alive was *sent*: by
/// then the store may have given the lock to another one.
pub(super) struct Keeper {
    pub(super) lease: LeaseId,
    ttl: Duration,
    deadline: Mutex<Instant>,
    lost: watch::Sender<bool>,
    users: AtomicUsize,
}

/// The keepers of a handle by TTL. A slot is locked while its lease is granted, so that two locks share one.
#[derive(Debug, Default)]
pub(super) struct Keepers(Mutex<HashMap<Duration, Slot>>);

type Slot = Arc<tokio::sync::Mutex<Option<Arc<Keeper>>>>;

/// A lock's share in a keeper; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) keeper: Arc<Keeper>,
    given_back: AtomicBool,
}

impl Share {
    /// A share that `users` counts already.
    fn counted(keeper: Arc<Keeper>) -> Self {
        Self { keeper, given_back: AtomicBool::new(false) }
    }

    /// The lease is no longer needed here; once is enough.
    pub(super) fn give_back(&self) {
        if !self.given_back.swap(true, Ordering::AcqRel) {
            self.keeper.users.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("lease", &self.lease).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

impl Keeper {
    fn deadline(&self) -> MutexGuard<'_, Instant> {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_alive(&self) -> bool {
        !*self.lost.borrow() && Instant::now() < *self.deadline()
    }

    /// Resolves when the lease is lost.
    pub(super) async fn until_lost(&self) {
        let mut lost = self.lost.subscribe();
        // The sender lives in `self`, so the wait ends by a loss alone.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    /// Declares the lease lost: the store said so, or the local deadline has passed.
    pub(super) fn lose(&self) {
        self.lost.send_replace(true);
    }

    /// Sends keep-alives three times a TTL until the lease is lost or nobody has used it for a whole TTL.
    async fn keep(self: Arc<Self>, shared: Weak<Shared>, slot: Slot) {
        let mut idle_since = None;
        while let Some(backend) = Self::pause(&shared, self.ttl / 3).await {
            if self.users.load(Ordering::Acquire) > 0 {
                idle_since = None;
            } else if idle_since.get_or_insert_with(Instant::now).elapsed() >= self.ttl {
                let mut slot = slot.lock().await;
                if self.users.load(Ordering::Acquire) == 0 {
                    slot.take_if(|keeper| Arc::ptr_eq(keeper, &self));
                    drop(slot);
                    if let Some(shared) = shared.upgrade() {
                        shared.janitor.revoke(self.lease.clone());
                    }
                    return;
                }
            }
            if self.refresh(backend).await.is_err() {
                self.lose();
                slot.lock().await.take_if(|keeper| Arc::ptr_eq(keeper, &self));
                return;
            }
        }
    }

    /// Waits; answers the backend, or `None` when the handle is gone or closed.
    async fn pause(shared: &Weak<Shared>, pause: Duration) -> Option<Arc<dyn Backend>> {
        tokio::time::sleep(pause).await;
        let shared = shared.upgrade()?;
        (!shared.is_closed()).then(|| Arc::clone(&shared.backend))
    }

    /// One good keep-alive, tried again until the local deadline.
    async fn refresh(&self, backend: Arc<dyn Backend>) -> Result<(), ()> {
        let until = *self.deadline();
        let next = kept_alive(&*backend, &self.lease, self.ttl, until).await?;
        *self.deadline() = next;
        Ok(())
    }
}

/// One good keep-alive of a lease, tried again until its local deadline `until`; answers the next one, counted from
/// the moment at which the keep-alive was sent.
pub(super) async fn kept_alive(
    backend: &dyn Backend,
    lease: &LeaseId,
    ttl: Duration,
    until: Instant,
) -> Result<Instant, ()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(());
        }
        let sent = Instant::now();
        // A try of its own for each third of what is left: a stalled connection must not use up all of it.
        let mut one = Deadline::new(left.min(ttl / 3).max(Duration::from_millis(1)));
        match one.one(backend.keep_alive(lease)).await {
            Ok(ttl) => return Ok(later_than(sent, ttl)),
            Err(error) if matches!(error.kind(), ErrorKind::LeaseNotFound | ErrorKind::Closed) => return Err(()),
            Err(_) => tokio::time::sleep_until((Instant::now() + ttl / 20).min(until)).await,
        }
    }
}

impl Keepers {
    fn slot(&self, ttl: Duration) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A slot that only the map knows and that is empty belongs to a TTL nobody uses any more.
        slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|keeper| keeper.is_some()));
        Arc::clone(slots.entry(ttl).or_default())
    }

    /// The store has ended a lease as it was asked to: whoever uses it here need not wait to be told.
    pub(super) async fn lose(&self, lease: &LeaseId) {
        let slots: Vec<Slot> = self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for slot in slots {
            if let Some(keeper) = slot.lock().await.as_ref().filter(|keeper| keeper.lease == *lease) {
                keeper.lose();
            }
        }
    }

    /// Takes every lease out, for its end: on close, or with the engine's drop.
    pub(super) fn drain(&self) -> Vec<LeaseId> {
        let slots = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        slots.into_values().filter_map(|slot| Some(slot.try_lock().ok()?.take()?.lease.clone())).collect()
    }
}

impl Shared {
    /// A share in the handle's kept-alive lease of this TTL, granted now if there is none.
    pub(super) async fn keeper(self: &Arc<Self>, ttl: Duration, deadline: &mut Deadline) -> Result<Share> {
        let slot = self.keepers.slot(ttl);
        // Whoever grants has a deadline of its own; waiting for it must not add up.
        let mut place = deadline.one(async { Ok(slot.lock().await) }).await?;
        self.ensure_open()?;
        if let Some(keeper) = place.as_ref().filter(|keeper| keeper.is_alive()) {
            keeper.users.fetch_add(1, Ordering::AcqRel);
            return Ok(Share::counted(Arc::clone(keeper)));
        }
        let sent = Instant::now();
        let (lease, granted) = self.grant(ttl, deadline).await?;
        let keeper = Arc::new(Keeper {
            lease,
            ttl: granted,
            deadline: Mutex::new(later_than(sent, granted)),
            lost: watch::Sender::new(false),
            users: AtomicUsize::new(1),
        });
        self.runtime.spawn(Arc::clone(&keeper).keep(Arc::downgrade(self), Arc::clone(&slot)));
        *place = Some(Arc::clone(&keeper));
        drop(place);
        let share = Share::counted(keeper);
        if self.is_closed() {
            // The close may have met the locked slot and passed it over.
            let _ = deadline.write(|| self.backend.revoke(&share.keeper.lease)).await;
            return Err(closed_error());
        }
        Ok(share)
    }
}
