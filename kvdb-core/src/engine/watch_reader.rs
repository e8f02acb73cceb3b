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
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::task::coop::consume_budget;

use super::Shared;
use super::deadline::{Deadline, is_transient};
use super::watch_upstream::{Step, Subscription};
use crate::toolkit::Known;
use crate::{
    Capabilities, Changes, Error, ErrorKind, Event, Feed, KeyRange, KvAction, OnGap, Operation, Page, Result, Revision,
    Scan, Target, WatchOptions, WatchSpec, WatchStart,
};

mod start;

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
    /// What is watched, for errors.
    name: Box<str>,
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
    /// The state at `delivered`, where differences may have to be told: after a gap, and wherever a shared cut begins
    /// before this reader does.
    known: Option<Known>,
    queue: VecDeque<Event>,
}

/// What a reader hears of the shared upstream.
enum Heard {
    Step(Arc<Step>),
    /// There was more than the backlog holds, or the upstream has ended.
    Behind,
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
        let before = self.seen.revision();
        let (subscription, fresh) = self.subscribe(&range, options.previous, &mut deadline).await?;
        let ordered = has(Capabilities::ORDERED_UPDATES);
        let mut reader = Reader {
            shared: Arc::clone(self),
            name: target.name().into(),
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
            known: (on_gap == OnGap::Resync || !ordered).then(|| Known::new(options.previous)),
            queue: VecDeque::new(),
        };
        match options.start {
            WatchStart::Now => {
                // A watch of its own begins behind all that was written before the call, unless at a member that lags.
                let behind = fresh && reader.delivered >= before;
                reader.start_now(behind, &mut deadline).await?;
            }
            WatchStart::After(revision) => reader.start_after(revision, &mut deadline).await?,
            WatchStart::Current => reader.list(Closing::Synced, &deadline).await?,
            WatchStart::Snapshot(snapshot) => reader.start_from(&snapshot, &mut deadline).await?,
        }
        let revision = reader.delivered;
        // Boxed, for the stream holds a reader several times over: while it waits, and where it is handed back.
        let events = stream::unfold(Some(Box::new(reader)), |reader| async {
            let mut reader = reader?;
            match reader.next().await {
                Ok(event) => Some((Ok(event), Some(reader))),
                Err(error) => Some((Err(reader.shared.explain(Operation::Watch, &reader.name, error)), None)),
            }
        });
        // Fused: a reader may ask on after the end.
        Ok(Watch { events: Box::pin(events.fuse()), revision })
    }
}

impl Reader {
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
        deadline.read(|| self.shared.open_feed(&spec)).await
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

