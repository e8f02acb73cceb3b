//! What a server says to the words of four letters.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

/// Asks one word of the server at this port.
pub(super) fn ask(port: u16, word: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(word.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The sessions that `dump` tells: those with a moment at which they would expire, one a line.
pub(super) fn sessions(dump: &str) -> BTreeSet<i64> {
    let known = dump.split("ephemeral nodes dump").next().unwrap_or_default();
    let hex = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    known.split_whitespace().filter_map(hex).map(u64::cast_signed).collect()
}

#[cfg(test)]
mod tests {
    use super::sessions;

    #[test]
    fn sessions_are_told_from_their_nodes() {
        let dump = "SessionTracker dump:\nSession Sets (2)/(1):\n0 expire at Tue:\n1 expire at Tue:\n\t0x100003ab1\n\
                    ephemeral nodes dump:\nSessions with Ephemerals (1):\n0x77:\n\t/a\n";
        assert_eq!(sessions(dump).into_iter().collect::<Vec<_>>(), [0x1_0000_3ab1]);
    }
}
