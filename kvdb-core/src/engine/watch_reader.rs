//! One reader of a watch: where it starts, what it was told, and how it catches up.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio::sync::broadcast::error::RecvError;

use super::Shared;
use super::deadline::{Deadline, is_transient};
use super::watch_resync::Known;
use super::watch_upstream::{Step, Subscription};
use crate::{
    Capabilities, Changes, Error, ErrorKind, Event, Feed, Key, KeyRange, KvAction, OnGap, Operation, Page, Read,
    Result, Revision, Scan, Snapshot, Target, WatchOptions, WatchSpec, WatchStart,
};

/// A stream of what happens to a key, a directory or a range. It ends by drop, by `close` of the handle, or with one
/// typed error after which nothing comes (contract 7.10).
pub struct Watch {
    events: BoxStream<'static, Result<Event>>,
    revision: Revision,
}

impl Watch {
    /// A watch from any stream of events: for wrappers.
    #[must_use]
    pub fn new(events: BoxStream<'static, Result<Event>>, revision: Revision) -> Self {
        Self { events, revision }
    }

    /// The next event; `None` after the error that ended the watch.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Result<Event>> {
        self.events.next().await
    }

    /// The revision that the watch starts behind.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }
}

impl Stream for Watch {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(context)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("revision", &self.revision).finish_non_exhaustive()
    }
}

struct Reader {
    shared: Arc<Shared>,
    range: KeyRange,
    previous: bool,
    progress: bool,
    on_gap: OnGap,
    ordered: bool,
    resumable: bool,
    /// Every change at or below this was delivered, or lies before the start.
    delivered: Revision,
    subscription: Subscription,
    /// A feed of the reader's own, until it has reached the subscription's position.
    own: Option<Feed>,
    /// The present state while it is being delivered, and what closes it.
    listing: Option<(BoxStream<'static, Result<Page>>, Closing)>,
    known: Option<Known>,
    queue: VecDeque<Event>,
}

#[derive(Clone, Copy)]
enum Closing {
    Synced,
    Resynced,
}

impl Closing {
    const fn event(self, revision: Revision) -> Event {
        match self {
            Self::Synced => Event::Synced(revision),
            Self::Resynced => Event::Resynced { revision, complete: true },
        }
    }
}

impl Shared {
    pub(super) async fn watch(self: &Arc<Self>, target: Target<'_>, options: WatchOptions) -> Result<Watch> {
        self.ensure_open()?;
        let range = self.target_range(target)?;
        let has = |capability| self.require(capability).is_ok();
        let resumable = has(Capabilities::WATCH_RESUME);
        let on_gap = options.on_gap.unwrap_or(if resumable { OnGap::Fail } else { OnGap::Resync });
        let mut deadline = self.deadline(options.timeout);
        let (subscription, fresh) = self.subscribe(&range, options.previous, &mut deadline).await?;
        let ordered = has(Capabilities::ORDERED_UPDATES);
        let mut reader = Reader {
            shared: Arc::clone(self),
            range,
            previous: options.previous,
            progress: options.progress || !ordered,
            on_gap,
            ordered,
            resumable,
            delivered: subscription.position,
            subscription,
            own: None,
            listing: None,
            known: (on_gap == OnGap::Resync).then(|| Known::new(options.previous)),
            queue: VecDeque::new(),
        };
        match options.start {
            WatchStart::Now => reader.start_now(fresh, &mut deadline).await?,
            WatchStart::After(revision) => reader.start_after(revision, &mut deadline).await?,
            WatchStart::Current => reader.list(Closing::Synced, &deadline).await?,
            WatchStart::Snapshot(snapshot) => reader.start_from(&snapshot, &mut deadline).await?,
        }
        let revision = reader.delivered;
        let name = target.name().to_owned();
        let events = stream::unfold(Some(reader), move |reader| {
            let name = name.clone();
            async move {
                let mut reader = reader?;
                match reader.next().await {
                    Ok(event) => Some((Ok(event), Some(reader))),
                    Err(error) => Some((Err(reader.shared.explain(Operation::Watch, &name, error)), None)),
                }
            }
        });
        Ok(Watch { events: Box::pin(events), revision })
    }
}

impl Reader {
    /// From now on: what a running upstream still has to tell from before is passed over.
    async fn start_now(&mut self, fresh: bool, deadline: &mut Deadline) -> Result<()> {
        if self.known.is_some() {
            return self.know_present(deadline).await;
        }
        if !fresh {
            let key = probe(&self.range);
            self.delivered = self.delivered.max(self.shared.fetch(&key, deadline).await?.revision);
        }
        Ok(())
    }

