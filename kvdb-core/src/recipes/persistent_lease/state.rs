//! Where a persistent lease stands, as its task tells it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use crate::{Error, ErrorKind, KvPair};

/// Where a [`super::PersistentLease`] stands, as far as is known here: the store may be ahead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PersistentState {
    /// The key has not been there yet.
    Pending,
    /// The key is there with our value, under a lease that is kept alive.
    Present,
    /// The key was there and is not ours any more: it was deleted or overwritten, or its lease was lost. It is being
    /// put back.
    Lost,
    /// Somebody else's value is at the key; it is waited until that is gone ([`super::OnConflict::Yield`]).
    Yielded,
    /// Somebody else's value was met at the key, and nothing more is done ([`super::OnConflict::Fail`]). Final.
    Failed,
    /// It was closed, itself or with its handle. Final.
    Closed,
}

impl PersistentState {
    /// Whether no other state follows.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Closed)
    }
}

/// What the task tells.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) state: PersistentState,
    /// Rises with every state and every put.
    pub(super) turn: u64,
    /// The pair as it was last put.
    pub(super) pair: Option<KvPair>,
    /// Which of the values that were set it has.
    pub(super) number: u64,
    /// Why the last try failed, if that does not pass by waiting; or what ended it.
    pub(super) refused: Option<Error>,
    /// What failed when it was given up.
    pub(super) left: Option<Error>,
}

impl Told {
    pub(super) const fn new() -> Self {
        Self { state: PersistentState::Pending, turn: 0, pair: None, number: 0, refused: None, left: None }
    }

    /// Moves on to a state; a final one stays.
    pub(super) fn enter(&mut self, state: PersistentState) -> bool {
        let moved = !self.state.is_final() && self.state != state;
        if moved {
            (self.state, self.turn) = (state, self.turn + 1);
        }
        moved
    }

    /// The key has our value of this number, by this put.
    pub(super) fn put(&mut self, pair: KvPair, number: u64) {
        if !self.state.is_final() {
            (self.state, self.turn) = (PersistentState::Present, self.turn + 1);
            (self.pair, self.number, self.refused) = (Some(pair), number, None);
        }
    }

    /// What `ready` answers, once there is an answer about the value of this number.
    pub(super) fn ready(&self, number: u64) -> Option<crate::Result<KvPair>> {
        match (self.state, &self.pair, &self.refused) {
            (PersistentState::Closed, ..) => Some(Err(closed())),
            (PersistentState::Present, Some(pair), _) if self.number >= number => Some(Ok(pair.clone())),
            (_, _, Some(refused)) => Some(Err(refused.duplicate())),
            _ => None,
        }
    }
}

/// The error of what is done after a close.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the persistent lease was closed; make a new one")
}

/// The states of a persistent lease from now on, the present one first. A reader that falls behind sees the newest;
/// `Present` twice in a row means that the key was put anew in between. Ends after a final state.
pub struct PersistentStates(BoxStream<'static, PersistentState>);

impl PersistentStates {
    pub(super) fn new(told: watch::Receiver<Told>) -> Self {
        let states = stream::unfold(Some((told, None)), |reader| async {
            let (mut told, seen) = reader?;
            let (state, turn) = {
                let news = told.wait_for(|told| Some(told.turn) != seen).await.ok()?;
                (news.state, news.turn)
            };
            Some((state, (!state.is_final()).then_some((told, Some(turn)))))
        });
        Self(states.fuse().boxed())
    }

    /// The next state; `None` after a final one.
    ///
    /// # Cancel safety
    /// Dropping the future loses no state.
    pub async fn next(&mut self) -> Option<PersistentState> {
        self.0.next().await
    }
}

impl Stream for PersistentStates {
    type Item = PersistentState;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for PersistentStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersistentStates(..)")
    }
}
