//! A candidate: its task takes the election's lock, tells when it leads, and takes it anew after a loss.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::engine::{Deadline, Withdrawn};
use crate::recipes::follow::may_pass;
use crate::{Error, ErrorKind, Fence, Handle, Kvdb, LockGuard, LockOptions, Operation, Result, Revision};

/// What one turn tells at most: `Candidate`, `Leader`, `Lost`, and an error. The next turn begins once all is read.
const TURN: usize = 4;

/// What happens to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElectionEvent {
    /// It campaigns; another one may lead.
    Candidate,
    /// It leads.
    Leader {
        /// Its fencing token: rises with every leader.
        token: Revision,
    },
    /// It does not lead any more and did not resign. It campaigns anew once this was read.
    Lost,
}

/// A campaign of an [`super::Election`] until it is resigned or dropped: a stream of [`ElectionEvent`]s.
///
/// It goes on while the store is out of reach. Safety is the fence, not the clock: a process that was suspended may learn
/// of the loss late, so that what only the leader may write carries [`Campaign::fence`].
#[must_use = "a campaign that is dropped is resigned"]
pub struct Campaign {
    common: Arc<Common>,
    events: mpsc::Receiver<Result<ElectionEvent>>,
    /// Turns true to resign.
    resigned: watch::Sender<bool>,
    /// Its sender is dropped with the task.
    ended: watch::Receiver<()>,
    task: AbortHandle,
}

/// The part of a campaign that its task shares.
#[derive(Debug, Default)]
struct Common {
    leads: Mutex<Option<Arc<LockGuard>>>,
    /// What failed when it resigned.
    left: Mutex<Option<Error>>,
}

impl Common {
    fn leads(&self) -> MutexGuard<'_, Option<Arc<LockGuard>>> {
        self.leads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> MutexGuard<'_, Option<Error>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Campaign {
    pub(super) fn start(kv: &Handle, name: &str, mut options: LockOptions) -> Self {
        let (tell, events) = mpsc::channel(TURN);
        let (resigned, word) = watch::channel(false);
        let (running, ended) = watch::channel(());
        let common = Arc::new(Common::default());
        options.withdrawn = Withdrawn::by(word);
        let candidate = Candidate { common: Arc::clone(&common), kv: kv.clone(), name: name.to_owned(), options, tell };
        let task = kv.engine().runtime().spawn(async move {
            candidate.run().await;
            drop(running);
        });
        Self { common, events, resigned, ended, task: task.abort_handle() }
    }

    /// The next event; `None` once it has resigned. An error is one that waiting does not cure, such as `Closed`, and
    /// ends the campaign.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Result<ElectionEvent>> {
        self.events.recv().await
    }

    /// Whether it leads, as far as is known here: by a clock that stands still while a machine is suspended.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.common.leads().as_ref().is_some_and(|lock| lock.is_held())
    }

    /// Proof of leading, while it leads: a write that carries it fails with `LockLost` once it does not any more.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        self.common.leads().as_ref().filter(|lock| lock.is_held()).map(|lock| lock.fence())
    }

    /// Ends the campaign: once this has returned its key is gone and another one may lead. A second one is Ok.
    ///
    /// # Errors
    /// When the store cannot be reached; the key then goes in the background once it can, or with its lease.
    ///
    /// # Cancel safety
    /// Once polled, it resigns even if the future is dropped.
    pub async fn resign(&self) -> Result<()> {
        self.resigned.send_replace(true);
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
        self.common.left().take().map_or(Ok(()), Err)
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        // With its call or its guard, either of which leaves the queue in the background.
        self.task.abort();
    }
}

impl Stream for Campaign {
    type Item = Result<ElectionEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(context)
    }
}

impl fmt::Debug for Campaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Campaign").field("leads", &*self.common.leads()).finish_non_exhaustive()
    }
}

/// The task's part.
struct Candidate {
    common: Arc<Common>,
    kv: Handle,
    name: String,
    options: LockOptions,
    tell: mpsc::Sender<Result<ElectionEvent>>,
}

impl Candidate {
    async fn run(self) {
        let resigned = self.options.withdrawn.clone();
        loop {
            // Who has not heard of a loss yet must not lead again behind its own back.
            let mut told = tokio::select! {
                biased;
                () = resigned.until() => return,
                told = self.tell.reserve_many(TURN) => match told {
                    Ok(told) => told,
                    Err(_) => return,
                },
            };
            let mut tell = |event| {
                if let Some(place) = told.next() {
                    place.send(event);
                }
            };
            if let Err(closed) = self.kv.engine().ensure_open(Operation::Lock, &self.name) {
                return tell(Err(closed));
            }
            tell(Ok(ElectionEvent::Candidate));
            let lock = match self.lead().await {
                Ok(lock) => Arc::new(lock),
                Err(error) if !resigned.is_given() => return tell(Err(error)),
                Err(error) => {
                    // That the wait was ended is what was asked for.
                    let ended = matches!(error.kind(), ErrorKind::LockTimeout { .. });
                    *self.common.left() = Some(error).filter(|_| !ended);
                    return;
                }
            };
            *self.common.leads() = Some(Arc::clone(&lock));
            tell(Ok(ElectionEvent::Leader { token: lock.fencing_token() }));
            tokio::select! {
                biased;
                () = resigned.until() => {
                    *self.common.leads() = None;
                    *self.common.left() = lock.release().await.err();
                    return;
                }
                _ = lock.lost() => {
                    *self.common.leads() = None;
                    tell(Ok(ElectionEvent::Lost));
                }
            }
        }
    }

    /// Waits until it leads, however often that fails for a reason that may pass.
    async fn lead(&self) -> Result<LockGuard> {
        let mut pauses = Deadline::new(Duration::MAX);
        loop {
            match self.kv.lock_opts(&self.name, self.options.clone()).await {
                Err(error) if may_pass(&error) || *error.kind() == ErrorKind::LockLost => {
                    tokio::select! {
                        biased;
                        () = self.options.withdrawn.until() => return Err(error),
                        // The time of all pauses never ends.
                        _ = pauses.pause(error.duplicate()) => {}
                    }
                }
                outcome => return outcome,
            }
        }
    }
}
