//! The task behind a persistent lease: holds a lease, puts the key, and puts it again whenever it is not as wanted.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::pace::Pace;
use super::sight::Sight;
use super::state::PersistentState;
use super::{Common, OnConflict};
use crate::recipes::follow::{Follow, Place, may_pass};
use crate::{
    CallOptions, DeleteOptions, Error, ErrorKind, Handle, KvPair, Kvdb, Lease, LeaseId, Precondition, PutOptions,
    Result, Target,
};

/// The leases that are remembered. Of the lost ones the store may still have some, each for a TTL at most.
const LEASES: usize = 4;

/// Holds the key. Dropped with the task, it lets go of everything in the background.
pub(super) struct Owner {
    common: Arc<Common>,
    /// The lease in use is the last one; a key under any of them is ours.
    leases: VecDeque<Held>,
    pace: Pace,
}

/// A lease that ends when it is let go of.
struct Held {
    kv: Handle,
    lease: Option<LeaseId>,
}

/// What is to be done next.
enum Then {
    /// Nothing until something happens.
    Wait,
    /// Another look at this time.
    Look(Instant),
    /// The lease is gone.
    Anew,
}

impl Owner {
    pub(super) fn new(common: Arc<Common>) -> Self {
        let pace = Pace::new(common.options.ttl);
        Self { common, leases: VecDeque::new(), pace }
    }

