//! What the handle has seen of the store's history, and what that history proves.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;

use super::Shared;
use super::deadline::Deadline;
use crate::{Capabilities, Change, Changes, Key, KeyRange, Result, Revision, WatchSpec};

/// The greatest revision that any answer showed, those of [`crate::AtOnce`] apart: they are never lost.
#[derive(Debug, Default)]
pub(super) struct Seen(AtomicU64);

impl Seen {
    pub(super) fn note(&self, revision: Revision) {
        self.0.fetch_max(revision.get(), Ordering::Relaxed);
    }

    pub(super) fn revision(&self) -> Revision {
        Revision::new(self.0.load(Ordering::Relaxed))
    }
}

impl Shared {
    /// Whether the key's history after one revision up to another surely holds nothing that `ours` takes for our own
    /// write. False also when that cannot be told: history that is gone, a store that went back, no answer in time.
    pub(super) async fn history_clears(
        &self,
        key: &Key,
        after: Revision,
        until: Revision,
        ours: impl Fn(&Change) -> bool,
        deadline: &mut Deadline,
    ) -> bool {
        if after >= until {
            // Where both are the same nothing at all was written in between.
            return after == until;
        }
        // Cuts leave out what was undone within them: there any change may hide ours.
        let ordered = self.require(Capabilities::ORDERED_UPDATES).is_ok();
        let reading = async {
            let spec = WatchSpec::new(KeyRange::single(key.clone()), Some(after), false);
            let mut feed = self.open_feed(&spec).await?;
            while let Some(step) = feed.changes.next().await.transpose()? {
                match step {
                    Changes::Batch { revision, .. } | Changes::Progress(revision) if revision > until => {
                        return Ok(true);
                    }
                    Changes::Batch { revision, changes } => {
                        if changes.iter().any(|change| change.key() == key && (!ordered || ours(change))) {
                            return Ok(false);
                        }
                        if revision == until {
                            return Ok(true);
                        }
                    }
                    Changes::Progress(revision) if revision == until => return Ok(true),
                    Changes::Progress(_) => {}
                    Changes::Resync { .. } => return Ok(false),
                }
            }
            Ok(false)
        };
        let read: Result<bool> = deadline.one(reading).await;
        read.unwrap_or(false)
    }
}
