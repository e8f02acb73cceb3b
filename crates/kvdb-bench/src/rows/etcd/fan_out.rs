//! P9: many readers of one tree in one process.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{WatchOptions, WatchStream};
use kvdb_core::{Event, KvdbExt, Watch};
use tokio::sync::Semaphore;

use super::memory::memory;
use super::stage::{Stage, absolute};
use crate::pairs::{Pair, Side, Work, side};
use crate::rows::keys::value;
use crate::rows::{Failure, Place};

const WINDOW: Duration = Duration::from_millis(500);
const READERS: usize = 1_000;
/// Puts that are made before the readers are waited for: below every backlog, so that no reader falls behind.
const BURST: usize = 256;
const WRITERS: usize = 16;
/// Watches that one side adds in a round, to see what memory they take.
const ADDED: usize = 2_000;
/// Fewer, since the server has to serve each.
const RAW_ADDED: usize = 200;

pub(in crate::rows) fn fan_out(place: &Place<'_>) -> Result<Vec<Pair>, Failure> {
    let stage = Stage::open(place)?;
    let deliveries = Pair {
        what: "events a second to 1,000 watches of one tree",
        against: "1,000 watches of etcd-client, a stream each",
        window: WINDOW,
        ours: bursts(&stage, "fan", our_watch, our_events)?,
        raw: bursts(&stage, "raw-fan", raw_watch, raw_events)?,
    };
    let sizes = Pair {
        what: "memory of a watch more on one tree",
        against: "memory of a watch more of etcd-client, a stream each",
        window: WINDOW,
        ours: growing(&stage, "size", ADDED, our_watch, our_events),
        raw: growing(&stage, "raw-size", RAW_ADDED, raw_watch, raw_events),
    };
    Ok(vec![deliveries, sizes])
}

fn our_watch(stage: &Stage, tree: &str) -> Result<Watch, Failure> {
    Ok(stage.runtime.block_on(stage.kv.watch_tree(tree).into_future())?)
}

fn raw_watch(stage: &Stage, tree: &str) -> Result<WatchStream, Failure> {
    let options = WatchOptions::new().with_prefix();
    let mut watches = stage.raw.watch_client();
    Ok(stage.runtime.block_on(watches.watch(absolute(&format!("{tree}/")), Some(options)))?)
}

/// Opens a watch of a tree.
type Open<W> = fn(&Stage, &str) -> Result<W, Failure>;

/// Readers of a tree, each in a task of its own, and bursts of puts that all of them see.
fn bursts<W, F>(
    stage: &Arc<Stage>,
    tree: &'static str,
    open: Open<W>,
    events: fn(W, usize) -> F,
) -> Result<Box<dyn Side>, Failure>
where
    F: Future<Output = Result<W, Failure>> + Send + 'static,
    W: Send + 'static,
{
    let seen = Arc::new(Semaphore::new(0));
    for _ in 0..READERS {
        let mut watch = open(stage, tree)?;
        let seen = Arc::clone(&seen);
        stage.runtime.spawn(async move {
            // A reader that fails closes the semaphore, which fails the side.
            loop {
                match events(watch, BURST).await {
                    Ok(again) => watch = again,
                    Err(_) => return seen.close(),
                }
                seen.add_permits(1);
            }
        });
    }
    let stage = Arc::clone(stage);
    Ok(side(move |window| {
        let end = Instant::now() + window;
        let mut deliveries = 0;
        while deliveries == 0 || Instant::now() < end {
            stage.runtime.block_on(async {
                let writers: Vec<_> =
                    (0..WRITERS).map(|writer| tokio::spawn(puts(stage.raw.clone(), tree, writer))).collect();
                for writer in writers {
                    writer.await??;
                }
                seen.acquire_many(READERS as u32).await?.forget();
                Ok::<_, Failure>(())
            })?;
            deliveries += (READERS * BURST) as u64;
        }
        Ok(Work::Operations(deliveries))
    }))
}

/// A writer's share of a burst: both sides are written to by the raw client.
async fn puts(client: etcd_client::Client, tree: &str, writer: usize) -> Result<(), etcd_client::Error> {
    let mut kv = client.kv_client();
    for n in 0..BURST / WRITERS {
        kv.put(absolute(&format!("{tree}/{writer}/{n}")), value().as_ref(), None).await?;
    }
    Ok(())
}

async fn our_events(mut watch: Watch, count: usize) -> Result<Watch, Failure> {
    let mut told = 0;
    while told < count {
        if let Event::Put(pair) = watch.next().await.ok_or("the watch has ended")?? {
            std::hint::black_box(pair);
            told += 1;
        }
    }
    Ok(watch)
}

async fn raw_events(mut watch: WatchStream, count: usize) -> Result<WatchStream, Failure> {
    let mut told = 0;
    while told < count {
        let response = watch.message().await?.ok_or("the watch has ended")?;
        told += std::hint::black_box(response.0.events).len();
    }
    Ok(watch)
}

/// Opens watches, reads an event with each, and keeps them: what is given back to the allocator would not be seen again.
/// Each round has a tree of its own, so that those of before get nothing more.
fn growing<W, F>(
    stage: &Arc<Stage>,
    tree: &'static str,
    count: usize,
    open: Open<W>,
    events: fn(W, usize) -> F,
) -> Box<dyn Side>
where
    W: 'static,
    F: Future<Output = Result<W, Failure>> + 'static,
{
    let stage = Arc::clone(stage);
    let mut kept: Vec<Vec<W>> = Vec::new();
    side(move |_| {
        let tree = format!("{tree}-{}", kept.len());
        let before = memory()?;
        let opened: Vec<W> = (0..count).map(|_| open(&stage, &tree)).collect::<Result<_, _>>()?;
        let mut read = Vec::with_capacity(count);
        stage.runtime.block_on(async {
            stage.raw.kv_client().put(absolute(&format!("{tree}/event")), value().as_ref(), None).await?;
            for watch in opened {
                read.push(events(watch, 1).await?);
            }
            Ok::<_, Failure>(())
        })?;
        kept.push(read);
        Ok(Work::Memory(count as u64, memory()?.saturating_sub(before)))
    })
}
