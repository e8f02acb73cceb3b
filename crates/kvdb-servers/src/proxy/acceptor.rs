//! The thread that listens, and stops listening.

use super::{Shared, TURN, copy};
use crate::ports;
use crate::wait::{self, lock};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};

/// Another process may take a free port before we do: a few are tried.
const TRIES: usize = 10;

pub(super) fn bind_somewhere() -> io::Result<TcpListener> {
    let mut last = io::Error::other("no free port");
    for port in ports::free(TRIES)? {
        match bind(port) {
            Ok(listener) => return Ok(listener),
            Err(e) => last = e,
        }
    }
    Err(last)
}

pub(super) fn start(shared: Arc<Shared>, listener: TcpListener) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("proxy".into()).spawn(move || run(&shared, listener))
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

fn run(shared: &Arc<Shared>, first: TcpListener) {
    let mut listener = Some(first);
    loop {
        if let Some(listener) = listener.take() {
            serve(shared, &listener);
        }
        shared.change(|state| state.listening = false);
        let state = lock(&shared.state);
        let waited = shared.changed.wait_while(state, |state| state.refusing && !state.ended);
        if waited.unwrap_or_else(PoisonError::into_inner).ended {
            return;
        }
        // Who waits for the port to be back is told by its own deadline.
        listener = wait::until(TURN, || Ok(bind(shared.port).ok())).ok().flatten();
        let listening = listener.is_some();
        shared.change(|state| state.listening = listening);
    }
}

/// Accepts until the proxy refuses or ends.
fn serve(shared: &Arc<Shared>, listener: &TcpListener) {
    loop {
        let turned = {
            let state = lock(&shared.state);
            state.refusing || state.ended
        };
        if turned {
            return;
        }
        if let Ok((client, _)) = listener.accept() {
            forward(shared, client);
        }
    }
}

/// The client sees a reset if no thread is to be had.
fn forward(shared: &Arc<Shared>, client: TcpStream) {
    let shared = Arc::clone(shared);
    thread::Builder::new().name("proxy-connection".into()).spawn(move || copy::run(&shared, client)).ok();
}
