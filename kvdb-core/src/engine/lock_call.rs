//! A call that runs to its end, whoever goes away.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::runtime;
use tokio::sync::{oneshot, watch};

/// Whether anybody still waits for a call: resolves when nobody does.
pub(super) type Forsaken = oneshot::Receiver<Infallible>;

/// A caller's word that it waits for a lock no longer. Other than one that drops its call, it is answered once its
/// waiter's key is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Withdrawn(Option<watch::Receiver<bool>>);

impl Withdrawn {
    /// Given once this turns true.
    pub(crate) const fn by(word: watch::Receiver<bool>) -> Self {
        Self(Some(word))
    }

    /// Whether the word is given.
    pub(crate) fn is_given(&self) -> bool {
        self.0.as_ref().is_some_and(|word| *word.borrow())
    }

    /// Resolves when the word is given.
    pub(crate) async fn until(&self) {
        match self.0.clone() {
            // A caller that is gone waits no longer either.
            Some(mut word) => drop(word.wait_for(|given| *given).await),
            None => std::future::pending().await,
        }
    }
}

/// Words of one caller are equal.
impl PartialEq for Withdrawn {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(two)) => one.same_channel(two),
            (one, two) => one.is_none() && two.is_none(),
        }
    }
}

impl Eq for Withdrawn {}

/// A call that its caller polls, as long as there is one: no task, no wake-up of another thread. Dropped before its end
/// it goes on in a task of the engine, and is told.
pub(super) struct ToTheEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    runtime: runtime::Handle,
    /// `None` once it has ended.
    call: Option<Pin<Box<F>>>,
    asked: Option<oneshot::Sender<Infallible>>,
}

impl<F> ToTheEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    pub(super) fn new(runtime: &runtime::Handle, call: impl FnOnce(Forsaken) -> F) -> Self {
        let (asked, forsaken) = oneshot::channel();
        Self { runtime: runtime.clone(), call: Some(Box::pin(call(forsaken))), asked: Some(asked) }
    }
}

impl<F> Future for ToTheEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(call) = &mut this.call else { return Poll::Pending };
        // What it waits for belongs to the engine's runtime: the caller's may end before it.
        let _engine = this.runtime.enter();
        let answer = ready!(call.as_mut().poll(context));
        this.call = None;
        Poll::Ready(answer)
    }
}

impl<F> Drop for ToTheEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn drop(&mut self) {
        drop(self.asked.take());
        if let Some(call) = self.call.take() {
            self.runtime.spawn(call);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_dropped_call_is_told_and_ends_in_the_engines_runtime_also_when_the_callers_is_gone() {
        let engine = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let callers = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (ended, end) = std::sync::mpsc::channel();
        let mut call = ToTheEnd::new(engine.handle(), |forsaken| async move {
            let mut timer = std::pin::pin!(tokio::time::sleep(Duration::from_millis(1)));
            let long = tokio::time::timeout(Duration::from_secs(3600), forsaken).await;
            timer.as_mut().await;
            let _ = ended.send(long.is_ok_and(|told| told.is_err()));
        });
        callers.block_on(async {
            assert!(futures_util::poll!(&mut call).is_pending());
        });
        drop(callers);
        assert!(end.try_recv().is_err(), "nobody polls it and it is not dropped");
        drop(call);
        assert_eq!(end.recv_timeout(Duration::from_secs(20)), Ok(true));
    }

    #[test]
    fn a_call_that_has_ended_leaves_nothing() {
        let engine = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let call = ToTheEnd::new(engine.handle(), |_| async { 7 });
        assert_eq!(engine.block_on(call), 7);
        assert_eq!(engine.metrics().num_alive_tasks(), 0);
    }
}
