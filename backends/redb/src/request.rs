//! What the writer thread is asked, and how askers wait.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use kvdb_core::{Batch, Error, LeaseId, NativeOp, NativeReply, NativeTxn, Op, Outcome, Result, Revision};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::Failure;

/// Where an answer goes. The asker may be gone: the request is carried out all the same.
pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// One thing for the writer thread to do.
#[derive(Debug)]
pub(crate) enum Request {
    Commit {
        batch: Batch,
        reply: Reply<Outcome>,
        room: OwnedSemaphorePermit,
    },
    Txn {
        txn: NativeTxn,
        reply: Reply<NativeReply>,
        room: OwnedSemaphorePermit,
    },
    Grant {
        ttl: Duration,
        reply: Reply<(LeaseId, Duration)>,
    },
    KeepAlive {
        lease: LeaseId,
        reply: Reply<Duration>,
    },
    Revoke {
        lease: LeaseId,
        reply: Reply<()>,
    },
    Compact {
        before: Revision,
        reply: Reply<()>,
    },
    /// Look at the clock again.
    Wake,
    /// Do what came before, then end.
    Close,
}

/// Sends an answer, or the group's failure in its place.
type Send = Box<dyn FnOnce(Option<&Failure>)>;

/// An answer that waits for the group to be on disk.
pub(crate) struct Answer {
    send: Send,
    room: Option<OwnedSemaphorePermit>,
}

impl Answer {
    pub(crate) fn new<T: 'static>(reply: Reply<T>, answer: Result<T>) -> Self {
        let send = Box::new(move |failure: Option<&Failure>| {
            // When nobody waits any more there is nobody to tell.
            drop(reply.send(failure.map_or(answer, |failure| Err(failure.ambiguous()))));
        });
        Self { send, room: None }
    }

    /// Keeps the queue's room taken until the answer is sent: until then the group is in memory.
    pub(crate) fn holding(mut self, room: OwnedSemaphorePermit) -> Self {
        self.room = Some(room);
        self
    }

    /// Sends it, or the group's failure.
    pub(crate) fn send(self, failure: Option<&Failure>) {
        drop(self.room);
        (self.send)(failure);
    }
}

/// The way to the writer thread, bounded by the bytes that wait in it.
#[derive(Debug)]
pub(crate) struct Queue {
    sender: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    size: u32,
}

/// The unit of the bound: permits are counted in 32 bits.
const UNIT: usize = 1024;

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It never reached the thread.
    Unsent,
    /// The thread ended while it had the request.
    InFlight,
}

impl Queue {
    pub(crate) fn new(bytes: usize) -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel();
        let size = u32::try_from((bytes / UNIT).max(1)).unwrap_or(u32::MAX);
        (Self { sender, room: Arc::new(Semaphore::new(size as usize)), size }, receiver)
    }

    /// Waits for room for a batch, then for its outcome. Dropped before it is in the queue it leaves nothing, later it
    /// leaves the whole write.
    pub(crate) async fn commit(&self, batch: &Batch) -> Result<Result<Outcome>, Lost> {
        let room = self.room_for(batch.ops.iter().map(size).sum()).await?;
        self.ask(|reply| Request::Commit { batch: batch.clone(), reply, room }).await
    }

    /// The same for a transaction.
    pub(crate) async fn txn(&self, txn: &NativeTxn) -> Result<Result<NativeReply>, Lost> {
        let room = self.room_for(txn_size(txn)).await?;
        self.ask(|reply| Request::Txn { txn: txn.clone(), reply, room }).await
    }

    async fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Lost> {
        let wanted = u32::try_from(1 + bytes / UNIT).unwrap_or(u32::MAX).min(self.size);
        Arc::clone(&self.room).acquire_many_owned(wanted).await.map_err(|_| Lost::Unsent)
    }

    /// Sends a small request and waits for its answer.
    pub(crate) async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<Result<T>, Lost> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(request(reply)).map_err(|_| Lost::Unsent)?;
        answer.await.map_err(|_| Lost::InFlight)
    }

    /// Sends what has no answer.
    pub(crate) fn tell(&self, request: Request) {
        // A thread that has ended needs no telling.
        let _ = self.sender.send(request);
    }

    /// Lets nobody in any more; who waits for room learns it.
    pub(crate) fn shut(&self) {
        self.room.close();
    }
}

fn size(op: &Op) -> usize {
    match op {
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Delete { key, .. } => key.len(),
        Op::DeleteRange { .. } => 0,
    }
}

fn txn_size(txn: &NativeTxn) -> usize {
    let ops = txn.then.iter().chain(&txn.otherwise).map(|op| match op {
        NativeOp::Put { key, value, .. } => key.len() + value.as_ref().map_or(0, kvdb_core::Bytes::len),
        NativeOp::Txn(nested) => txn_size(nested),
        _ => 0,
    });
    ops.sum()
}

/// Answers a request that is not carried out.
pub(crate) fn refuse(request: Request, why: impl Fn() -> Error) {
    match request {
        Request::Txn { reply, .. } => drop(reply.send(Err(why()))),
        Request::Commit { reply, .. } => drop(reply.send(Err(why()))),
        Request::Grant { reply, .. } => drop(reply.send(Err(why()))),
        Request::KeepAlive { reply, .. } => drop(reply.send(Err(why()))),
        Request::Revoke { reply, .. } | Request::Compact { reply, .. } => drop(reply.send(Err(why()))),
        Request::Wake | Request::Close => {}
    }
}
