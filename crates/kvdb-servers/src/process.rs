//! One child process.

use crate::wait::{self, lock};
use crate::{ownership, spawner};
use rustix::process::{Pid, Signal};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const TAIL: u64 = 4096;

/// A child process that writes its output to a file, and is killed when this is dropped or the process that started it
/// ends, however that ends.
#[derive(Debug)]
pub struct Process {
    child: Mutex<Child>,
    paused: AtomicBool,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with both outputs appended to the file `log`.
    ///
    /// # Errors
    /// If the log cannot be written or there is no `setpriv`. That `program` does not start shows as an exit.
    pub fn spawn<A: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = A>, log: &Path) -> io::Result<Self> {
        let out = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = spawner::command(program);
        command.args(args).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = spawner::spawn(command)?;
        Ok(Self { pid: child.id(), child: Mutex::new(child), paused: AtomicBool::new(false), log: log.to_owned() })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has not ended. A paused one is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(lock(&self.child).try_wait(), Ok(None))
    }

    /// Whether it stands still since [`pause`](Self::pause).
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Kills it with SIGKILL and waits until it is gone; nothing happens to one that is gone.
    ///
    /// # Errors
    /// If it is still there after 10 s.
    pub fn kill(&self) -> io::Result<()> {
        let mut child = lock(&self.child);
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        child.kill()?;
        drop(child);
        match self.exited(wait::GONE)? {
            Some(_) => Ok(()),
            None => Err(wait::timed_out(format!("process {} outlives SIGKILL", self.pid))),
        }
    }

    /// Stops it with SIGSTOP, as a machine that hangs: its connections stay, and nothing answers. Comes back when every
    /// thread of it stands still.
    ///
    /// # Errors
    /// If it has ended, or still runs after 10 s.
    pub fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        self.paused.store(true, Ordering::SeqCst);
        let stopped = wait::until(wait::GONE, || Ok(self.state_of_all_threads(|state| state == 'T').then_some(())))?;
        stopped.ok_or_else(|| wait::timed_out(format!("process {} runs on after SIGSTOP", self.pid)))
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// If it has ended.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)?;
        self.paused.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Waits until it has ended; `None` if it has not within `deadline`.
    ///
    /// # Errors
    /// Of the system, if it cannot be asked.
    pub fn exited(&self, deadline: Duration) -> io::Result<Option<ExitStatus>> {
        wait::until(deadline, || lock(&self.child).try_wait())
    }

    /// The end of its log, 4 KiB at most; of one that cannot be read, why.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log).unwrap_or_else(|e| format!("(no log: {e})"))
    }

    /// Whether it listens on this port of the loopback device, and not some other process.
    pub(crate) fn listens_on(&self, port: u16) -> bool {
        self.is_alive() && ownership::listens_on(self.pid, port)
    }

    /// An error that ends with the log.
    pub(crate) fn error(&self, kind: io::ErrorKind, what: &str) -> io::Error {
        io::Error::new(kind, format!("{what}; its log ends:\n{}", self.log_tail()))
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        // The lock keeps the pid ours: nobody else can wait for the child meanwhile.
        let mut child = lock(&self.child);
        if child.try_wait()?.is_some() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("process {} has ended", self.pid)));
        }
        rustix::process::kill_process(Pid::from_child(&child), signal)?;
        Ok(())
    }

    fn state_of_all_threads(&self, wanted: impl Fn(char) -> bool) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid)) else { return false };
        threads.filter_map(Result::ok).all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state is the first field after the name, which is in brackets and may hold anything.
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).is_none_or(&wanted)
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill().ok();
    }
}

fn tail(log: &Path) -> io::Result<String> {
    let mut file = fs::File::open(log)?;
    let from = file.metadata()?.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
