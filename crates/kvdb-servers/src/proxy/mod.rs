//! A TCP proxy that can be told to misbehave.

mod acceptor;
mod connection;
mod copy;
mod requests;
mod rules;

use crate::wait::{self, lock};
use connection::Connection;
use requests::Requests;
use rules::Rules;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the listener may take to close or to come back.
const TURN: Duration = Duration::from_secs(10);

/// Tells whose connection this is, by the address it comes from.
type Whose = Box<dyn Fn(SocketAddr) -> Option<usize> + Send + Sync>;

/// Listens on a free loopback port and forwards every connection to a server, as long as it is not told otherwise.
///
/// Each fault holds for the connections there are and for those to come, adds to the others, and lasts until
/// [`heal`](Self::heal). Dropping the proxy resets every connection.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// What the threads share. `state` is the only lock that is held while another is taken.
pub(super) struct Shared {
    port: u16,
    target: SocketAddr,
    whose: Whose,
    state: Mutex<State>,
    changed: Condvar,
    count: Count,
    requests: Requests,
}

#[derive(Debug, Default)]
struct State {
    rules: Rules,
    refusing: bool,
    listening: bool,
    ended: bool,
    denied: HashSet<usize>,
    connections: HashMap<u64, Arc<Connection>>,
}

#[derive(Debug, Default)]
struct Count {
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    swallowed: AtomicU64,
}

impl Proxy {
    /// Starts a proxy to this port of 127.0.0.1.
    ///
    /// # Errors
    /// If there is no free port, or no thread can be started.
    pub fn start(target: u16) -> io::Result<Self> {
        Self::start_telling(target, Box::new(|_| None))
    }

    /// As [`start`](Self::start); `whose` tags a connection when it is accepted, for [`deny`](Self::deny).
    pub(crate) fn start_telling(target: u16, whose: Whose) -> io::Result<Self> {
        let listener = acceptor::bind_somewhere()?;
        let shared = Arc::new(Shared {
            port: listener.local_addr()?.port(),
            target: SocketAddr::from((Ipv4Addr::LOCALHOST, target)),
            whose,
            state: Mutex::new(State { listening: true, ..State::default() }),
            changed: Condvar::new(),
            count: Count::default(),
            requests: Requests::default(),
        });
        let acceptor = acceptor::start(Arc::clone(&shared), listener)?;
        Ok(Self { shared, acceptor: Some(acceptor) })
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// Refuses connections, and resets those there are.
    ///
    /// # Errors
    /// If the listener is not closed within 10 s.
    pub fn cut(&self) -> io::Result<()> {
        self.shared.change(|state| state.refusing = true);
        self.reset();
        self.shared.wake_acceptor();
        self.shared.until_listening(false)
    }

    /// Accepts connections and keeps those there are, but forwards nothing, not even that one side has closed.
    pub fn stall(&self) {
        self.shared.change(|state| state.rules.stalled = true);
    }

    /// Forwards each piece, of at most 16 KiB, this much later; one after the other.
    pub fn delay(&self, by: Duration) {
        self.shared.change(|state| state.rules.delay = by);
    }

    /// Forwards at most so many bytes a second each way of each connection; at least 1.
    pub fn limit(&self, bytes_per_second: u64) {
        self.shared.change(|state| state.rules.rate = Some(bytes_per_second.max(1)));
    }

    /// Resets a connection once it has carried `bytes` bytes of answers, counted from its beginning; none beyond them
    /// are forwarded.
    pub fn reset_after(&self, bytes: u64) {
        self.shared.change(|state| state.rules.reset_after = Some(bytes));
    }

    /// Forwards requests and swallows answers. A connection is reset `hold` after the first byte it swallowed, which
    /// is to be longer than the server needs to apply a request.
    pub fn drop_replies(&self, hold: Duration) {
        self.shared.change(|state| state.rules.swallow = Some(hold));
    }

    /// Tells the clients of the present connections that the server has closed its side, and goes on forwarding what
    /// they send; answers are swallowed. It outlasts [`heal`](Self::heal).
    pub fn half_close(&self) {
        for connection in self.shared.connections() {
            connection.half_close();
        }
    }

    /// Resets the connections there are.
    pub fn reset(&self) {
        for connection in self.shared.connections() {
            self.shared.reset(&connection);
        }
    }

    /// Ends every fault. Connections that have lost answers are reset, others go on.
    ///
    /// # Errors
    /// If the port cannot be listened on again within 10 s.
    pub fn heal(&self) -> io::Result<()> {
        self.shared.change(|state| {
            state.rules = Rules::default();
            state.refusing = false;
            state.denied.clear();
        });
        for connection in self.shared.connections() {
            if connection.has_swallowed() {
                self.shared.reset(&connection);
            }
        }
        self.shared.until_listening(true)
    }

    /// Resets what belongs to this tag, now and whenever it comes again.
    pub(crate) fn deny(&self, tag: usize) {
        self.shared.change(|state| {
            state.denied.insert(tag);
        });
        for connection in self.shared.connections() {
            if connection.tag == Some(tag) {
                self.shared.reset(&connection);
            }
        }
    }

    /// How many connections were forwarded so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.count.connections.load(Ordering::SeqCst)
    }

    /// How many connections there are.
    #[must_use]
    pub fn open(&self) -> usize {
        lock(&self.shared.state).connections.len()
    }

    /// How many bytes of requests were forwarded.
    #[must_use]
    pub fn bytes_up(&self) -> u64 {
        self.shared.count.up.load(Ordering::SeqCst)
    }

    /// How many bytes of answers were forwarded.
    #[must_use]
    pub fn bytes_down(&self) -> u64 {
        self.shared.count.down.load(Ordering::SeqCst)
    }

    /// How many bytes of answers were swallowed.
    #[must_use]
    pub fn bytes_swallowed(&self) -> u64 {
        self.shared.count.swallowed.load(Ordering::SeqCst)
    }

    /// How many HTTP/1.1 requests with this method were forwarded, to paths that begin so; the query does not count.
    #[must_use]
    pub fn requests(&self, method: &str, path_prefix: &str) -> u64 {
        self.shared.requests.count(method, path_prefix)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change(|state| state.ended = true);
        self.reset();
        self.shared.wake_acceptor();
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
    }
}

impl Shared {
    fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut lock(&self.state));
        self.changed.notify_all();
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        lock(&self.state).connections.values().cloned().collect()
    }

    fn reset(&self, connection: &Connection) {
        connection.kill();
        self.change(|state| {
            state.connections.remove(&connection.id);
        });
    }

    /// The acceptor looks at the state after every connection, so one of our own wakes it.
    fn wake_acceptor(&self) {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
    }

    fn until_listening(&self, wanted: bool) -> io::Result<()> {
        let state = lock(&self.state);
        let waited = self.changed.wait_timeout_while(state, TURN, |state| state.listening != wanted);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        match timeout.timed_out() {
            false => Ok(()),
            true => Err(wait::timed_out(format!("the proxy's port {} does not turn", self.port))),
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("port", &self.port).field("target", &self.target).finish_non_exhaustive()
    }
}