    pub(super) async fn run(mut self) {
        let common = Arc::clone(&self.common);
        let mut closing = common.closing.subscribe();
        let ended = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => None,
            () = common.kv.engine().until_closed() => return,
            error = self.hold() => Some(error),
        };
        let left = match ended {
            None => self.give_up().await.err(),
            Some(error) => {
                let taken = *error.kind() == ErrorKind::AlreadyExists;
                common.told.send_if_modified(|told| {
                    told.refused = Some(error);
                    taken && told.enter(PersistentState::Failed)
                });
                None
            }
        };
        common.told.send_if_modified(|told| {
            told.left = left;
            told.enter(PersistentState::Closed)
        });
    }

    /// Holds the key under one lease after the other; answers what ended it for good.
    async fn hold(&mut self) -> Error {
        let common = Arc::clone(&self.common);
        loop {
            let (lease, sent) = match self.grant().await {
                Ok(granted) => granted,
                Err(error) => return error,
            };
            let tended = tokio::select! {
                biased;
                () = common.kv.engine().keep_until_lost(&lease.id, lease.ttl, sent) => Ok(()),
                tended = self.tend(&lease.id) => tended,
            };
            if let Err(error) = tended {
                return error;
            }
            self.lose();
        }
    }

    /// A new lease, and when it was asked for.
    async fn grant(&mut self) -> Result<(Lease, Instant)> {
        loop {
            tokio::time::sleep_until(self.pace.at()).await;
            let sent = Instant::now();
            match self.common.kv.lease_grant(self.common.options.ttl, CallOptions::default()).await {
                Ok(lease) => {
                    self.leases.push_back(Held { kv: self.common.kv.clone(), lease: Some(lease.id.clone()) });
                    if self.leases.len() > LEASES {
                        self.leases.pop_front();
                    }
                    return Ok((lease, sent));
                }
                Err(error) => {
                    self.pace.next();
                    self.failed(error)?;
                }
            }
        }
    }

    /// Keeps the key as it is wanted until the lease is gone.
    async fn tend(&mut self, lease: &LeaseId) -> Result<()> {
        let common = Arc::clone(&self.common);
        let mut follow = Follow::new(&common.kv, Place::Key(common.key.clone()));
        let mut wanted = common.wanted.subscribe();
        let mut sight = Sight::default();
        loop {
            let look = match self.settle(&mut sight, lease).await? {
                Then::Anew => return Ok(()),
                Then::Look(at) => Some(at),
                Then::Wait => None,
            };
            let look = async {
                match look {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                step = follow.next() => match step {
                    Ok(step) => sight.take(step),
                    // It begins anew by itself.
                    Err(error) => self.failed(error)?,
                },
                // Its sender lives as long as this task.
                _ = wanted.changed() => {}
                () = look => {}
            }
        }
    }

    /// One look at the key, and what is to be done about it.
    async fn settle(&mut self, sight: &mut Sight, lease: &LeaseId) -> Result<Then> {
        if !sight.is_whole() {
            return Ok(Then::Wait);
        }
        let common = Arc::clone(&self.common);
        let wanted = common.wanted.borrow().clone();
        let (told, state) = {
            let told = common.told.borrow();
            (told.number, told.state)
        };
        let current = sight.pair.as_ref().is_some_and(|pair| pair.lease.as_ref() == Some(lease));
        if let Some(pair) = sight.pair.as_ref().filter(|pair| current && pair.value == wanted.value) {
            if state != PersistentState::Present || told != wanted.number {
                common.told.send_modify(|told| told.put(pair.clone(), wanted.number));
            }
            return Ok(Then::Wait);
        }
        // A value that was set just now is no loss of the one before.
        let healing = state != PersistentState::Pending && !(current && told != wanted.number);
        if healing {
            self.lose();
        }
        if common.options.on_conflict != OnConflict::Reassert
            && let Some(pair) = sight.pair.as_ref().filter(|pair| !self.is_ours(pair))
        {
            if common.options.on_conflict == OnConflict::Fail {
                return Err(taken(pair));
            }
            common.told.send_if_modified(|told| told.enter(PersistentState::Yielded));
            return Ok(Then::Wait);
        }
        if Instant::now() < self.pace.at() {
            return Ok(Then::Look(self.pace.at()));
        }
        if healing {
            self.pace.next();
        }
        let when = match (common.options.on_conflict, &sight.pair) {
            (OnConflict::Reassert, _) => Precondition::none(),
            (_, None) => Precondition::absent(),
            (_, Some(pair)) => Precondition { modified: Some(pair.modified_index), ..Precondition::none() },
        };
        let options = PutOptions { when, lease: Some(lease.clone()), ..PutOptions::default() };
        match common.kv.put_opts(&common.key, wanted.value, options).await {
            Ok(pair) => {
                sight.put(pair.clone());
                common.told.send_modify(|told| told.put(pair, wanted.number));
            }
            Err(error) if *error.kind() == ErrorKind::LeaseNotFound => {
                self.pace.next();
                return Ok(Then::Anew);
            }
            Err(error) => {
                self.pace.next();
                if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Modified | ErrorKind::NotFound) {
                    match common.kv.get_opts(&common.key, crate::GetOptions::default()).await {
                        Ok(found) => sight.read(found),
                        Err(error) => self.failed(error)?,
                    }
                } else {
                    self.failed(error)?;
                }
            }
        }
        Ok(Then::Look(self.pace.at()))
    }

    fn is_ours(&self, pair: &KvPair) -> bool {
        pair.lease.is_some() && self.leases.iter().any(|held| held.lease == pair.lease)
    }

    /// What was there is not ours any more.
    fn lose(&self) {
        self.common
            .told
            .send_if_modified(|told| told.state == PersistentState::Present && told.enter(PersistentState::Lost));
    }

    /// After a try that failed; gives back what ends all tries. What does not pass by waiting is told, and tried again
    /// all the same: permissions and limits change.
    fn failed(&self, error: Error) -> Result<()> {
        if *error.kind() == ErrorKind::Closed {
            return Err(error);
        }
        tracing::debug!(%error, key = self.common.key, "a persistent lease is not held; trying again");
        if !may_pass(&error) {
            self.common.told.send_modify(|told| told.refused = Some(error));
        }
        Ok(())
    }

    /// Removes the key, and ends the leases.
    async fn give_up(&mut self) -> Result<()> {
        let common = &self.common;
        let was_put = common.told.borrow().pair.is_some();
        if common.options.on_conflict == OnConflict::Reassert && was_put && !self.leases.is_empty() {
            // Before the lease ends, for then whoever waits for the key to be gone may have it.
            match common.kv.delete_opts(Target::Key(&common.key), DeleteOptions::default()).await {
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Closed) => return Err(error),
                _ => {}
            }
        }
        for held in &mut self.leases {
            let Some(lease) = &held.lease else { continue };
            match common.kv.lease_revoke(lease, CallOptions::default()).await {
                Err(error) if !matches!(error.kind(), ErrorKind::LeaseNotFound | ErrorKind::Closed) => {
                    return Err(error);
                }
                _ => held.lease = None,
            }
        }
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Nobody is to wait for a task that was cut short.
        self.common.told.send_if_modified(|told| told.enter(PersistentState::Closed));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.kv.engine().revoke_later(lease);
        }
    }
}

fn taken(pair: &KvPair) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        format!("somebody else's value is there since revision {}", pair.modified_index),
    )
}
