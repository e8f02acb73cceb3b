//! What the author of a wrapper writes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::Intercepted;
use crate::{AdminRequest, Error, Kvdb, Operation, Result, Revision};

/// Something around a store that can be put on and taken off while calls run.
///
/// [`Handle`](crate::Handle) folds its wrappers over the store anew with every change; calls in flight end on the old
/// fold. Most wrappers are an [`Interceptor`], for which this is implemented.
pub trait Wrapper: fmt::Debug + Send + Sync + 'static {
    /// Its name: a handle has one wrapper of a name at most.
    fn name(&self) -> &'static str;

    /// Where it stands among others, whatever the order of adding.
    fn placement(&self) -> Placement;

    /// The same store with this wrapper around it.
    fn wrap(self: Arc<Self>, inner: Arc<dyn Kvdb>) -> Arc<dyn Kvdb>;

    /// It was taken off: calls that it holds back must go on.
    fn removed(&self) {}
}

/// The order of wrappers, from the store outwards; within a placement the order of adding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Placement {
    /// Changes what is stored.
    Transform,
    /// Makes calls succeed that would fail.
    Resilience,
    /// Refuses calls.
    Guard,
    /// Looks on: sees what the user sees.
    Observe,
}

/// One call, as an interceptor sees it. It never shows a value.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// The verb.
    pub operation: Operation,
    /// The key, prefix or lock name; empty where there is none.
    pub key: &'a str,
    /// Bytes of values that are sent.
    pub sent: usize,
    /// What an `Admin` call asks for.
    pub admin: Option<&'a AdminRequest>,
}

impl<'a> Call<'a> {
    pub(super) const fn new(operation: Operation, key: &'a str) -> Self {
        Self { operation, key, sent: 0, admin: None }
    }
}

/// How a call ended, as an interceptor sees it.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct End<'a> {
    /// The error, if it failed.
    pub error: Option<&'a Error>,
    /// The revision of the answer, where it has one.
    pub revision: Option<Revision>,
    /// Bytes of values that were received, where they are known when the call returns.
    pub received: usize,
}

/// What to do with a call.
pub enum Before<'a, N> {
    /// Let it go on.
    Go(N),
    /// Answer this instead.
    Refuse(Error),
    /// Hold it back until this future lets it go on or refuses it.
    Wait(Pin<Box<dyn Future<Output = Result<N>> + Send + 'a>>),
}

impl<N: fmt::Debug> fmt::Debug for Before<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Go(note) => f.debug_tuple("Go").field(note).finish(),
            Self::Refuse(error) => f.debug_tuple("Refuse").field(error).finish(),
            Self::Wait(_) => f.write_str("Wait(..)"),
        }
    }
}

/// A wrapper that looks at every call before it goes on and after it has ended. Lock refresh, keep-alives of locks and
/// the resuming of watches run below all wrappers and are not seen.
pub trait Interceptor: fmt::Debug + Send + Sync + 'static {
    /// What is kept of a call from before to after, such as when it began.
    type Note: Send;

    /// Its name.
    fn name(&self) -> &'static str;

    /// Where it stands among others.
    fn placement(&self) -> Placement;

    /// Decides about a call.
    fn before<'a>(&'a self, call: &Call<'_>) -> Before<'a, Self::Note>;

    /// Sees how a call that went on has ended; not called for a call whose future was dropped.
    fn after(&self, note: Self::Note, call: &Call<'_>, end: &End<'_>);

    /// It was taken off: calls that it holds back must go on.
    fn removed(&self) {}
}

impl<I: Interceptor> Wrapper for I {
    fn name(&self) -> &'static str {
        Interceptor::name(self)
    }

    fn placement(&self) -> Placement {
        Interceptor::placement(self)
    }

    fn wrap(self: Arc<Self>, inner: Arc<dyn Kvdb>) -> Arc<dyn Kvdb> {
        Arc::new(Intercepted::new(self, inner))
    }

    fn removed(&self) {
        Interceptor::removed(self);
    }
}
