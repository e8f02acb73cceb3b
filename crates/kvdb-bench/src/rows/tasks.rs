//! Many tasks at once.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::Failure;
use super::keys::key;
use crate::pairs::Work;

/// How many keys a task uses, round and round.
const KEYS: usize = 100;

/// Runs `worker` so many times at once until the window is over; each answers how often it did its work.
pub(super) fn together<F>(
    runtime: &Runtime,
    tasks: usize,
    window: Duration,
    worker: impl Fn(usize, Instant) -> F,
) -> Result<Work, Failure>
where
    F: Future<Output = Result<u64, Failure>> + Send + 'static,
{
    let end = Instant::now() + window;
    let workers: Vec<_> = (0..tasks).map(|task| runtime.spawn(worker(task, end))).collect();
    runtime.block_on(async {
        let mut operations = 0;
        for worker in workers {
            operations += worker.await??;
        }
        Ok(Work::Operations(operations))
    })
}

/// The keys of a task alone.
pub(super) fn own_keys(task: usize) -> Vec<String> {
    (0..KEYS).map(|n| key(task * KEYS + n)).collect()
}