    async fn start_after(&mut self, revision: Revision, deadline: &mut Deadline) -> Result<()> {
        self.delivered = revision;
        // From the history to the subscription's position by a feed of its own; it also refuses what cannot be.
        let joined = match self.own_feed(deadline).await {
            Ok(feed) if self.known.is_some() => self.know_at(revision, deadline).await.map(|()| feed),
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
    async fn start_from(&mut self, snapshot: &Snapshot, deadline: &mut Deadline) -> Result<()> {
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

    /// Queues what changed between what was known and `present`.
    fn tell_differences(&mut self, present: &[crate::Entry], revision: Revision) {
        let Some(known) = &mut self.known else { return };
        let differences = known.differences(present, revision);
        self.delivered = revision;
        let events = differences.iter().filter_map(|change| self.shared.event(change, revision, self.previous));
        self.queue.extend(events);
    }

    async fn own_feed(&mut self, deadline: &mut Deadline) -> Result<Feed> {
        let spec = WatchSpec::new(self.range.clone(), Some(self.delivered), self.previous);
        deadline.read(|| self.shared.backend.watch(&spec)).await
    }

    /// Delivers the present state before anything else. Its first page is read now: what is written after the call has
    /// returned is a change and not a part of the state.
    async fn list(&mut self, closing: Closing, deadline: &Deadline) -> Result<()> {
        let mut pages = self.shared.raw_pages(&self.range, &Scan::default(), deadline.renewed());
        if let Some(page) = pages.next().await.transpose()? {
            self.tell_page(page);
        }
        self.listing = Some((pages, closing));
        Ok(())
    }

    /// Learns the state at the start without delivering it.
    async fn know_present(&mut self, deadline: &Deadline) -> Result<()> {
        let (present, revision) = self.shared.present(&self.range, deadline.renewed()).await?;
        self.learn(&present);
        self.delivered = self.delivered.max(revision);
        Ok(())
    }

    async fn know_at(&mut self, revision: Revision, deadline: &Deadline) -> Result<()> {
        // Without REVISION_READS the feed was granted only because nothing has changed since.
        let at = self.shared.require(Capabilities::REVISION_READS).is_ok().then_some(revision);
        let scan = Scan { read: Read { at, ..Read::default() }, ..Scan::default() };
        let mut pages = self.shared.raw_pages(&self.range, &scan, deadline.renewed());
        while let Some(page) = pages.next().await.transpose()? {
            self.learn(&page.entries);
        }
        Ok(())
    }

    fn learn(&mut self, entries: &[crate::Entry]) {
        if let Some(known) = &mut self.known {
            entries.iter().for_each(|entry| known.put(entry));
        }
    }

    async fn next(&mut self) -> Result<Event> {
        let shared = Arc::clone(&self.shared);
        loop {
            shared.ensure_open()?;
            if let Some(event) = self.queue.pop_front() {
                return Ok(event);
            }
            tokio::select! {
                biased;
                () = shared.until_closed() => {}
                step = self.step() => step?,
            }
        }
    }

    /// One step: a page of the present state, a step of its own feed, or one of the shared upstream.
    ///
    /// Cancel safe: every await is a single receive, or is begun anew from what was delivered.
    async fn step(&mut self) -> Result<()> {
        if let Some((pages, closing)) = &mut self.listing {
            let closing = *closing;
            return match pages.next().await.transpose() {
                Ok(Some(page)) => {
                    self.tell_page(page);
                    Ok(())
                }
                Ok(None) => {
                    self.listing = None;
                    self.queue.push_back(closing.event(self.delivered));
                    Ok(())
                }
                Err(error) => self.list_again(error, closing).await,
            };
        }
        if let Some(feed) = &mut self.own {
            match feed.changes.next().await {
                Some(Ok(changes)) => {
                    self.tell(&changes)?;
                    if self.delivered >= self.subscription.position {
                        self.own = None;
                    }
                    return Ok(());
                }
                Some(Err(error)) => return self.recover(error).await,
                None => return self.recover(Error::new(ErrorKind::Unavailable, "the store ended the watch")).await,
            }
        }
        match self.subscription.steps.recv().await {
            Ok(step) => match step.as_ref() {
                // A state from before what was told, by a list of the reader's own, would take some of it back. A store
                // that was restored tells it too: only the state as it is now says which.
                Step::Changes(Changes::Resync { revision, .. }) if *revision < self.delivered => {
                    self.gap(*revision).await
                }
                Step::Changes(changes) => self.tell(changes),
                Step::Large(revision) if *revision > self.delivered => self.catch_up().await,
                Step::Large(_) => Ok(()),
                // The upstream lost its history; this reader's own may still be there.
                Step::End(error) if matches!(error.kind(), ErrorKind::Compacted { .. }) => self.catch_up().await,
                Step::End(error) => Err(error.duplicate()),
            },
            // Too slow for the shared backlog, or the upstream has ended: on from what was delivered.
            Err(RecvError::Lagged(_) | RecvError::Closed) => self.catch_up().await,
        }
    }

    /// The present state broke off while it was delivered: the rest, as differences to what was delivered.
    async fn list_again(&mut self, error: Error, closing: Closing) -> Result<()> {
        let lost = matches!(error.kind(), ErrorKind::Compacted { .. } | ErrorKind::Timeout) || is_transient(&error);
        if self.known.is_none() || !lost {
            return Err(error);
        }
        let (present, revision) = self.shared.present(&self.range, self.shared.deadline(None)).await?;
        self.listing = None;
        self.tell_differences(&present, revision);
        self.queue.push_back(closing.event(revision));
        Ok(())
    }

    /// Joins the upstream anew and fetches what lies between from history, or from the state.
    async fn catch_up(&mut self) -> Result<()> {
        let mut deadline = Deadline::new(self.shared.timeout);
        let (subscription, _) = self.shared.subscribe(&self.range, self.previous, &mut deadline).await?;
        self.subscription = subscription;
        if !self.resumable {
            return self.gap(self.subscription.position).await;
        }
        match self.own_feed(&mut deadline).await {
            Ok(feed) => {
                self.own = Some(feed);
                Ok(())
            }
            Err(error) => self.recover(error).await,
        }
    }

    /// After a failure of its own feed.
    async fn recover(&mut self, error: Error) -> Result<()> {
        if let ErrorKind::Compacted { oldest } = *error.kind() {
            self.own = None;
            return self.gap(oldest).await;
        }
        if !is_transient(&error) && *error.kind() != ErrorKind::Timeout {
            return Err(error);
        }
        Deadline::new(Duration::MAX).pause(error).await?;
        match self.own_feed(&mut Deadline::new(self.shared.timeout)).await {
            Ok(feed) => {
                self.own = Some(feed);
                Ok(())
            }
            // Kept for the next step, which comes back here.
            Err(error) => {
                let failed = stream::once(std::future::ready(Err(error)));
                self.own = Some(Feed { revision: self.delivered, changes: Box::pin(failed) });
                Ok(())
            }
        }
    }

    /// History is gone: the error, or the differences and a fresh start.
    async fn gap(&mut self, oldest: Revision) -> Result<()> {
        if self.known.is_none() {
            return Err(compacted(oldest));
        }
        let mut deadline = Deadline::new(self.shared.timeout);
        let (subscription, _) = self.shared.subscribe(&self.range, self.previous, &mut deadline).await?;
        let (present, revision) = self.shared.present(&self.range, self.shared.deadline(None)).await?;
        self.subscription = subscription;
        self.own = None;
        self.tell(&Changes::Resync { revision, present })
    }

    fn tell_page(&mut self, page: Page) {
        self.learn(&page.entries);
        self.delivered = self.delivered.max(page.revision);
        let state = page.entries.into_iter().filter_map(|entry| self.shared.pair(entry, KvAction::Get, page.revision));
        self.queue.extend(state.map(Event::Put));
    }

    fn tell(&mut self, changes: &Changes) -> Result<()> {
        match changes {
            Changes::Batch { revision, changes: list } if *revision > self.delivered => {
                if let Some(known) = &mut self.known {
                    known.follow(changes);
                }
                self.delivered = *revision;
                self.queue.extend(list.iter().filter_map(|change| self.shared.event(change, *revision, self.previous)));
                if !self.ordered {
                    self.queue.push_back(Event::Progress(*revision));
                }
            }
            Changes::Progress(revision) if *revision > self.delivered => {
                self.delivered = *revision;
                if self.progress {
                    self.queue.push_back(Event::Progress(*revision));
                }
            }
            // Told before.
            Changes::Batch { .. } | Changes::Progress(_) => {}
            Changes::Resync { revision, present } => {
                if self.known.is_none() {
                    return Err(compacted(*revision));
                }
                self.tell_differences(present, *revision);
                self.queue.push_back(Event::Resynced { revision: *revision, complete: false });
            }
        }
        Ok(())
    }
}

/// A key inside the range, to ask the store for its revision where the caller may read.
fn probe(range: &KeyRange) -> Key {
    use std::ops::Bound;
    match &range.start {
        Bound::Included(start) | Bound::Excluded(start) if start.as_bytes().ends_with(b"/") => {
            Key::new([start.as_bytes(), b"_".as_slice()].concat())
        }
        Bound::Included(start) | Bound::Excluded(start) => start.clone(),
        Bound::Unbounded => Key::from("_"),
    }
}

fn compacted(oldest: Revision) -> Error {
    Error::new(
        ErrorKind::Compacted { oldest },
        format!(
            "the history before revision {oldest} is gone; start from the present state, or watch with on_gap(Resync)"
        ),
    )
}
