//! Which process a TCP socket of the loopback device belongs to.
//!
//! A port that answers proves nothing: another server may have taken it. The socket behind it does.

use std::collections::HashSet;
use std::fs;

/// The state "listening" in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Whether process `pid` listens on `port`.
pub(crate) fn listens_on(pid: u32, port: u16) -> bool {
    let wanted: HashSet<String> = sockets(pid, |local, state| local == port && state == LISTEN);
    owns_any(pid, &wanted)
}

/// Whether the socket whose own port is `port`, and which is no listener, belongs to process `pid`.
pub(crate) fn connects_from(pid: u32, port: u16) -> bool {
    let wanted = sockets(pid, |local, state| local == port && state != LISTEN);
    owns_any(pid, &wanted)
}

/// The inodes of sockets in the network namespace of `pid`, by local port and state.
fn sockets(pid: u32, wanted: impl Fn(u16, &str) -> bool) -> HashSet<String> {
    let mut found = HashSet::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(state), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9)) else {
                continue;
            };
            let port = local.rsplit_once(':').and_then(|(_, hex)| u16::from_str_radix(hex, 16).ok());
            if port.is_some_and(|port| wanted(port, state)) {
                found.insert(format!("socket:[{inode}]"));
            }
        }
    }
    found
}

fn owns_any(pid: u32, sockets: &HashSet<String>) -> bool {
    if sockets.is_empty() {
        return false;
    }
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::process::Command;

    #[test]
    fn a_port_belongs_to_who_listens_and_a_connection_to_who_made_it() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let from = client.local_addr().unwrap().port();
        let mut other = Command::new("sleep").arg("3600").spawn().unwrap();
        let (ours, theirs) = (std::process::id(), other.id());
        let found = [listens_on(ours, port), listens_on(theirs, port), connects_from(ours, from)];
        let not = [connects_from(theirs, from), listens_on(ours, from)];
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(found, [true, false, true]);
        assert!(!not.contains(&true), "{not:?}");

        drop(listener);
        assert!(!listens_on(ours, port));
    }
}
