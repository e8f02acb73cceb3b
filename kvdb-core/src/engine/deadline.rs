//! The deadline of a call, and trying again while it lasts.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use crate::{Error, ErrorKind, Result, Retry};

/// The first pause before another try; each further one is twice as long, up to [`LAST_PAUSE`], with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// The end of a call's time. It is counted from the first moment the call has to wait: a call that is answered at once
/// never looks at a clock.
#[derive(Debug)]
pub(crate) struct Deadline {
    limit: Duration,
    at: Option<Instant>,
    pause: Duration,
}

impl Deadline {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, at: None, pause: FIRST_PAUSE }
    }

    /// Counted from this moment, for what does more between its calls than wait for them.
    pub(crate) fn from_now(limit: Duration) -> Self {
        Self { at: Some(later(limit)), ..Self::new(limit) }
    }

    /// The same amount of time, not yet begun: for the next page or round trip.
    pub(crate) const fn renewed(&self) -> Self {
        Self::new(self.limit)
    }

    fn at(&mut self) -> Instant {
        *self.at.get_or_insert_with(|| later(self.limit))
    }

    /// Runs a call that changes nothing: over time it is `Timeout` and safe to repeat. Tries again while the store
    /// cannot be reached.
    pub(crate) async fn read<T, F: Future<Output = Result<T>>>(&mut self, mut attempt: impl FnMut() -> F) -> Result<T> {
        loop {
            match self.once(Retry::Safe, attempt()).await {
                Err(error) if is_transient(&error) => self.pause(error).await?,
                result => return result,
            }
        }
    }

    /// Runs a read once, whatever comes of it.
    pub(crate) async fn one<T>(&mut self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.once(Retry::Safe, future).await
    }

    /// Runs a call that writes: over time it is `Timeout` and ambiguous. Tries again only what surely was not sent.
    pub(crate) async fn write<T, F: Future<Output = Result<T>>>(
        &mut self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T> {
        loop {
            match self.once(Retry::Ambiguous, attempt()).await {
                #[cfg(kvdb_mutant = "blind_retry")]
                Err(error) if error.retry() == Retry::Ambiguous => self.pause(error).await?,
                Err(error) if is_transient(&error) => self.pause(error).await?,
                result => return result,
            }
        }
    }

    /// Runs a call that may be done twice without harm: over time it is `Timeout` and ambiguous. Tries again while the
    /// store cannot be reached, whether a try was sent or not.
    pub(crate) async fn harmless<T, F: Future<Output = Result<T>>>(
        &mut self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T> {
        loop {
            match self.once(Retry::Ambiguous, attempt()).await {
                Err(error) if is_out_of_reach(&error) && error.retry() != Retry::Never => self.pause(error).await?,
                result => return result,
            }
        }
    }

    /// Waits a little before another try; gives `error` back when there is no time left for one.
    pub(crate) async fn pause(&mut self, error: Error) -> Result<()> {
        let at = self.at();
        let pause = self.pause.mul_f64(rand::random_range(0.5..1.0));
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        let now = Instant::now();
        if now + pause >= at {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    async fn once<T>(&mut self, over_time: Retry, future: impl Future<Output = Result<T>>) -> Result<T> {
        // A store that answers at once would never let other tasks run: every call takes its share of the budget.
        consume_budget().await;
        let mut future = pin!(future);
        if let Poll::Ready(result) = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
            return result;
        }
        match tokio::time::timeout_at(self.at(), future).await {
            Ok(result) => result,
            Err(_) => {
                Err(Error::new(ErrorKind::Timeout, format!("no answer within {:?}", self.limit)).with_retry(over_time))
            }
        }
    }
}

/// Whether surely nothing was done and the next moment may be better.
pub(crate) fn is_transient(error: &Error) -> bool {
    error.retry() == Retry::Safe && is_out_of_reach(error)
}

fn is_out_of_reach(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NoQuorum)
}

/// That much later than now, or as late as the clock goes.
pub(crate) fn later(limit: Duration) -> Instant {
    later_than(Instant::now(), limit)
}

/// That much later than `start`, or as late as the clock goes.
pub(crate) fn later_than(start: Instant, limit: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    start + limit.min(FAR)
}
