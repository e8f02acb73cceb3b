//! Watches: a persistent recursive watch of a directory tells which keys to read again, and what changed since the last
//! cut is told as the next one (contract 7.6).

use std::sync::Arc;

use futures_util::stream;
use kvdb_core::{Changes, Error, ErrorKind, Feed, Result, Retry, Revision, WatchSpec};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::backend::Shared;
use crate::follow::Follower;
use crate::{cut, path};

/// How many cuts wait for a reader. While none fits, what happens is remembered by name alone.
const ROOM: usize = 4;

/// Ends the task that feeds when the feed is dropped.
struct Owner(AbortHandle);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Registers a watch: the servers tell changes from now on, and what is there now is read.
///
/// # Errors
/// `Compacted` when something may have changed after `spec.after`, for ZooKeeper keeps no history: directories that
/// came or went count too. `FutureRevision`.
pub(crate) async fn open(shared: &Arc<Shared>, spec: &WatchSpec) -> Result<Feed> {
    let mut follower = Follower::new(shared, &spec.range, spec.previous);
    let changed = follower.begin().await?;
    let mut position = follower.position();
    if let Some(after) = spec.after {
        let oldest = Revision::new(changed.cast_unsigned());
        if oldest > after {
            return Err(Error::new(
                ErrorKind::Compacted { oldest },
                "ZooKeeper keeps no history, and the range may have changed since; watch from the present state",
            ));
        }
        if after > position {
            check_past(shared, spec, after).await?;
            follower.advance(after);
            position = after;
        }
    }
    let (sender, receiver) = mpsc::channel(ROOM);
    let caught_up = spec.after.map(|_| Ok(Changes::Progress(position)));
    let owner = Owner(tokio::spawn(follower.run(sender)).abort_handle());
    let changes = stream::unfold((caught_up, receiver, owner), |(mut first, mut receiver, owner)| async move {
        let next = match first.take() {
            Some(first) => Some(first),
            None => receiver.recv().await,
        };
        next.map(|next: Result<Changes>| (next, (None, receiver, owner)))
    });
    Ok(Feed { revision: position, changes: Box::pin(changes) })
}

/// Refuses a revision that the store has not reached, which only a write can tell.
async fn check_past(shared: &Shared, spec: &WatchSpec, after: Revision) -> Result<()> {
    let client = shared.sessions.client().await?;
    let below = path::prefix(&cut::root(&spec.range)).unwrap_or_default();
    let current = match shared.pass_barrier(&client, &below).await {
        Ok(zxid) => Revision::new(zxid.cast_unsigned()),
        // Who may not write is believed.
        Err(error) if error.retry() == Retry::Never => return Ok(()),
        Err(error) => return Err(error),
    };
    if after > current {
        return Err(Error::new(
            ErrorKind::FutureRevision { current },
            format!("revision {after} is above the present one, {current}"),
        ));
    }
    Ok(())
}
