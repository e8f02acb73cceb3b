//! What drops ask for: one task per engine, fed by an unbounded channel that any thread can send to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime;
use tokio::sync::mpsc;

use super::deadline::Deadline;
use super::lock_queue::Place;
use crate::{Backend, Batch, ErrorKind, Guard, Key, LeaseId, Op, Result, Revision};

/// How long one try of a chore may take before it is tried anew.
const TRY: Duration = Duration::from_secs(10);

/// Something to be cleaned up however long the store is out of reach.
#[derive(Debug)]
enum Chore {
    /// Delete a key of ours if it is still this write.
    Delete { key: Key, written: Revision },
    /// Keep an enqueue that may be on its way from standing in a queue, for as long as its lease lives.
    Void { place: Place, lease: LeaseId },
    /// End a lease of ours and its keys.
    Revoke(LeaseId),
}

/// Sends chores; never blocks and never fails, also from a plain thread or a runtime that is going down. When the
/// runtime is gone the leases free what is left.
#[derive(Clone, Debug)]
pub(super) struct Janitor(mpsc::UnboundedSender<Chore>);

impl Janitor {
    pub(super) fn start(runtime: &runtime::Handle, backend: Arc<dyn Backend>) -> Self {
        let (chores, queue) = mpsc::unbounded_channel();
        runtime.spawn(work(backend, queue));
        Self(chores)
    }

    pub(super) fn delete(&self, key: Key, written: Revision) {
        // A failed send means that the runtime is gone.
        let _ = self.0.send(Chore::Delete { key, written });
    }

    pub(super) fn void(&self, place: Place, lease: LeaseId) {
        let _ = self.0.send(Chore::Void { place, lease });
    }

    pub(super) fn revoke(&self, lease: LeaseId) {
        let _ = self.0.send(Chore::Revoke(lease));
    }
}

/// Ends once the engine is gone and every chore is done or has had its last try.
async fn work(backend: Arc<dyn Backend>, mut queue: mpsc::UnboundedReceiver<Chore>) {
    let mut chores = FuturesUnordered::new();
    loop {
        tokio::select! {
            chore = queue.recv() => match chore {
                Some(chore) => chores.push(until_done(Arc::clone(&backend), chore)),
                None => break,
            },
            Some(()) = chores.next() => {}
        }
    }
    // Without its engine nothing keeps a lease alive any more: what is not done soon ends by itself.
    let _ = tokio::time::timeout(TRY, chores.collect::<()>()).await;
}

async fn until_done(backend: Arc<dyn Backend>, chore: Chore) {
    // One for all tries, so that the pauses grow: a broken store is not asked hundreds of times a second.
    let mut pauses = Deadline::new(Duration::MAX);
    loop {
        let result = attempt(backend.as_ref(), &chore, &mut Deadline::new(TRY)).await;
        match result {
            Ok(()) => return,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Closed | ErrorKind::LeaseNotFound | ErrorKind::PermissionDenied
                ) =>
            {
                return;
            }
            Err(error) => {
                tracing::debug!(%error, ?chore, "cleaning up failed; trying again");
                let _ = pauses.pause(error).await;
            }
        }
    }
}

async fn attempt(backend: &dyn Backend, chore: &Chore, deadline: &mut Deadline) -> Result<()> {
    match chore {
        Chore::Delete { key, written } => {
            let guards = vec![Guard::Unchanged(key.clone(), *written)];
            let batch = Batch { guards, ops: vec![Op::Delete { key: key.clone(), previous: false }] };
            // A conflict is as good: the key is gone or not ours.
            deadline.write(|| backend.commit(&batch)).await.map(drop)
        }
        Chore::Void { place, lease } => {
            let (key, lease) = (place.void.clone(), Some(lease.clone()));
            let void = Op::Put { key, value: Bytes::new(), lease, previous: false };
            let gone = Op::Delete { key: place.waiter.clone(), previous: false };
            let batch = Batch { guards: Vec::new(), ops: vec![void, gone] };
            deadline.write(|| backend.commit(&batch)).await.map(drop)
        }
        Chore::Revoke(lease) => deadline.write(|| backend.revoke(lease)).await,
    }
}
