//! Many clients at the same time, and how long each operation took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use kvdb::{Error, ErrorKind};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::work::Work;

/// When it is enough.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    Elapsed(Duration),
    Done(u64),
}

/// How it went.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) elapsed: Duration,
    pub(super) interrupted: bool,
    /// Nanoseconds.
    times: Option<Histogram<u64>>,
}

impl Measured {
    pub(super) fn ops(&self) -> u64 {
        self.times.as_ref().map_or(0, Histogram::len)
    }

    /// Operations a second.
    #[expect(clippy::cast_precision_loss, reason = "a rate is read to a few digits")]
    pub(super) fn rate(&self) -> f64 {
        self.ops() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The nanoseconds that this share of the operations took at most.
    pub(super) fn percentile(&self, quantile: f64) -> u64 {
        self.times.as_ref().map_or(0, |times| times.value_at_quantile(quantile))
    }

    #[expect(clippy::cast_precision_loss, reason = "a time is read to a few digits")]
    pub(super) fn percentile_us(&self, quantile: f64) -> f64 {
        self.percentile(quantile) as f64 / 1_000.0
    }
}

/// Lets `clients` work until it is enough, `stop` comes, or one fails; answers what was done until then, and the
/// failure.
pub(super) async fn measure(
    work: &Work,
    clients: u32,
    until: Until,
    stop: impl Future<Output = ()>,
    bar: &ProgressBar,
) -> (Measured, Option<Error>) {
    let left = Arc::new(AtomicU64::new(match until {
        Until::Elapsed(_) => u64::MAX,
        Until::Done(ops) => ops,
    }));
    let (stopping, stopped) = watch::channel(false);
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let (work, left, stopped, bar) = (work.clone(), Arc::clone(&left), stopped.clone(), bar.clone());
        tasks.spawn(async move { client(&work, number, &left, stopped, &bar).await });
    }
    let enough = async {
        match until {
            Until::Elapsed(time) => tokio::time::sleep(time).await,
            Until::Done(_) => std::future::pending().await,
        }
    };
    tokio::pin!(enough, stop);
    let mut measured = Measured { elapsed: Duration::ZERO, interrupted: false, times: None };
    let mut failure = None;
    loop {
        tokio::select! {
            () = &mut enough, if !*stopping.borrow() => drop(stopping.send_replace(true)),
            () = &mut stop, if !*stopping.borrow() => {
                measured.interrupted = true;
                stopping.send_replace(true);
            }
            ended = tasks.join_next() => {
                let Some(ended) = ended else { break };
                let (times, error) = ended.unwrap_or_else(|source| {
                    (None, Some(Error::new(ErrorKind::Internal, "a client of the bench ended").with_source(source)))
                });
                if let Some(error) = error {
                    stopping.send_replace(true);
                    failure.get_or_insert(error);
                }
                match (&mut measured.times, times) {
                    (Some(all), Some(times)) => drop(all.add(times)),
                    (none, times) => *none = none.take().or(times),
                }
            }
        }
    }
    measured.elapsed = begin.elapsed();
    (measured, failure)
}

/// One operation after the other; what is under way when it is to stop is dropped and not counted.
async fn client(
    work: &Work,
    number: u32,
    left: &AtomicU64,
    mut stopped: watch::Receiver<bool>,
    bar: &ProgressBar,
) -> (Option<Histogram<u64>>, Option<Error>) {
    // Three digits of any time: it grows as needed.
    let Ok(mut times) = Histogram::<u64>::new(3) else { return (None, None) };
    let mut client = match work.client(number).await {
        Ok(client) => client,
        Err(error) => return (None, Some(error)),
    };
    let shown = !bar.is_hidden();
    while !*stopped.borrow() && take(left) {
        let begin = Instant::now();
        let done = tokio::select! {
            biased;
            done = client.once() => done,
            _ = stopped.changed() => break,
        };
        if let Err(error) = done {
            return (Some(times), Some(error));
        }
        // A time that no histogram can hold is longer than the bench.
        let _ = times.record(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
        if shown {
            bar.inc(1);
        }
        // Operations that never wait would keep the other clients from their turn.
        tokio::task::coop::consume_budget().await;
    }
    (Some(times), None)
}

/// Takes one of the operations that are left.
fn take(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}
