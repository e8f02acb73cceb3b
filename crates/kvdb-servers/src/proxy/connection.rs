//! One connection through a proxy.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long a write may wait for the other side before it looks whether the connection is dead.
const WRITE_STEP: Duration = Duration::from_millis(50);

/// Both ends. The threads that copy share it; when the last of them lets go, the sockets close.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) tag: Option<usize>,
    pub(super) client: TcpStream,
    pub(super) server: TcpStream,
    /// Bytes of answers that were forwarded.
    pub(super) answered: AtomicU64,
    dead: AtomicBool,
    half_closed: AtomicBool,
    swallowed: AtomicBool,
}

impl Connection {
    pub(super) fn new(id: u64, tag: Option<usize>, client: TcpStream, server: TcpStream) -> io::Result<Self> {
        for end in [&client, &server] {
            end.set_nodelay(true)?;
            end.set_write_timeout(Some(WRITE_STEP))?;
        }
        Ok(Self {
            id,
            tag,
            client,
            server,
            answered: AtomicU64::new(0),
            dead: AtomicBool::new(false),
            half_closed: AtomicBool::new(false),
            swallowed: AtomicBool::new(false),
        })
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Makes both threads let go; closing then sends a reset to both sides, with no orderly end before it.
    pub(super) fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
        for end in [&self.client, &self.server] {
            rustix::net::sockopt::set_socket_linger(end, Some(Duration::ZERO)).ok();
            // Wakes who reads; says nothing to the other side.
            end.shutdown(Shutdown::Read).ok();
        }
    }

    pub(super) fn half_close(&self) {
        self.half_closed.store(true, Ordering::SeqCst);
        self.client.shutdown(Shutdown::Write).ok();
    }

    pub(super) fn is_half_closed(&self) -> bool {
        self.half_closed.load(Ordering::SeqCst)
    }

    /// Notes that an answer is lost; true the first time.
    pub(super) fn swallow(&self) -> bool {
        !self.swallowed.swap(true, Ordering::SeqCst)
    }

    pub(super) fn has_swallowed(&self) -> bool {
        self.swallowed.load(Ordering::SeqCst)
    }
}

/// Closes a connection that was never forwarded, with a reset.
pub(super) fn refuse(client: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).ok();
    drop(client);
}
