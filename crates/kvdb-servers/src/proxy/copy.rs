//! The two threads of a connection.

use super::connection::{Connection, refuse};
use super::requests::Parser;
use super::rules::Rules;
use super::{Shared, State};
use crate::wait::lock;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

const PIECE: usize = 16 * 1024;
const CONNECT: Duration = Duration::from_secs(2);

/// The connection is over, in whatever way.
struct Over;

/// Forwards one connection until it ends.
pub(super) fn run(shared: &Arc<Shared>, client: TcpStream) {
    let tag = client.peer_addr().ok().and_then(|from| (shared.whose)(from));
    let Some(connection) = open(shared, client, tag) else { return };
    let (shared_up, up) = (Arc::clone(shared), Arc::clone(&connection));
    let upward = thread::Builder::new().name("proxy-up".into()).spawn(move || {
        let mut parser = Parser::default();
        copy(&shared_up, &up, &up.client, &up.server, |bytes| {
            // Before it is sent: whoever has the answer finds it counted.
            parser.feed(bytes, |method, path| shared_up.requests.add(method, path));
            send_up(&shared_up, &up, bytes)
        });
    });
    match upward {
        Ok(upward) => {
            copy(shared, &connection, &connection.server, &connection.client, |bytes| {
                send_down(shared, &connection, bytes)
            });
            upward.join().ok();
        }
        Err(_) => connection.kill(),
    }
    shared.change(|state| {
        state.connections.remove(&connection.id);
    });
}

/// Connects to the server, and makes the connection known, if it is still wanted.
fn open(shared: &Shared, client: TcpStream, tag: Option<usize>) -> Option<Arc<Connection>> {
    let unwanted = |state: &State| state.refusing || state.ended || tag.is_some_and(|tag| state.denied.contains(&tag));
    if unwanted(&lock(&shared.state)) {
        refuse(client);
        return None;
    }
    let Ok(server) = TcpStream::connect_timeout(&shared.target, CONNECT) else {
        refuse(client);
        return None;
    };
    let id = shared.count.connections.fetch_add(1, Ordering::SeqCst);
    let connection = Arc::new(Connection::new(id, tag, client, server).ok()?);
    let mut state = lock(&shared.state);
    if unwanted(&state) {
        connection.kill();
        return None;
    }
    state.connections.insert(id, Arc::clone(&connection));
    Some(connection)
}

/// Reads from one end until it closes and gives the pieces to `send`, then closes the other end in an orderly way.
fn copy(
    shared: &Shared,
    connection: &Connection,
    mut from: &TcpStream,
    to: &TcpStream,
    mut send: impl FnMut(&[u8]) -> Result<(), Over>,
) {
    let mut buffer = vec![0; PIECE];
    loop {
        let read = match from.read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => None,
            Ok(read) => buffer.get(..read),
        };
        let Some(bytes) = read.filter(|_| !connection.is_dead()) else {
            shared.reset(connection);
            return;
        };
        if hold(shared, connection).is_err() {
            shared.reset(connection);
            return;
        }
        if bytes.is_empty() {
            to.shutdown(Shutdown::Write).ok();
            return;
        }
        if send(bytes).is_err() {
            shared.reset(connection);
            return;
        }
    }
}

/// Waits as long as the connection is stalled, then for the delay.
fn hold(shared: &Shared, connection: &Connection) -> Result<(), Over> {
    let state = lock(&shared.state);
    let waited = shared.changed.wait_while(state, |state| state.rules.stalled && !connection.is_dead());
    let delay = waited.unwrap_or_else(PoisonError::into_inner).rules.delay;
    pass(shared, connection, delay)
}

/// Lets time pass, as long as the connection lives.
fn pass(shared: &Shared, connection: &Connection, time: Duration) -> Result<(), Over> {
    if !time.is_zero() {
        let state = lock(&shared.state);
        drop(shared.changed.wait_timeout_while(state, time, |_| !connection.is_dead()));
    }
    if connection.is_dead() { Err(Over) } else { Ok(()) }
}

fn rules(shared: &Shared) -> Rules {
    lock(&shared.state).rules
}

fn send_up(shared: &Shared, connection: &Connection, bytes: &[u8]) -> Result<(), Over> {
    slowly(shared, connection, bytes, |piece| {
        write(connection, &connection.server, piece)?;
        shared.count.up.fetch_add(piece.len() as u64, Ordering::SeqCst);
        Ok(())
    })
}

fn send_down(shared: &Arc<Shared>, connection: &Arc<Connection>, bytes: &[u8]) -> Result<(), Over> {
    let rules = rules(shared);
    if connection.is_half_closed() || rules.swallow.is_some() || connection.has_swallowed() {
        shared.count.swallowed.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        if let (true, Some(after)) = (connection.swallow(), rules.swallow) {
            reset_later(shared, connection, after);
        }
        return Ok(());
    }
    slowly(shared, connection, bytes, |piece| {
        let answered = connection.answered.load(Ordering::SeqCst);
        let room = rules.reset_after.map(|end| usize::try_from(end.saturating_sub(answered)).unwrap_or(usize::MAX));
        let room = room.unwrap_or(usize::MAX);
        let piece = piece.get(..room).unwrap_or(piece);
        write(connection, &connection.client, piece)?;
        connection.answered.fetch_add(piece.len() as u64, Ordering::SeqCst);
        shared.count.down.fetch_add(piece.len() as u64, Ordering::SeqCst);
        if piece.len() == room { Err(Over) } else { Ok(()) }
    })
}

/// Sends all at once, or in pieces as the rate allows; the rate is looked up before each piece.
fn slowly(
    shared: &Shared,
    connection: &Connection,
    mut bytes: &[u8],
    mut send: impl FnMut(&[u8]) -> Result<(), Over>,
) -> Result<(), Over> {
    while !bytes.is_empty() {
        let (most, time) = rules(shared).piece();
        let (piece, rest) = bytes.split_at(most.min(bytes.len()));
        send(piece)?;
        pass(shared, connection, time)?;
        bytes = rest;
    }
    Ok(())
}

fn write(connection: &Connection, mut to: &TcpStream, mut bytes: &[u8]) -> Result<(), Over> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => return Err(Over),
        }
        if connection.is_dead() {
            return Err(Over);
        }
    }
    Ok(())
}

fn reset_later(shared: &Arc<Shared>, connection: &Arc<Connection>, after: Duration) {
    let (shared_late, late) = (Arc::clone(shared), Arc::clone(connection));
    let timer = thread::Builder::new().name("proxy-timer".into()).spawn(move || {
        pass(&shared_late, &late, after).ok();
        shared_late.reset(&late);
    });
    if timer.is_err() {
        shared.reset(connection);
    }
}
