//! Who holds a lock, followed.

use std::sync::Arc;
use std::time::Duration;

use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};

use super::deadline::{Deadline, is_transient};
use super::lock_ticket as ticket;
use super::{Engine, Shared, closed_error};
use crate::{
    Change, Changes, Entry, Error, ErrorKind, Key, KeyRange, LockHolder, Operation, Result, Revision, WatchSpec,
};

/// Follows the queue of a lock by one watch, and looks at it only when its first waiter may have changed: others come
/// and leave behind it without a call.
struct Holders {
    shared: Arc<Shared>,
    directory: String,
    feed: Option<BoxStream<'static, Result<Changes>>>,
    first: First,
    /// The token of whom was told last, or that nobody holds it.
    told: Option<Option<Revision>>,
    pauses: Deadline,
}

/// What is known of the queue's first waiter.
enum First {
    Unknown,
    Nobody,
    Stands(Key, Revision),
}

impl Engine {
    /// Who holds a lock now, and then whenever it is another one or nobody. It goes on however the watch breaks, and
    /// tells the newest only; an error that waiting does not cure is the last item.
    pub(crate) fn holders(&self, name: &str) -> Result<BoxStream<'static, Result<Option<LockHolder>>>> {
        let explained = |shared: &Shared, name: &str, error| shared.explain(Operation::LockHolder, name, error);
        let directory =
            self.shared.domain.lock_directory(name).map_err(|error| explained(&self.shared, name, error))?;
        let holders = Holders {
            shared: Arc::clone(&self.shared),
            directory,
            feed: None,
            first: First::Unknown,
            told: None,
            pauses: Deadline::new(Duration::MAX),
        };
        let followed = stream::unfold(Some((holders, name.to_owned())), move |state| async move {
            let (mut holders, name) = state?;
            match holders.next().await {
                Ok(holder) => Some((Ok(holder), Some((holders, name)))),
                Err(error) => Some((Err(explained(&holders.shared, &name, error)), None)),
            }
        });
        Ok(followed.boxed())
    }
}

impl Holders {
    async fn next(&mut self) -> Result<Option<LockHolder>> {
        loop {
            self.shared.ensure_open()?;
            let step = match (&mut self.feed, &self.first) {
                (None, _) => self.register().await,
                // After the registration: what happens from now on is told by the feed.
                (Some(_), First::Unknown) => match self.look().await {
                    Ok(Some(news)) => return Ok(news),
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                },
                (Some(feed), first) => {
                    let changes = tokio::select! {
                        changes = feed.next() => changes,
                        () = self.shared.until_closed() => return Err(closed_error()),
                    };
                    match changes {
                        Some(Ok(changes)) => {
                            if first.may_change_by(&changes) {
                                self.first = First::Unknown;
                            }
                            Ok(())
                        }
                        broken => {
                            (self.feed, self.first) = (None, First::Unknown);
                            let ended = || Err(Error::new(ErrorKind::Unavailable, "the store ended the watch"));
                            broken.unwrap_or_else(ended).map(drop)
                        }
                    }
                }
            };
            if let Err(error) = step {
                // A watch from now on that lost its history begins anew like any other.
                let passes =
                    is_transient(&error) || matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Compacted { .. });
                if !passes {
                    return Err(error);
                }
                self.pauses.pause(error).await?;
            }
        }
    }

    async fn register(&mut self) -> Result<()> {
        let spec = WatchSpec::new(KeyRange::prefix(self.directory.as_bytes()), None, false);
        let feed = Deadline::new(self.shared.timeout).one(self.shared.open_feed(&spec)).await?;
        (self.feed, self.first) = (Some(feed.changes), First::Unknown);
        Ok(())
    }

    /// Who stands first, if that was not told yet.
    async fn look(&mut self) -> Result<Option<Option<LockHolder>>> {
        let queue = self.shared.queue(&self.directory, Deadline::new(self.shared.timeout)).await?;
        // It works again: the next break is a new one.
        self.pauses = Deadline::new(Duration::MAX);
        let first = queue.waiters.first();
        self.first = match first {
            Some(first) => First::Stands(first.key.clone(), first.modified),
            None => First::Nobody,
        };
        let token = first.map(|first| first.created);
        let news = self.told.replace(token) != Some(token);
        if news { first.map(ticket::read).transpose().map(Some) } else { Ok(None) }
    }
}

impl First {
    fn may_change_by(&self, changes: &Changes) -> bool {
        let it_is = |entry: &Entry| match self {
            Self::Stands(key, written) => entry.key == *key && entry.modified == *written,
            _ => false,
        };
        match (self, changes) {
            (_, Changes::Progress(_)) => false,
            (Self::Stands(key, _), Changes::Batch { changes, .. }) => changes.iter().any(|change| match change {
                Change::Put { entry, .. } => entry.key == *key && !it_is(entry),
                Change::Delete { key: deleted, .. } => deleted == key,
            }),
            (Self::Stands(..), Changes::Resync { present, .. }) => !present.iter().any(it_is),
            (_, Changes::Batch { changes, .. }) => changes.iter().any(|change| matches!(change, Change::Put { .. })),
            (_, Changes::Resync { present, .. }) => !present.is_empty(),
        }
    }
}
