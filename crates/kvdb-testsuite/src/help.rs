//! What trials have in common: waiting with a deadline, wanting an error.

use std::fmt;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use kvdb_core::{Error, ErrorKind, Event, KvPair, Result, Revision, Watch};

use crate::{Failure, Proof};

/// How long a trial waits for what must come, far above what any store needs.
pub const SOON: Duration = Duration::from_secs(60);

/// How often a condition that no event announces is looked at.
const AGAIN: Duration = Duration::from_millis(5);

/// Pairs without the revision at which they were read, which rises with every write of others to a shared store.
#[must_use]
pub fn whenever_read(mut pairs: Vec<KvPair>) -> Vec<KvPair> {
    pairs.iter_mut().for_each(|pair| pair.kvdb_index = Revision::ZERO);
    pairs
}

/// Waits until `condition` answers true, looking again and again; fails naming `what` after [`SOON`].
///
/// # Errors
/// When the condition does not come true in time, or looking fails.
#[track_caller]
pub fn eventually<F, Fut>(what: &str, condition: F) -> impl Future<Output = Proof> + Send
where
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = Proof<bool>> + Send,
{
    eventually_within(what, SOON, condition)
}

/// Waits until `condition` answers true, at most `within`.
///
/// # Errors
/// When the condition does not come true in time, or looking fails.
#[track_caller]
pub fn eventually_within<F, Fut>(what: &str, within: Duration, mut condition: F) -> impl Future<Output = Proof> + Send
where
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = Proof<bool>> + Send,
{
    let late = Failure::new(format_args!("not within {within:?}: {what}"));
    async move {
        let looking = async {
            while !condition().await? {
                tokio::time::sleep(AGAIN).await;
            }
            Ok(())
        };
        tokio::time::timeout(within, looking).await.unwrap_or(Err(late))
    }
}

/// Waits for a future, or for a builder that is one, at most [`SOON`].
///
/// # Errors
/// When it does not end in time.
#[track_caller]
pub fn soon<F: IntoFuture>(what: &str, future: F) -> impl Future<Output = Proof<F::Output>> + Send
where
    F::IntoFuture: Send,
    F::Output: Send,
{
    let future = future.into_future();
    let late = Failure::new(format_args!("not within {SOON:?}: {what}"));
    async move { tokio::time::timeout(SOON, future).await.map_err(|_| late) }
}

/// Wants an error of this kind; answers it.
///
/// # Errors
/// When the call was Ok or answered another kind.
#[track_caller]
pub fn expect_kind<T: fmt::Debug>(result: Result<T>, kind: &ErrorKind) -> Proof<Error> {
    expect_error(result, &format!("{kind:?}"), |found| found == kind)
}

/// Wants an error whose kind passes `matches`; answers it. For kinds that carry what a trial does not know.
///
/// # Errors
/// When the call was Ok or answered another kind.
#[track_caller]
pub fn expect_error<T: fmt::Debug>(
    result: Result<T>,
    expected: &str,
    matches: impl FnOnce(&ErrorKind) -> bool,
) -> Proof<Error> {
    match result {
        Err(error) if matches(error.kind()) => Ok(error),
        Err(error) => Err(Failure::new(format_args!("expected {expected}, the error is {error:?}"))),
        Ok(value) => Err(Failure::new(format_args!("expected {expected}, the answer is {value:?}"))),
    }
}

/// The next event of a watch, within [`SOON`].
///
/// # Errors
/// When none comes, or the watch ends or fails.
#[track_caller]
pub fn next_event(watch: &mut Watch) -> impl Future<Output = Proof<Event>> + Send + '_ {
    let ended = Failure::new("the watch has ended, an event was expected");
    let late = Failure::new(format_args!("no event within {SOON:?}"));
    let failed = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(SOON, watch.next()).await {
            Ok(Some(Ok(event))) => Ok(event),
            Ok(Some(Err(error))) => Err(Failure::new(format_args!("the watch failed: {error:?}, read at {failed}"))),
            Ok(None) => Err(ended),
            Err(_) => Err(late),
        }
    }
}

/// The pair of the next event that has one, within [`SOON`]; progress and markers are passed over.
///
/// # Errors
/// When none comes, or the watch ends or fails.
pub async fn next_pair(watch: &mut Watch) -> Proof<KvPair> {
    loop {
        if let Event::Put(pair) | Event::Delete(pair) | Event::Expire(pair) = next_event(watch).await? {
            return Ok(pair);
        }
    }
}

/// The next event that has a pair, within [`SOON`]; progress and markers are passed over.
///
/// # Errors
/// When none comes, or the watch ends or fails.
pub async fn next_change(watch: &mut Watch) -> Proof<Event> {
    loop {
        let event = next_event(watch).await?;
        if event.pair().is_some() {
            return Ok(event);
        }
    }
}

/// Wants the watch to have nothing to say: `marker` was written after all that must stay unseen and is what comes next.
///
/// # Errors
/// When another key's event comes first.
pub async fn expect_next_key(watch: &mut Watch, marker: &str) -> Proof<KvPair> {
    let pair = next_pair(watch).await?;
    if pair.key == marker {
        Ok(pair)
    } else {
        Err(Failure::new(format_args!("expected an event of {marker:?}, got one of {:?}", pair.key)))
    }
}

/// Drops a future after it was polled `polls` times and woken for each but the first; answers its output if it was
/// ready before. Stands for a caller who gives up at the n-th await.
pub async fn drop_after<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    if polls == 0 {
        return None;
    }
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(|cx| match future.poll_unpin(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}