    async fn next(&mut self) -> Result<Event> {
        loop {
            self.shared.ensure_open()?;
            if let Some(event) = self.queue.pop_front() {
                return Ok(event);
            }
            // Steps that lie ready are taken without a look at whether the handle is being closed, which all readers
            // share: with a thousand of them it took most of their time.
            let event = match self.ready() {
                Some(step) => {
                    consume_budget().await;
                    self.follow(step).await?
                }
                None => {
                    let shared = Arc::clone(&self.shared);
                    tokio::select! {
                        biased;
                        () = shared.until_closed() => None,
                        step = self.step() => step?,
                    }
                }
            };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    /// The next step of the shared upstream, if that is what this reader follows and it is there.
    fn ready(&mut self) -> Option<Heard> {
        if self.listing.is_some() || self.own.is_some() {
            return None;
        }
        match self.subscription.steps.try_recv() {
            Ok(step) => Some(Heard::Step(step)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => Some(Heard::Behind),
        }
    }

    /// One step: a page of the present state, a step of its own feed, or one of the shared upstream. Its first event,
    /// if there is one; the others are queued.
    ///
    /// What happens rarely is boxed: each reader has room for one step.
    async fn step(&mut self) -> Result<Option<Event>> {
        if let Some((pages, closing)) = &mut self.listing {
            let closing = *closing;
            match pages.next().await.transpose() {
                Ok(Some(page)) => self.tell_page(page),
                Ok(None) => {
                    self.listing = None;
                    self.queue.push_back(closing.event(self.delivered));
                }
                Err(error) => Box::pin(self.list_again(error, closing)).await?,
            }
            return Ok(None);
        }
        if let Some(feed) = &mut self.own {
            let broken = match feed.changes.next().await {
                Some(Ok(changes)) => {
                    let event = self.tell(&changes, self.delivered)?;
                    if self.delivered >= self.subscription.position {
                        self.own = None;
                    }
                    return Ok(event);
                }
                Some(Err(error)) => error,
                None => Error::new(ErrorKind::Unavailable, "the store ended the watch"),
            };
            Box::pin(self.recover(broken)).await?;
            return Ok(None);
        }
        let heard = match self.subscription.steps.recv().await {
            Ok(step) => Heard::Step(step),
            Err(RecvError::Lagged(_) | RecvError::Closed) => Heard::Behind,
        };
        self.follow(heard).await
    }

    async fn follow(&mut self, heard: Heard) -> Result<Option<Event>> {
        let step = match heard {
            Heard::Step(step) => step,
            // Too slow for the shared backlog, or the upstream has ended: on from what was delivered.
            Heard::Behind => return Box::pin(self.catch_up()).await.map(|()| None),
        };
        match step.as_ref() {
            // A state from before what was told, by a list of the reader's own, would take some of it back. A store
            // that was restored tells it too: only the state as it is now says which.
            Step::Changes { changes: Changes::Resync { revision, .. }, .. } if *revision < self.delivered => {
                Box::pin(self.gap(*revision)).await?;
            }
            Step::Changes { from, changes } => return self.tell(changes, *from),
            Step::Large(revision) if *revision > self.delivered => Box::pin(self.catch_up()).await?,
            Step::Large(_) => {}
            // The upstream lost its history; this reader's own may still be there.
            // Likewise where the store went back to before it.
            Step::End(error)
                if matches!(error.kind(), ErrorKind::Compacted { .. } | ErrorKind::FutureRevision { .. }) =>
            {
                Box::pin(self.catch_up()).await?;
            }
            Step::End(error) => return Err(error.duplicate()),
        }
        Ok(None)
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
            return if self.ordered { self.gap(self.subscription.position).await } else { self.cut().await };
        }
        match self.own_feed(&mut deadline).await {
            Ok(feed) => {
                self.own = Some(feed);
                Ok(())
            }
            Err(error) => self.recover(error).await,
        }
    }

    /// A cut of its own: the differences to the present state are what a stream of cuts tells anyway (contract 7.6).
    async fn cut(&mut self) -> Result<()> {
        let (present, revision) = self.shared.present(&self.range, self.shared.deadline(None)).await?;
        if revision < self.delivered {
            return self.gap(revision).await;
        }
        self.tell_differences(&present, revision);
        self.queue.push_back(Event::Progress(revision));
        Ok(())
    }

    /// After a failure of its own feed.
    async fn recover(&mut self, error: Error) -> Result<()> {
        if let ErrorKind::Compacted { oldest } = *error.kind() {
            self.own = None;
            return self.gap(oldest).await;
        }
        // The store was restored to a state from before what was delivered.
        if let ErrorKind::FutureRevision { current } = *error.kind()
            && self.on_gap == OnGap::Resync
        {
            return self.gap(current).await;
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
        if self.on_gap == OnGap::Fail {
            return Err(compacted(oldest));
        }
        let mut deadline = Deadline::new(self.shared.timeout);
        let (subscription, _) = self.shared.subscribe(&self.range, self.previous, &mut deadline).await?;
        let (present, revision) = self.shared.present(&self.range, self.shared.deadline(None)).await?;
        self.subscription = subscription;
        self.own = None;
        let first = self.tell(&Changes::Resync { revision, present }, self.delivered)?;
        self.queue.extend(first);
        Ok(())
    }

    fn tell_page(&mut self, page: Page) {
        self.learn(&page.entries);
        self.delivered = self.delivered.max(page.revision);
        let state = page.entries.into_iter().filter_map(|entry| self.shared.pair(entry, KvAction::Get, page.revision));
        self.queue.extend(state.map(Event::Put));
    }

    /// The first event of what has happened after `from`, if there is one; the others are queued. A change that comes
    /// alone never takes the room of a queue.
    fn tell(&mut self, changes: &Changes, from: Revision) -> Result<Option<Event>> {
        match changes {
            Changes::Batch { revision, changes: list } if *revision > self.delivered => {
                let rest = match &mut self.known {
                    // A cut whose beginning this reader was told, or saw in the present state.
                    Some(known) if !self.ordered && from < self.delivered => {
                        Some(known.rest(list, from, self.delivered, *revision))
                    }
                    Some(known) => {
                        known.follow(changes);
                        None
                    }
                    None => None,
                };
                self.delivered = *revision;
                let list = rest.as_ref().unwrap_or(list);
                let mut events = list.iter().filter_map(|change| self.shared.event(change, *revision, self.previous));
                let first = events.next();
                self.queue.extend(events);
                if !self.ordered {
                    self.queue.push_back(Event::Progress(*revision));
                }
                Ok(first)
            }
            Changes::Progress(revision) if *revision > self.delivered => {
                self.delivered = *revision;
                Ok(self.progress.then_some(Event::Progress(*revision)))
            }
            // Told before.
            Changes::Batch { .. } | Changes::Progress(_) => Ok(None),
            Changes::Resync { revision, present } => {
                if self.on_gap == OnGap::Fail {
                    return Err(compacted(*revision));
                }
                self.tell_differences(present, *revision);
                self.queue.push_back(Event::Resynced { revision: *revision, complete: false });
                Ok(None)
            }
        }
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
