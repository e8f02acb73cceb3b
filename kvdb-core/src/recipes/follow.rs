//! A watch that never ends for a reason that may pass: it begins with the present state, and begins with it again
//! whenever it breaks.

use std::time::Duration;

use crate::engine::Deadline;
use crate::{Error, ErrorKind, Event, Handle, Kvdb, OnGap, Result, Target, Watch, WatchOptions, WatchStart};

/// What is followed.
pub(super) enum Place {
    /// One key.
    Key(String),
    /// The keys below a directory.
    Tree(String),
}

/// Follows a key or a directory.
pub(super) struct Follow {
    kv: Handle,
    place: Place,
    watch: Option<Watch>,
    /// They grow until a watch has delivered its whole present state.
    pauses: Deadline,
    /// Why the watch is to be opened anew, until the pause before it is over.
    broken: Option<Error>,
}

/// One step of what happens there.
pub(super) enum Step {
    /// What was told before is outdated: the present state follows, up to `Synced`, then every change.
    Begin,
    /// An event of the watch.
    Event(Event),
}

impl Follow {
    pub(super) fn new(kv: &Handle, place: Place) -> Self {
        Self { kv: kv.clone(), place, watch: None, pauses: Deadline::new(Duration::MAX), broken: None }
    }

    /// The next step. An error is one that waiting does not cure; asked again it begins anew all the same.
    ///
    /// Cancel safe: a dropped future loses no step.
    pub(super) async fn next(&mut self) -> Result<Step> {
        loop {
            let Some(watch) = &mut self.watch else {
                if let Some(broken) = &self.broken {
                    // The time of all pauses never ends.
                    let _ = self.pauses.pause(broken.duplicate()).await;
                    self.broken = None;
                }
                match open(&self.kv, &self.place).await {
                    Ok(watch) => {
                        self.watch = Some(watch);
                        return Ok(Step::Begin);
                    }
                    Err(error) => {
                        self.breaks(error)?;
                        continue;
                    }
                }
            };
            match watch.next().await {
                Some(Ok(event)) => {
                    if matches!(event, Event::Synced(_)) {
                        self.pauses = Deadline::new(Duration::MAX);
                    }
                    return Ok(Step::Event(event));
                }
                Some(Err(error)) => self.breaks(error)?,
                // A wrapper's stream may end so; a store's never does.
                None => self.breaks(Error::new(ErrorKind::Unavailable, "the watch has ended"))?,
            }
        }
    }

    /// Has the watch opened anew, after a pause; gives back an error that waiting does not cure.
    fn breaks(&mut self, error: Error) -> Result<()> {
        self.watch = None;
        self.broken = Some(error.duplicate());
        if may_pass(&error) { Ok(()) } else { Err(error) }
    }
}

async fn open(kv: &Handle, place: &Place) -> Result<Watch> {
    let target = match place {
        Place::Key(key) => Target::Key(key),
        Place::Tree(prefix) => Target::Tree(prefix),
    };
    // A gap is an end like any other here: the present state tells what became of it.
    let options = WatchOptions { start: WatchStart::Current, on_gap: Some(OnGap::Fail), ..WatchOptions::default() };
    kv.watch_opts(target, options).await
}

/// Whether the same call may succeed later with nothing done about it.
pub(super) fn may_pass(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable
            | ErrorKind::NoQuorum
            | ErrorKind::Timeout
            | ErrorKind::Contention
            | ErrorKind::Compacted { .. }
            | ErrorKind::FutureRevision { .. }
            | ErrorKind::WatchStopped
    )
}
