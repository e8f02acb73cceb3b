//! Waiting until others have left a lock's queue, without asking the store again and again.

use std::sync::Arc;
use std::time::Duration;

use futures_core::stream::BoxStream;
use futures_util::StreamExt;

use super::Shared;
use super::deadline::Deadline;
use crate::{Capabilities, Change, Changes, Entry, Error, ErrorKind, Key, KeyRange, Result, Revision, WatchSpec};

/// Those whose leaving is waited for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    /// What is watched: the only one, or the queue.
    range: KeyRange,
    /// Who has not left yet, and what each wrote: a key that is written anew is another waiter's.
    standing: Vec<(Key, Revision)>,
    /// The wait is over once so many are left.
    most: usize,
    /// One of them left in another way than by a deletion that the store told.
    unclear: bool,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// The store told the deletions.
    Deleted,
    /// A key is not what it was, or nobody can tell.
    Unclear,
}

impl Ahead {
    /// One key, until it is gone.
    pub(super) fn one(key: Key, written: Revision) -> Self {
        Self { range: KeyRange::single(key.clone()), standing: vec![(key, written)], most: 0, unclear: false }
    }

    /// Several keys of a queue, until no more than `most` of them are left.
    pub(super) fn crowd(directory: &str, standing: Vec<(Key, Revision)>, most: usize) -> Self {
        Self { range: KeyRange::prefix(directory.as_bytes()), standing, most, unclear: false }
    }

    fn is_over(&self) -> Option<Changed> {
        let changed = if self.unclear { Changed::Unclear } else { Changed::Deleted };
        (self.standing.len() <= self.most).then_some(changed)
    }

    /// Takes out who has left by these changes.
    fn follow(&mut self, changes: &[Change]) {
        for change in changes {
            let Some(place) = self.standing.iter().position(|(key, _)| key == change.key()) else { continue };
            match change {
                Change::Put { entry, .. } if self.standing.get(place).is_some_and(|(_, it)| *it == entry.modified) => {}
                Change::Put { .. } => {
                    self.unclear = true;
                    self.standing.swap_remove(place);
                }
                Change::Delete { .. } => drop(self.standing.swap_remove(place)),
            }
        }
    }

    /// Takes out who is not there.
    fn compare(&mut self, present: &[Entry]) {
        let before = self.standing.len();
        self.standing.retain(|(key, written)| present.iter().any(|it| it.key == *key && it.modified == *written));
        self.unclear |= self.standing.len() < before;
    }
}

impl Shared {
    /// Resolves when the key is gone or rewritten. `after` is a revision at which it was there.
    pub(super) async fn until_changed(self: &Arc<Self>, key: &Key, written: Revision, after: Revision) -> Changed {
        self.until_left(Ahead::one(key.clone(), written), after).await
    }

    /// Resolves when so many have left. `after` is a revision at which all of them were there.
    pub(super) async fn until_left(self: &Arc<Self>, mut ahead: Ahead, mut after: Revision) -> Changed {
        let resumable = self.require(Capabilities::WATCH_RESUME).is_ok();
        let mut pause = Deadline::new(Duration::MAX);
        loop {
            let spec = WatchSpec::new(ahead.range.clone(), resumable.then_some(after), false);
            let opened = Deadline::new(self.timeout).one(self.open_feed(&spec)).await;
            let broken = match opened {
                Err(error) if *error.kind() == ErrorKind::Closed => return Changed::Unclear,
                Err(error) => {
                    // History may be gone: look at what is there, then watch from then on.
                    if let Ok(seen) = self.there_now(&ahead.range).await {
                        ahead.compare(&seen.0);
                        after = seen.1;
                    }
                    error
                }
                Ok(feed) if resumable => self.follow_feed(feed.changes, &mut ahead, &mut after, &mut pause).await,
                // What happened before the registration only a look can tell.
                Ok(feed) => match self.there_now(&ahead.range).await {
                    Ok((present, _)) => {
                        ahead.compare(&present);
                        match ahead.is_over() {
                            Some(changed) => return changed,
                            None => self.follow_feed(feed.changes, &mut ahead, &mut after, &mut pause).await,
                        }
                    }
                    Err(error) => error,
                },
            };
            if let Some(changed) = ahead.is_over() {
                return changed;
            }
            if pause.pause(broken).await.is_err() {
                return Changed::Unclear;
            }
        }
    }

    /// Follows a feed until the wait is over or the feed breaks.
    async fn follow_feed(
        &self,
        mut feed: BoxStream<'static, Result<Changes>>,
        ahead: &mut Ahead,
        after: &mut Revision,
        pause: &mut Deadline,
    ) -> Error {
        while let Some(Ok(changes)) = feed.next().await {
            // It works again: the next break is a new one.
            *pause = Deadline::new(Duration::MAX);
            match changes {
                Changes::Batch { revision, changes } => {
                    *after = revision;
                    ahead.follow(&changes);
                }
                Changes::Progress(revision) => *after = revision.max(*after),
                Changes::Resync { revision, present } => {
                    *after = revision;
                    ahead.compare(&present);
                }
            }
            if ahead.is_over().is_some() {
                break;
            }
        }
        Error::new(ErrorKind::Unavailable, "the watch broke")
    }

    /// What is there now.
    async fn there_now(self: &Arc<Self>, range: &KeyRange) -> Result<(Vec<Entry>, Revision)> {
        match range.as_single() {
            Some(key) => {
                let now = self.fetch(key, &mut Deadline::new(self.timeout)).await?;
                Ok((now.entry.into_iter().collect(), now.revision))
            }
            None => self.present(range, Deadline::new(self.timeout)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Revision {
        Revision::new(n)
    }

    fn entry(key: &str, n: u64) -> Entry {
        let (key, value) = (Key::from(key), crate::Bytes::new());
        Entry { key, value, created: at(n), modified: at(n), version: None, lease: None, ttl: None }
    }

    fn put(key: &str, n: u64) -> Change {
        Change::Put { entry: entry(key, n), previous: None }
    }

    fn deleted(key: &str) -> Change {
        Change::Delete { key: Key::from(key), revision: at(9), expired: false, previous: None }
    }

    fn crowd() -> Ahead {
        Ahead::crowd("q/", vec![(Key::from("q/a"), at(1)), (Key::from("q/b"), at(2)), (Key::from("q/c"), at(3))], 1)
    }

    #[test]
    fn a_crowd_is_counted_down_by_its_own_deletions_alone() {
        let mut ahead = crowd();
        ahead.follow(&[deleted("q/a"), put("q/a", 10), deleted("q/x"), put("q/b", 2)]);
        assert_eq!(ahead.is_over(), None);
        // The same name again, by another waiter behind.
        ahead.follow(&[deleted("q/a")]);
        assert_eq!(ahead.is_over(), None);
        ahead.follow(&[deleted("q/c")]);
        assert_eq!(ahead.is_over(), Some(Changed::Deleted));
    }

    #[test]
    fn who_is_missed_has_left_but_nobody_saw_how() {
        let mut ahead = crowd();
        ahead.compare(&[entry("q/a", 10), entry("q/b", 2), entry("q/c", 3)]);
        assert_eq!(ahead.is_over(), None);
        ahead.follow(&[put("q/b", 11)]);
        assert_eq!(ahead.is_over(), Some(Changed::Unclear));
    }
}
