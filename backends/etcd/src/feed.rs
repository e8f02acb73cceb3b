//! A registered watch: read as its reader reads, kept honest by requests for progress.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::WatchStream;
use futures_util::FutureExt;
use kvdb_core::toolkit::Gate;
use kvdb_core::{Changes, Error, ErrorKind, Result, Revision};
use tokio::time::Instant;

use crate::backend::Shared;
use crate::changes::Assembly;
use crate::error::{Call, error};
use crate::watch::ended;

/// How soon a feed that owes a progress asks for one: etcd serves history every 100 ms, and answers no request before.
const CATCH_UP: Duration = Duration::from_millis(110);

/// The reader's end of a watch.
///
/// A stream that is quiet is asked for its progress every [`Shared::interval`]. The answer proves that the member is
/// there, and moves the feed's position with the store, so that a reconnect does not find it compacted. Without any
/// answer for two intervals the feed ends, so that the engine registers it elsewhere.
///
/// Nothing is queued but one answer of etcd: a reader that stops lets the stream's window fill up, and the member waits.
///
/// Relied on: an answer to a request for progress comes behind all changes at or below its revision. That holds from
/// etcd 3.4.25 and 3.5.8 on; see [`Assembly::take`] for what becomes of it before.
pub(crate) struct Follower {
    shared: Arc<Shared>,
    stream: WatchStream,
    steps: Assembly,
    /// When something was last heard.
    heard: Instant,
    /// When progress is asked for next.
    ask_at: Instant,
    /// How long the next but one request waits.
    pause: Duration,
}

impl Follower {
    /// Follows a registered watch, and tells what is above `floor`.
    pub(crate) fn new(shared: Arc<Shared>, stream: WatchStream, floor: Revision, previous: bool) -> Self {
        let (heard, pause) = (Instant::now(), shared.interval());
        Self { shared, stream, steps: Assembly::new(floor, previous), heard, ask_at: heard + pause, pause }
    }

    /// There is no history up to `revision` to be told.
    pub(crate) fn caught_up(&mut self, revision: Revision) {
        self.steps.owe(revision);
        self.steps.progress(revision);
    }

    /// Owes a progress once the history up to `revision` is told. Waits for the first of it: only then is it certain
    /// that it is not compacted.
    pub(crate) async fn catch_up(&mut self, revision: Revision) -> Result<()> {
        self.steps.owe(revision);
        self.pause = CATCH_UP.min(self.shared.interval());
        self.ask_at = Instant::now() + self.pause;
        while self.steps.is_empty() {
            self.step().await?;
        }
        Ok(())
    }

    /// The next step.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: an answer is moved into `steps` before any further wait.
    pub(crate) async fn next(&mut self) -> Result<Changes> {
        loop {
            if let Some(changes) = self.steps.pop() {
                return Ok(changes);
            }
            self.step().await?;
        }
    }

    async fn step(&mut self) -> Result<()> {
        tokio::select! {
            biased;
            () = self.shared.closed() => Err(Gate::closed_error()),
            answer = self.stream.message() => {
                let answer = answer.map_err(|source| error(Call::Read, source))?.ok_or_else(ended)?.0;
                let told = !answer.events.is_empty() && !answer.fragment;
                self.steps.take(answer)?;
                self.heard = Instant::now();
                if !self.steps.owes() {
                    self.pause = self.shared.interval();
                } else if told {
                    // What was unsynchronised a moment ago may be no longer.
                    self.ask();
                }
                self.ask_at = self.heard + self.pause;
                Ok(())
            }
            () = tokio::time::sleep_until(self.ask_at) => self.tick(),
        }
    }

    fn tick(&mut self) -> Result<()> {
        let (now, interval) = (Instant::now(), self.shared.interval());
        if now.duration_since(self.heard) >= interval.saturating_mul(2) {
            // A feed that nobody has read for a while could hear nothing.
            let neglected = now.duration_since(self.ask_at) > interval / 2;
            if !neglected {
                let message = format!("etcd told no progress within {:?}", interval.saturating_mul(2));
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            self.heard = now.checked_sub(interval).unwrap_or(now);
        }
        self.ask();
        self.ask_at = now + self.pause;
        // A range without history is caught up by the first answer; with a long one there is no hurry.
        self.pause = self.pause.saturating_mul(2).min(interval);
        Ok(())
    }

    /// Asks for progress. The client sends a request at once unless a hundred wait already.
    fn ask(&mut self) {
        let _ = self.stream.request_progress().now_or_never();
    }
}
