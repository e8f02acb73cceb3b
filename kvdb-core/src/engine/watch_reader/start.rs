//! Where a reader starts.

use futures_util::StreamExt;

use super::{Closing, Reader};
use crate::engine::deadline::Deadline;
use crate::engine::watch_upstream::probe;
use crate::toolkit::Known;
use crate::{Capabilities, ErrorKind, Event, OnGap, Read, Result, Revision, Scan, Snapshot};

impl Reader {
    /// From now on: what the upstream still has to tell from before is passed over.
    pub(super) async fn start_now(&mut self, behind: bool, deadline: &mut Deadline) -> Result<()> {
        if self.known.is_some() {
            return self.know_present(deadline).await;
        }
        if !behind {
            let key = probe(&self.range);
            self.delivered = self.delivered.max(self.shared.fetch(&key, deadline).await?.revision);
        }
        Ok(())
    }

    pub(super) async fn start_after(&mut self, revision: Revision, deadline: &mut Deadline) -> Result<()> {
        // Without history the feed is granted only if nothing has changed since: then also not since this was read.
        if self.known.is_some() && !self.resumable {
            self.know_present(deadline).await?;
        }
        self.delivered = revision;
        // From the history to the subscription's position by a feed of its own; it also refuses what cannot be.
        let joined = match self.own_feed(deadline).await {
            Ok(feed) if self.known.is_some() && self.resumable => self.know_at(revision, deadline).await.map(|()| feed),
            joined => joined,
        };
        match joined {
            Ok(feed) => {
                self.own = Some(feed);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::Compacted { .. }) && self.on_gap == OnGap::Resync => {
                self.delivered = self.subscription.position;
                self.known = Some(Known::new(self.previous));
                self.list(Closing::Resynced, deadline).await
            }
            Err(error) => Err(error),
        }
    }

    /// From a snapshot: by history where the store keeps it, else by the differences to the snapshot.
    pub(super) async fn start_from(&mut self, snapshot: &Snapshot, deadline: &mut Deadline) -> Result<()> {
        if self.resumable {
            return self.start_after(snapshot.revision(), deadline).await;
        }
        let known = self.known.get_or_insert_with(|| Known::new(self.previous));
        snapshot.entries(&self.range).await?.iter().for_each(|entry| known.put(entry));
        let (present, revision) = self.shared.present(&self.range, deadline.renewed()).await?;
        self.delivered = snapshot.revision();
        self.tell_differences(&present, revision);
        if revision > snapshot.revision() {
            self.queue.push_back(Event::Progress(revision));
        }
        Ok(())
    }

    /// Learns the state at the start without delivering it.
    pub(super) async fn know_present(&mut self, deadline: &Deadline) -> Result<()> {
        let (present, revision) = self.shared.present(&self.range, deadline.renewed()).await?;
        self.learn(&present);
        self.delivered = self.delivered.max(revision);
        Ok(())
    }

    pub(super) async fn know_at(&mut self, revision: Revision, deadline: &Deadline) -> Result<()> {
        let at = self.shared.require(Capabilities::REVISION_READS).is_ok().then_some(revision);
        let scan = Scan { read: Read { at, ..Read::default() }, ..Scan::default() };
        let mut pages = self.shared.raw_pages(&self.range, &scan, deadline.renewed());
        while let Some(page) = pages.next().await.transpose()? {
            self.learn(&page.entries);
        }
        Ok(())
    }

    pub(super) fn learn(&mut self, entries: &[crate::Entry]) {
        if let Some(known) = &mut self.known {
            entries.iter().for_each(|entry| known.put(entry));
        }
    }
}
