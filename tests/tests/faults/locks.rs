//! Locks that are taken, held, lost and handed over all through a run, and the fenced writes of their holders.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kvdb::Capabilities;
use kvdb::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::client::number;
use crate::load::{Load, Open};

/// Of every lock here: some of the faults last longer, others do not.
const TTL: Duration = Duration::from_secs(3);
/// How long `lost()` may take after a fence was refused: the store says so at once, the local deadline after a TTL.
const TELLS: Duration = Duration::from_secs(30);
/// Where the lockers' keys are.
pub(crate) const DOMAIN: &str = "locks";
/// Held again and again.
const JOB: &str = "job";
/// Held for as long as it lasts.
const HELD: &str = "held";

/// The lockers of a run.
pub(crate) struct Lockers {
    tasks: JoinSet<Result<()>>,
    shared: Arc<Mutex<Shared>>,
    start: Revision,
    kv: Handle,
}

#[derive(Debug, Default)]
struct Shared {
    tokens: BTreeSet<(&'static str, Revision)>,
    lost: usize,
    written: Vec<(&'static str, Revision, Revision)>,
    broken: Vec<String>,
}

/// What the lockers did.
#[derive(Debug)]
pub(crate) struct Locked {
    handovers: usize,
    lost: usize,
    fenced: usize,
    pub(crate) broken: Vec<String>,
}

impl std::fmt::Display for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { handovers, lost, fenced, broken } = self;
        write!(
            f,
            "{handovers} lock handovers, {lost} lost and told, {fenced} fenced writes, {} out of order",
            broken.len()
        )
    }
}

impl Lockers {
    /// Three clients that take turns on one lock, and two of which one holds another lock until it is lost; `kv` prepares
    /// and checks.
    pub(crate) async fn start(open: &Open, kv: Handle, load: &Arc<Load>, seed: u64) -> Result<Self> {
        let start = kv.put(JOB, "0").await?.modified_index;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let mut tasks = JoinSet::new();
        for (n, name) in [JOB, JOB, JOB, HELD, HELD].into_iter().enumerate() {
            let locker = Locker {
                kv: open(DOMAIN).await?,
                name,
                load: Arc::clone(load),
                shared: Arc::clone(&shared),
                rng: StdRng::seed_from_u64(seed.wrapping_add(1000 + n as u64)),
            };
            tasks.spawn(locker.run());
        }
        Ok(Self { tasks, shared, start, kv })
    }

    /// Waits for the lockers, who end with the load; holds what they wrote to the order of their tokens.
    pub(crate) async fn finish(mut self) -> Result<Locked> {
        while let Some(ended) = self.tasks.join_next().await {
            let ended = ended.map_err(|join| Error::new(ErrorKind::Internal, "a locker panicked").with_source(join))?;
            ended?;
        }
        let shared = std::mem::take(&mut *lock(&self.shared));
        let mut broken = shared.broken;
        for name in [JOB, HELD] {
            let mut written: Vec<_> = shared.written.iter().filter(|(of, ..)| *of == name).collect();
            written.sort_by_key(|(.., revision)| *revision);
            for pair in written.windows(2).filter(|pair| pair[0].1 > pair[1].1) {
                broken.push(format!("the holder before wrote after the next one: {pair:?}"));
            }
            if self.kv.capabilities().contains(Capabilities::ORDERED_UPDATES | Capabilities::WATCH_RESUME) {
                let written = written.iter().map(|(_, token, revision)| (*token, *revision)).collect();
                by_history(&self.kv, name, self.start, written, &mut broken).await?;
            }
        }
        Ok(Locked { handovers: shared.tokens.len(), lost: shared.lost, fenced: shared.written.len(), broken })
    }
}

/// Holds the history of a fenced key to the order of the tokens; every write that was acknowledged is in it.
async fn by_history(
    kv: &Handle,
    name: &str,
    start: Revision,
    mut written: BTreeSet<(Revision, Revision)>,
    broken: &mut Vec<String>,
) -> Result<()> {
    let mut watch = kv.watch_key(name).after(start).await?;
    let end = kv.put(name, u64::MAX.to_string()).await?.modified_index;
    let mut last = 0;
    while let Some(event) = watch.next().await.transpose()? {
        let Some(pair) = event.pair() else { continue };
        let token = number(&pair.value).unwrap_or_default();
        if token < last {
            broken.push(format!("the holder of {name} with token {token} wrote after that with {last}"));
        }
        last = token;
        written.remove(&(Revision::new(token), pair.modified_index));
        if pair.modified_index >= end {
            break;
        }
    }
    broken.extend(written.iter().map(|(token, revision)| format!("{name} at {revision} under token {token} is lost")));
    Ok(())
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Locker {
    kv: Handle,
    name: &'static str,
    load: Arc<Load>,
    shared: Arc<Mutex<Shared>>,
    rng: StdRng,
}

impl Locker {
    async fn run(mut self) -> Result<()> {
        while !self.load.is_stopped() {
            match self.kv.lock(self.name).wait(Duration::from_secs(2)).ttl(TTL).await {
                Ok(lock) => self.hold(&lock).await,
                // The wait is over, or the waiter's lease.
                Err(error) if matches!(error.kind(), ErrorKind::LockTimeout { .. } | ErrorKind::LockLost) => {}
                Err(error) if is_outage(&error) => {}
                Err(error) => self.broken(format!("a lock may not fail so: {error:?}")),
            }
        }
        self.kv.close().await
    }

    async fn hold(&mut self, guard: &LockGuard) {
        let token = guard.fencing_token();
        let writes = if self.name == HELD { usize::MAX } else { self.rng.random_range(1..60) };
        if !lock(&self.shared).tokens.insert((self.name, token)) {
            self.broken(format!("two holders of {} have the token {token}", self.name));
        }
        for _ in 0..writes {
            if self.load.is_stopped() {
                break;
            }
            match self.kv.put(self.name, token.to_string()).fence(guard).await {
                Ok(pair) => lock(&self.shared).written.push((self.name, token, pair.modified_index)),
                Err(error) if *error.kind() == ErrorKind::LockLost => {
                    if tokio::time::timeout(TELLS, guard.lost()).await.is_err() {
                        self.broken(format!("{} was lost with token {token}, and lost() did not say so", self.name));
                    }
                    lock(&self.shared).lost += 1;
                    return;
                }
                Err(error) if is_outage(&error) => {}
                Err(error) => self.broken(format!("a fenced write may not fail so: {error:?}")),
            }
        }
        match guard.release().await {
            Err(error) if !is_outage(&error) => self.broken(format!("a release may not fail so: {error:?}")),
            _ => {}
        }
    }

    fn broken(&self, what: String) {
        lock(&self.shared).broken.push(what);
    }
}

/// What may come of a store that is out of reach for a while.
pub(crate) fn is_outage(error: &Error) -> bool {
    error.retry() == Retry::Ambiguous
        || matches!(
            error.kind(),
            ErrorKind::Unavailable | ErrorKind::NoQuorum | ErrorKind::Timeout | ErrorKind::Contention
        )
}
