//! One server of a cluster, of whatever store.

use crate::process::Process;
use crate::proxy::Proxy;
use crate::wait::{self, READY, lock};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Whether a process that runs serves.
pub(crate) type Probe = Box<dyn Fn(&Process) -> bool + Send + Sync>;

/// One server, alive or not. It keeps its ports and its directory over restarts.
pub struct Member {
    pub(crate) name: String,
    pub(crate) endpoint: String,
    pub(crate) binary: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) log: PathBuf,
    pub(crate) probe: Probe,
    pub(crate) client_proxy: Option<Proxy>,
    pub(crate) process: Mutex<Option<Arc<Process>>>,
}

impl Member {
    /// Its client URL, of its proxy if it has one.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Its name, unique over all clusters.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its process runs; a paused one does.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.process().is_ok_and(|process| process.is_alive())
    }

    /// Its process.
    ///
    /// # Errors
    /// If it was never started.
    pub fn process(&self) -> io::Result<Arc<Process>> {
        lock(&self.process).clone().ok_or_else(|| io::Error::other(format!("{} was not started", self.name)))
    }

    /// The proxy between it and its clients.
    ///
    /// # Errors
    /// If the setup asked for none.
    pub fn client_proxy(&self) -> io::Result<&Proxy> {
        self.client_proxy.as_ref().ok_or_else(|| self.lacks("client_proxy"))
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// See [`Process::kill`].
    pub fn kill(&self) -> io::Result<()> {
        self.process()?.kill()
    }

    /// Stops it with SIGSTOP; see [`Process::pause`].
    ///
    /// # Errors
    /// See [`Process::pause`].
    pub fn pause(&self) -> io::Result<()> {
        self.process()?.pause()
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// See [`Process::resume`].
    pub fn resume(&self) -> io::Result<()> {
        self.process()?.resume()
    }

    /// Kills it if it runs, starts it anew with its data on its ports, and waits until it serves.
    ///
    /// # Errors
    /// If it does not serve within 30 s, as when the cluster has no quorum: see [`launch`](Self::launch).
    pub fn restart(&self) -> io::Result<()> {
        self.launch()?;
        self.ready()
    }

    /// Kills it if it runs and starts it anew, without waiting until it serves.
    ///
    /// # Errors
    /// If the old process is not gone after 10 s, or no new one can be started.
    pub fn launch(&self) -> io::Result<()> {
        let mut slot = lock(&self.process);
        if let Some(old) = slot.as_ref() {
            old.kill()?;
        }
        *slot = Some(Arc::new(Process::spawn(&self.binary, &self.args, &self.log)?));
        Ok(())
    }

    /// Waits until it serves: its own process listens and says that it is healthy, which takes a quorum; a learner need
    /// only have a leader.
    ///
    /// # Errors
    /// If it has ended, or does not serve within 30 s.
    pub fn ready(&self) -> io::Result<()> {
        let process = self.process()?;
        let ready = wait::until(READY, || {
            if !process.is_alive() {
                return Err(process.error(io::ErrorKind::BrokenPipe, &format!("{} has ended", self.name)));
            }
            Ok((self.probe)(&process).then_some(()))
        })?;
        let what = || format!("{} does not serve after {} s", self.name, READY.as_secs());
        ready.ok_or_else(|| process.error(io::ErrorKind::TimedOut, &what()))
    }

    /// An error that ends with the server's log.
    pub(crate) fn error(&self, kind: io::ErrorKind, what: &str) -> io::Error {
        let text = format!("{} {what}", self.name);
        match self.process() {
            Ok(process) => process.error(kind, &text),
            Err(_) => io::Error::new(kind, text),
        }
    }

    pub(crate) fn lacks(&self, what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, format!("{}: the setup did not ask for {what}", self.name))
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("name", &self.name).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
