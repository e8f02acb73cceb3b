//! Which member gets a call.
//!
//! All calls go to one member as long as it works. When it cannot be reached, hangs up, has no leader, or owes an answer
//! for too long, they go to another one; a member that failed is left alone for a while, ever longer up to 10 s, unless
//! there is no other. A call that surely was not sent goes to the next member at once, so that with one member alive no
//! call fails for the sake of a dead one.

mod connection;
mod driver;
mod failure;
mod greeting;
mod health;
mod member;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use arc_swap::ArcSwap;
use etcd_client::Channel;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::util::{BoxCloneSyncService, service_fn};

pub(crate) use connection::{DialError, Dialling};
pub(crate) use failure::{Lost, Unreached};
use health::Clock;
use member::{Line, Member};

use crate::endpoints::Endpoint;

/// Opening a watch. A member without leader would keep it open and silent.
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// How often one call may be handed back by connections that end just then, before it fails.
const HAND_BACKS: usize = 8;

/// Sends calls to the members of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Router(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    routes: ArcSwap<Routes>,
    dialling: Arc<Dialling>,
    clock: Clock,
}

#[derive(Debug)]
struct Routes {
    members: Vec<Arc<Member>>,
    /// The one that calls go to.
    current: AtomicUsize,
}

impl Router {
    /// Connects to nothing before the first call.
    pub(crate) fn new(endpoints: Vec<Endpoint>, dialling: Arc<Dialling>) -> Self {
        let clock = Clock::start();
        let members: Vec<_> = endpoints.into_iter().map(|endpoint| Arc::new(Member::new(endpoint, clock))).collect();
        let current = AtomicUsize::new(rand::random_range(0..members.len().max(1)));
        Self(Arc::new(Shared { routes: ArcSwap::from_pointee(Routes { members, current }), dialling, clock }))
    }

    /// Where calls go.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.0.routes.load().members.iter().map(|member| member.endpoint.to_string()).collect()
    }

    /// Sends calls to these endpoints from now on; calls under way end where they are.
    pub(crate) fn set_endpoints(&self, endpoints: Vec<Endpoint>) {
        self.0.routes.rcu(|routes| {
            let known =
                |endpoint: &Endpoint| routes.members.iter().find(|member| member.endpoint == *endpoint).cloned();
            let members: Vec<_> = endpoints
                .iter()
                .map(|endpoint| {
                    known(endpoint).unwrap_or_else(|| Arc::new(Member::new(endpoint.clone(), self.0.clock)))
                })
                .collect();
            let present = routes.members.get(routes.current.load(Relaxed));
            let kept = members.iter().position(|member| present.is_some_and(|present| Arc::ptr_eq(present, member)));
            let current = kept.unwrap_or_else(|| rand::random_range(0..members.len().max(1)));
            Arc::new(Routes { members, current: AtomicUsize::new(current) })
        });
    }

    /// As what etcd's client sends its calls through.
    pub(crate) fn channel(&self) -> Channel {
        let router = self.clone();
        Channel::Custom(BoxCloneSyncService::new(service_fn(move |request| {
            let router = router.clone();
            async move { router.route(request).await.map(|answer| answer.map(Body::new)) }
        })))
    }

    async fn route(&self, mut request: Request<Body>) -> Result<Response<Incoming>, tower::BoxError> {
        if request.uri().path() == WATCH {
            request.headers_mut().insert("hasleader", HeaderValue::from_static("true"));
        }
        let mut hand_backs = 0;
        loop {
            let (member, line) = match self.at_hand() {
                Some(found) => found,
                // Boxed, for it is seldom needed and large: the future of every call is allocated and moved.
                None => Box::pin(self.reach()).await?,
            };
            let mut error = match member.send(&line, request).await {
                Ok(mut answer) => {
                    read_status(&member, &mut answer);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            request = match error.take_message() {
                Some(request) if hand_backs < HAND_BACKS => request,
                Some(_) => return Err(Unreached::handed_back(&member.endpoint, error.into_error()).into()),
                None => return Err(Lost::new(&member.endpoint, error.into_error()).into()),
            };
            hand_backs += 1;
        }
    }

    /// The current member, if it is connected and works.
    fn at_hand(&self) -> Option<(Arc<Member>, Arc<Line>)> {
        let routes = self.0.routes.load();
        let member = routes.members.get(routes.current.load(Relaxed))?;
        if routes.members.len() > 1 && member.is_shunned() {
            return None;
        }
        Some((Arc::clone(member), member.line()?))
    }

    /// The first member that can be reached: from the current one on, then those that failed a moment ago.
    async fn reach(&self) -> Result<(Arc<Member>, Arc<Line>), Unreached> {
        let routes = self.0.routes.load_full();
        let seen = routes.current.load(Relaxed);
        let (mut failed, mut shunned) = (Unreached::default(), Vec::new());
        let ring = routes.members.iter().enumerate().cycle().skip(seen).take(routes.members.len());
        for (index, member) in ring {
            if member.is_shunned() {
                shunned.push((index, member));
                continue;
            }
            match member.connect(&self.0.dialling).await {
                Ok(line) => return Ok(routes.go_on_with(seen, index, member, line)),
                Err(error) => failed.add(&member.endpoint, error),
            }
        }
        // Nobody is in good health: whoever is connected, else whoever answers first.
        if let Some((index, member, line)) =
            shunned.iter().find_map(|(index, member)| Some((*index, *member, member.line()?)))
        {
            return Ok(routes.go_on_with(seen, index, member, line));
        }
        let mut attempts: FuturesUnordered<_> = shunned
            .into_iter()
            .map(|(index, member)| async move { (index, member, member.connect(&self.0.dialling).await) })
            .collect();
        while let Some((index, member, attempt)) = attempts.next().await {
            match attempt {
                Ok(line) => return Ok(routes.go_on_with(seen, index, member, line)),
                Err(error) => failed.add(&member.endpoint, error),
            }
        }
        Err(failed)
    }
}

impl Routes {
    fn go_on_with(&self, seen: usize, index: usize, member: &Arc<Member>, line: Arc<Line>) -> (Arc<Member>, Arc<Line>) {
        // Whoever was first decides for all.
        let _ = self.current.compare_exchange(seen, index, Relaxed, Relaxed);
        (Arc::clone(member), line)
    }
}

/// Only an error has its status in the head of the answer.
fn read_status(member: &Member, answer: &mut Response<Incoming>) {
    let Some(status) = answer.headers().get(Status::GRPC_STATUS) else { return };
    match Code::from_bytes(status.as_bytes()) {
        Code::Unavailable => member.is_no_use(),
        // The token is from before users or roles were changed. Told as an expired one it is renewed like one.
        Code::InvalidArgument if says(answer, "etcdserver: revision of auth store is old") => {
            let code = HeaderValue::from(Code::Unauthenticated as i32);
            answer.headers_mut().insert(Status::GRPC_STATUS, code);
        }
        _ => {}
    }
}

fn says(answer: &Response<Incoming>, message: &str) -> bool {
    answer.headers().get(Status::GRPC_MESSAGE).is_some_and(|said| said.as_bytes() == message.as_bytes())
}
