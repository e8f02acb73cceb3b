//! Free loopback ports.

use crate::wait::lock;
use rand::RngExt;
use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

/// Ports handed out in this process; none is handed out twice.
static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

const LOWEST: u16 = 10_000;
const TRIES: usize = 10_000;

/// `n` distinct ports of 127.0.0.1 that nothing listens on.
///
/// They lie below the range that the kernel takes the near end of outgoing connections from, so that a server can come
/// back to its port. Another process may still take one before its server listens.
///
/// # Errors
/// If there are not enough of them.
pub fn free(n: usize) -> io::Result<Vec<u16>> {
    let mut taken = lock(&TAKEN);
    let taken = taken.get_or_insert_default();
    let end = ephemeral_begin();
    let mut ports = Vec::with_capacity(n);
    for _ in 0..TRIES {
        if ports.len() == n {
            break;
        }
        let wanted = if end > LOWEST + 1000 { rand::rng().random_range(LOWEST..end) } else { 0 };
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)) else { continue };
        let port = listener.local_addr()?.port();
        if taken.insert(port) {
            ports.push(port);
        }
    }
    if ports.len() == n { Ok(ports) } else { Err(io::Error::other(format!("no {n} free ports"))) }
}

fn ephemeral_begin() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    text.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768)
}
