//! What drives a connection: one task, in which all that hyper would run in tasks of its own takes turns.
//!
//! With a task for each part a call wakes a second thread, and both then wait for each other at the connection's lock:
//! three futex calls a put instead of one and a half, counted with one task that puts.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use hyper::rt::Executor;

/// Takes what hyper wants to run. It only ever does so from inside of what [`Parts::drive`] polls, or before.
#[derive(Clone, Default)]
pub(super) struct Parts(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Parts {
    fn execute(&self, part: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(part));
    }
}

impl Parts {
    fn take(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_idle(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Runs a connection and its parts until all of them have ended.
    pub(super) async fn drive(self, connection: impl Future<Output = ()>) {
        let mut connection = pin!(connection);
        let (mut ended, mut running) = (false, FuturesUnordered::new());
        poll_fn(|context| {
            if !ended {
                ended = connection.as_mut().poll(context).is_ready();
            }
            loop {
                running.extend(self.take());
                match running.poll_next_unpin(context) {
                    Poll::Ready(Some(())) => {}
                    Poll::Ready(None) if ended => return Poll::Ready(()),
                    _ if self.is_idle() => return Poll::Pending,
                    _ => {}
                }
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn parts_run_beside_the_connection_and_outlive_it() {
        let parts = Parts::default();
        let ((begin, begun), (tell, told), (end, ending)) =
            (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let inner = parts.clone();
        parts.execute(async move {
            begun.await.unwrap();
            tell.send(()).unwrap();
            inner.execute(async move { ending.await.unwrap() });
        });
        let driver = tokio::spawn(parts.drive(async move { begin.send(()).unwrap() }));
        told.await.unwrap();
        assert!(!driver.is_finished(), "a part still runs");
        end.send(()).unwrap();
        driver.await.unwrap();
    }
}
