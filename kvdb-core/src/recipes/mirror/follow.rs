//! Following the source's changes, each portion with its position in one commit.

use std::time::{Duration, Instant};

use super::batch::Batch;
use super::position::Position;
use super::tail::Tail;
use super::target::Target;
use super::{Mirror, MirrorStage, Stop, gone};
use crate::{
    Capabilities, Handle, Kvdb, ListOptions, LockGuard, Result, Revision, Snapshot, Target as Of, WatchOptions,
    WatchStart,
};

/// How often a position alone is kept, while what is written elsewhere in the source moves its revision on: often
/// against the minutes after which stores drop history, seldom as writes go.
const KEEP: Duration = Duration::from_secs(10);

impl Mirror {
    /// Follows the changes behind a position for ever; with `once` up to what the source is now.
    pub(super) async fn follow(
        &mut self,
        target: &mut Target,
        mut position: Position,
        snapshot: Option<Snapshot>,
        lock: &LockGuard,
    ) -> Result<(), Stop> {
        self.progress.revision = position.revision;
        let end = match self.once {
            // What has no history was copied as it is now.
            true if snapshot.is_some() => return Ok(()),
            true => Some(present(&self.from, &self.prefix).await?),
            false => None,
        };
        if end.is_some_and(|end| position.revision >= end) {
            return Ok(());
        }
        self.enter(MirrorStage::Following);
        let mut options = WatchOptions { progress: true, ..WatchOptions::default() };
        options.start = snapshot.map_or(WatchStart::After(position.revision), WatchStart::Snapshot);
        let watch = self.from.watch_opts(Of::Tree(&self.prefix), options).await.map_err(gone)?;
        let ordered = self.from.capabilities().contains(Capabilities::ORDERED_UPDATES);
        let mut tail = Tail::new(watch, ordered, target.room());
        let mut kept = Instant::now();
        loop {
            let portion = tokio::select! {
                biased;
                error = lock.lost() => return Err(error.into()),
                portion = tail.next() => portion.map_err(gone)?,
            };
            self.progress.read += portion.read;
            let reached = portion.reached.max(self.progress.revision);
            let done = end.is_some_and(|end| reached >= end);
            let mut parts = portion.batch.parts(target.room()).into_iter().peekable();
            while let Some(part) = parts.next() {
                if parts.peek().is_none() {
                    if part.is_empty() && !done && kept.elapsed() < KEEP {
                        break;
                    }
                    position.revision = reached;
                    kept = Instant::now();
                }
                // Of a transaction that no commit has room for, the parts before the last leave the position.
                self.write(target, &part, &position).await?;
            }
            self.progress.revision = reached;
            self.tell();
            if done {
                return Ok(());
            }
        }
    }

    /// Commits a batch with a position, and counts it.
    pub(super) async fn write(&mut self, target: &mut Target, batch: &Batch, position: &Position) -> Result<()> {
        target.commit(batch, position).await?;
        let (copied, deleted, bytes) = batch.counts();
        self.progress.copied += copied;
        self.progress.deleted += deleted;
        self.progress.bytes += bytes;
        self.tell();
        Ok(())
    }
}

/// The source's revision now.
async fn present(from: &Handle, prefix: &str) -> Result<Revision> {
    let options = ListOptions { keys_only: true, limit: Some(1), ..ListOptions::default() };
    let page = from.list_opts(Of::Tree(prefix), options).await?.next().await.transpose()?;
    Ok(page.map(|page| page.revision).unwrap_or_default())
}
