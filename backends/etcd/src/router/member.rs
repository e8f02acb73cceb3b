//! One endpoint, its connection and its health.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::SendRequest;
use tonic::body::Body;

use super::connection::{DialError, Dialling, dial};
use super::health::{Clock, Health};
use crate::endpoints::Endpoint;

/// Many callers wait for one attempt to connect.
type Dialled = Shared<BoxFuture<'static, Result<Arc<Line>, Arc<DialError>>>>;

/// An open connection. Calls go out on a clone.
#[derive(Debug)]
pub(super) struct Line(SendRequest<Body>);

#[derive(Debug)]
pub(super) struct Member {
    pub(super) endpoint: Endpoint,
    line: ArcSwapOption<Line>,
    dialled: Mutex<Option<Dialled>>,
    health: Health,
    clock: Clock,
}

impl Member {
    pub(super) fn new(endpoint: Endpoint, clock: Clock) -> Self {
        Self { endpoint, line: ArcSwapOption::empty(), dialled: Mutex::new(None), health: Health::default(), clock }
    }

    /// The connection, if there is one.
    pub(super) fn line(&self) -> Option<Arc<Line>> {
        self.line.load_full().filter(|line| !line.0.is_closed())
    }

    /// Whether new calls go elsewhere if they can. One that owes an answer for too long loses its connection: it must
    /// greet anew before it is trusted again, while its open calls may still be answered.
    pub(super) fn is_shunned(&self) -> bool {
        let now = self.clock.now();
        if self.health.doubted(now) {
            self.line.store(None);
            self.health.failed(now);
            tracing::debug!(endpoint = %self.endpoint, "a member of etcd owes an answer; calls go elsewhere");
        }
        self.health.resting(now)
    }

    /// The member works, but not for what it was asked.
    pub(super) fn is_no_use(&self) {
        self.health.failed(self.clock.now());
    }

    /// Connects, or waits for the attempt that is under way.
    ///
    /// # Cancel safety
    /// The attempt goes on for others; it ends with its time limit.
    pub(super) async fn connect(self: &Arc<Self>, dialling: &Arc<Dialling>) -> Result<Arc<Line>, Arc<DialError>> {
        let dialled = {
            let mut slot = self.dialled.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(line) = self.line() {
                return Ok(line);
            }
            match &*slot {
                Some(under_way) if under_way.peek().is_none() => under_way.clone(),
                _ => slot.insert(self.dial(dialling)).clone(),
            }
        };
        dialled.await
    }

    fn dial(self: &Arc<Self>, dialling: &Arc<Dialling>) -> Dialled {
        let (member, dialling) = (Arc::clone(self), Arc::clone(dialling));
        let attempt = tokio::spawn(async move {
            match dial(&member.endpoint, &dialling).await {
                Ok((sender, driver)) => {
                    tokio::spawn(drive(driver, Arc::downgrade(&member)));
                    let line = Arc::new(Line(sender));
                    member.line.store(Some(Arc::clone(&line)));
                    Ok(line)
                }
                Err(error) => {
                    tracing::debug!(endpoint = %member.endpoint, %error, "cannot connect to a member of etcd");
                    member.health.failed(member.clock.now());
                    Err(Arc::new(error))
                }
            }
        });
        attempt.map(|attempt| attempt.unwrap_or_else(|_| Err(Arc::new(DialError::Aborted)))).boxed().shared()
    }

    /// Sends one request; one that surely was not sent comes back inside the error.
    ///
    /// # Cancel safety
    /// The stream is reset; whether the member does what was asked is unknown.
    pub(super) async fn send(
        &self,
        line: &Line,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        address(&mut request, &self.endpoint);
        self.health.asked(self.clock.now());
        let mut sender = line.0.clone();
        let answer = sender.try_send_request(request).await;
        if answer.is_ok() {
            self.health.answered();
        }
        answer
    }
}

/// Drives a connection until it ends; a member that hung up is left alone for a while.
async fn drive(driver: BoxFuture<'static, ()>, member: Weak<Member>) {
    driver.await;
    if let Some(member) = member.upgrade() {
        let hung_up = member.line.load().as_ref().is_some_and(|line| line.0.is_closed());
        if hung_up {
            member.line.store(None);
            member.health.failed(member.clock.now());
        }
    }
}

/// HTTP/2 requests name scheme and host.
fn address(request: &mut Request<Body>, endpoint: &Endpoint) {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(endpoint.scheme.clone());
    parts.authority = Some(endpoint.authority.clone());
    // A request of gRPC has a path, so that all three parts are there.
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}
