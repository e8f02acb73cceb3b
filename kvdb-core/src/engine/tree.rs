//! Deleting directories and ranges.

use std::sync::Arc;

use futures_util::StreamExt;

use super::Shared;
use super::deadline::Deadline;
use super::write::{fence_guard, mismatched_answer};
use crate::{
    Batch, Capabilities, DeleteOptions, Deleted, Error, ErrorKind, Key, KeyRange, Op, OpResult, Outcome, Result,
    Revision, Scan, Target,
};

impl Shared {
    /// Deletes every key that users see in a range (contract 3.9): in one step where the store has DELETE_RANGE and the
    /// range not more reserved directories than the store's batch has writes, else in pages, each atomic.
    ///
    /// A handle whose domain lies inside the range may take a lock between our look at the reserved directories and the
    /// deletion; such a lock is then lost, which its holder is told, and its fence keeps it from writing.
    pub(super) async fn delete_range(self: &Arc<Self>, target: Target<'_>, options: DeleteOptions) -> Result<Deleted> {
        self.ensure_open()?;
        if !options.when.is_none() {
            return Err(Error::invalid("conditions are for a single key; guard a directory by a fence"));
        }
        let range = self.target_range(target)?;
        if self.require(Capabilities::DELETE_RANGE).is_ok() {
            self.delete_at_once(range, &options).await
        } else {
            self.delete_in_pages(range, &options).await
        }
    }

    async fn delete_at_once(self: &Arc<Self>, range: KeyRange, options: &DeleteOptions) -> Result<Deleted> {
        let mut ranges = vec![range.clone()];
        let mut last_hole: Option<Vec<u8>> = None;
        let scan = Scan { keys_only: true, ..Scan::default() };
        let mut pages = self.raw_pages(&range, &scan, self.deadline(options.timeout));
        while let Some(page) = pages.next().await.transpose()? {
            for key in &page.names {
                let Some(hole) = self.domain.hiding_directory(key) else {
                    if self.domain.relative(key).is_none()
                        && let Some(last) = ranges.pop()
                    {
                        // No directory hides it, yet users do not see it: this one key stays.
                        let sides = [last.beyond(key.clone(), true), last.beyond(key.clone(), false)];
                        ranges.extend(sides.into_iter().filter(|side| !side.is_empty()));
                    }
                    continue;
                };
                if last_hole.as_deref() != Some(hole) {
                    // Names come in order, so the hole lies in the last range.
                    ranges = ranges.iter().flat_map(|range| range.without_prefix(hole)).collect();
                    last_hole = Some(hole.to_vec());
                }
            }
        }
        // As many reserved directories as fit are left standing in one step.
        let guards = usize::from(options.fence.is_some());
        let most = self.backend.limits().batch_ops.saturating_sub(guards).max(1);
        let mut total = Deleted::default();
        let mut ranges = ranges.into_iter().map(|range| Op::DeleteRange { range }).peekable();
        loop {
            let ops = ranges.by_ref().take(most).collect();
            let page = self.delete_batch(ops, options, &mut self.deadline(options.timeout)).await?;
            total.removed += page.removed;
            total.revision = page.revision;
            if ranges.peek().is_none() {
                return Ok(total);
            }
        }
    }

    async fn delete_in_pages(self: &Arc<Self>, range: KeyRange, options: &DeleteOptions) -> Result<Deleted> {
        let limits = self.backend.limits();
        let scan = Scan { keys_only: true, ..Scan::default() };
        let mut pages = self.raw_pages(&range, &scan, self.deadline(options.timeout));
        let mut total = Deleted::default();
        let mut names: Vec<Key> = Vec::new();
        while let Some(page) = pages.next().await.transpose()? {
            names.extend(page.names.into_iter().filter(|key| self.domain.relative(key).is_some()));
        }
        let guards = usize::from(options.fence.is_some());
        let mut names = names.into_iter().peekable();
        while names.peek().is_some() {
            let (mut ops, mut bytes) = (Vec::new(), 0);
            while let Some(key) = names.next_if(|key| {
                ops.is_empty() || (ops.len() + guards < limits.batch_ops && bytes + key.len() <= limits.batch_bytes)
            }) {
                bytes += key.len();
                ops.push(Op::Delete { key, previous: false });
            }
            let page = self.delete_batch(ops, options, &mut self.deadline(options.timeout)).await?;
            total.removed += page.removed;
            total.revision = page.revision;
        }
        Ok(total)
    }

    async fn delete_batch(&self, ops: Vec<Op>, options: &DeleteOptions, deadline: &mut Deadline) -> Result<Deleted> {
        let batch = Batch { guards: fence_guard(options.fence.as_ref()).into_iter().collect(), ops };
        match deadline.write(|| self.backend.commit(&batch)).await? {
            Outcome::Committed { revision, results } => {
                self.seen.note(revision);
                sum(revision, &results)
            }
            Outcome::Conflict => {
                self.check_fence(options.fence.as_ref(), deadline).await?;
                Err(Error::new(ErrorKind::Contention, "the fence failed and holds again; try again"))
            }
        }
    }
}

fn sum(revision: Revision, results: &[OpResult]) -> Result<Deleted> {
    let mut total = Deleted { revision, ..Deleted::default() };
    for result in results {
        match result {
            OpResult::Deleted { removed, .. } => total.removed += removed,
            OpResult::Put { .. } => return Err(mismatched_answer()),
        }
    }
    Ok(total)
}
