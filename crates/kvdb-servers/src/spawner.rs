//! One thread that starts every child.
//!
//! The kernel kills a child with `PDEATHSIG` when the thread that forked it ends, not the process, so that the thread of
//! a test would take its servers along: this one lives as long as the process.

use crate::wait::lock;
use std::io;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;

type Job = (Command, Sender<io::Result<Child>>);

static SPAWNER: Mutex<Option<Sender<Job>>> = Mutex::new(None);

/// A command that dies with this process; to be started by [`spawn`].
pub(crate) fn command(program: &std::path::Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Starts a command on the thread that outlives its caller.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    let (reply, answer) = channel();
    sender()?.send((command, reply)).map_err(gone)?;
    answer.recv().map_err(gone)?.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => io::Error::new(e.kind(), "there is no setpriv here (Debian package util-linux)"),
        _ => e,
    })
}

fn gone(e: impl std::error::Error) -> io::Error {
    io::Error::other(format!("the thread that starts servers is gone: {e}"))
}

fn sender() -> io::Result<Sender<Job>> {
    let mut spawner = lock(&SPAWNER);
    if let Some(sender) = spawner.as_ref() {
        return Ok(sender.clone());
    }
    let (sender, jobs) = channel::<Job>();
    thread::Builder::new().name("server-spawner".into()).spawn(move || {
        for (mut command, reply) in jobs {
            // Who no longer waits for its child has ended with an error already.
            if let Err(unclaimed) = reply.send(command.spawn())
                && let Ok(mut child) = unclaimed.0
            {
                child.kill().and_then(|()| child.wait()).ok();
            }
        }
    })?;
    *spawner = Some(sender.clone());
    Ok(sender)
}
