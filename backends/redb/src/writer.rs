//! The one thread that writes: it owns the database and ends with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use kvdb_core::toolkit::{Clock, Gate, History, Store};
use kvdb_core::{Error, ErrorKind, Result};
use redb::Database;
use tokio::sync::oneshot;

use crate::config::{Durability, RedbConfig};
use crate::core::{Core, Phase};
use crate::error::Failure;
use crate::file::Closing;
use crate::group;
use crate::request::{Queue, Request, refuse};
use crate::restore::restore;

/// After so many transactions that are not durable one is, so that the file can use freed pages again.
const UNSYNCED: u32 = 1024;

/// The thread, from the outside.
#[derive(Debug)]
pub(crate) struct Thread {
    path: Option<PathBuf>,
    handle: Mutex<Option<JoinHandle<()>>>,
    closing: Arc<Mutex<Option<Closing>>>,
}

/// Opens the database on a thread of its own, which then serves it.
pub(crate) async fn start(
    open: impl FnOnce() -> Result<Database, Failure> + Send + 'static,
    path: Option<PathBuf>,
    config: RedbConfig,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<Core>, Thread)> {
    let (ready, opened) = oneshot::channel();
    let closing = Arc::new(Mutex::new(None));
    let held = Arc::clone(&closing);
    let name = path.as_ref().map(|path| path.display().to_string());
    let work = move || {
        let writer = catch_unwind(AssertUnwindSafe(|| Writer::open(open, name.as_deref(), &config, clock)));
        let writer = writer.unwrap_or_else(|_| {
            let place = name.as_deref().unwrap_or("the storage");
            Err(Failure::corrupt(format!(
                "{place}: it is so damaged that reading it broke off: restore it from a copy, or move it away"
            )))
        });
        match writer {
            Ok(writer) => {
                // Dropped again if nobody waits for it any more.
                if ready.send(Ok(Arc::clone(&writer.core))).is_ok() {
                    writer.serve();
                }
            }
            Err(failure) => drop(ready.send(Err(failure.error()))),
        }
        drop(held.lock().unwrap_or_else(PoisonError::into_inner).take());
    };
    let handle = Builder::new()
        .name("kvdb-redb-writer".to_owned())
        .spawn(work)
        .map_err(|source| Error::new(ErrorKind::Unavailable, "no thread for the store").with_source(source))?;
    let core = opened.await.map_err(|_| Error::new(ErrorKind::Internal, "the writer thread ended while opening"))??;
    Ok((core, Thread { path, handle: Mutex::new(Some(handle)), closing }))
}

impl Thread {
    /// Asks the thread to end; a later open of the same file in this process waits for it.
    pub(crate) fn end(&self, core: &Core) -> Option<JoinHandle<()>> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if let Some(path) = self.path.as_ref().filter(|_| !handle.is_finished()) {
            let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
            *closing = Some(Closing::new(path));
        }
        core.queue().tell(Request::Close);
        Some(handle)
    }
}

struct Writer {
    database: Database,
    core: Arc<Core>,
    queue: Receiver<Request>,
    history: History,
    durability: Durability,
    unsynced: u32,
}

impl Writer {
    fn open(
        open: impl FnOnce() -> Result<Database, Failure>,
        path: Option<&str>,
        config: &RedbConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let place = |failure: Failure| failure.at(path.unwrap_or("the storage"));
        let database = open()?;
        let (index, mut facts) = restore(&database, &*clock).map_err(place)?;
        facts.path = path.map(str::to_owned);
        let view = group::view(&database).map_err(place)?;
        let (sender, queue) = Queue::new(config.queue_bytes);
        let core = Arc::new(Core::new(config, Arc::clone(&clock), sender, facts, (index, view)));
        let weak = Arc::downgrade(&core);
        clock.on_change(Box::new(move || {
            if let Some(core) = weak.upgrade() {
                core.queue().tell(Request::Wake);
            }
        }));
        let (history, durability) = (config.history(), config.durability);
        Ok(Self { database, core, queue, history, durability, unsynced: 0 })
    }

    fn serve(mut self) {
        let end = match catch_unwind(AssertUnwindSafe(|| self.run())) {
            Ok(Ok(())) => Phase::Closed,
            Ok(Err(failure)) => Phase::Failed(failure),
            Err(_) => Phase::Failed(Failure::new(
                ErrorKind::Internal,
                "the writer thread broke off: report this, and open the file again",
            )),
        };
        let why: Box<dyn Fn() -> Error> = match &end {
            Phase::Failed(failure) => {
                let failure = failure.clone();
                Box::new(move || failure.error())
            }
            Phase::Open(_) | Phase::Closed => Box::new(Gate::closed_error),
        };
        self.core.end(end);
        // What was still queued never reached the disk.
        while let Ok(request) = self.queue.try_recv() {
            refuse(request, &why);
        }
    }

    fn run(&mut self) -> Result<(), Failure> {
        loop {
            let mut requests = vec![self.next()];
            // Everything that is queued now, and no timer: the sync in flight is the window.
            requests.extend(self.queue.try_iter());
            let last = requests.iter().position(|request| matches!(request, Request::Close));
            let later = last.map(|close| requests.split_off(close));
            let plan = group::evaluate(&self.core, &mut self.history, requests);
            group::carry_out(&self.core, &self.database, self.durability, plan)?;
            if let Some(later) = later {
                self.core.end(Phase::Closed);
                later.into_iter().for_each(|request| refuse(request, Gate::closed_error));
                return if self.durability == Durability::None { group::sync(&self.database) } else { Ok(()) };
            }
            if self.durability == Durability::None {
                self.unsynced += 1;
                if self.unsynced >= UNSYNCED {
                    group::sync(&self.database)?;
                    self.unsynced = 0;
                }
            }
        }
    }

    /// The next request, or a look at the clock when a lease is due.
    fn next(&self) -> Request {
        let due = self.core.shared().index.leases.next_due();
        let Some(due) = due else {
            return self.queue.recv().unwrap_or(Request::Close);
        };
        let wait = due.saturating_sub(self.core.clock().now());
        match self.queue.recv_timeout(wait.max(Duration::from_micros(100))) {
            Ok(request) => request,
            Err(RecvTimeoutError::Timeout) => Request::Wake,
            Err(RecvTimeoutError::Disconnected) => Request::Close,
        }
    }
}
