//! P8: how soon a change is told, on a watch that runs and on one that resumes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{KvClient, WatchClient, WatchOptions, WatchStream};
use kvdb_core::{Event, Handle, KvdbExt, Watch};
use tokio::sync::Mutex;

use super::stage::{Stage, absolute};
use crate::pairs::{Pair, side};
use crate::rows::keys::value;
use crate::rows::{Failure, Place};

const WINDOW: Duration = Duration::from_millis(500);
/// Several resumes, of which a raw one takes up to 100 ms.
const RESUME_WINDOW: Duration = Duration::from_millis(600);
const KEY: &str = "flag";
const RAW_KEY: &str = "raw-flag";

pub(in crate::rows) fn watch(place: &Place<'_>) -> Result<Vec<Pair>, Failure> {
    let stage = Stage::open(place)?;
    Ok(vec![running(&stage)?, resumed(&stage)])
}

fn running(stage: &Arc<Stage>) -> Result<Pair, Failure> {
    let watch = Arc::new(Mutex::new(stage.runtime.block_on(stage.kv.watch_key(KEY).into_future())?));
    let raw_watch = stage.runtime.block_on(stage.raw.watch_client().watch(absolute(RAW_KEY), None))?;
    let raw_watch = Arc::new(Mutex::new(raw_watch));
    let (ours, raw) = (Arc::clone(stage), Arc::clone(stage));
    Ok(Pair {
        what: "put to watch event, p50",
        against: "put and watch of etcd-client",
        window: WINDOW,
        ours: side(move |window| {
            ours.median(window, || {
                let (kv, watch) = (ours.kv.clone(), Arc::clone(&watch));
                async move {
                    let mut watch = watch.lock().await;
                    let began = Instant::now();
                    let told = async { our_put(&mut watch, 0).await.map(|()| began.elapsed()) };
                    let (_, told) = tokio::try_join!(async { Ok(kv.put(KEY, value()).await?) }, told)?;
                    Ok(told)
                }
            })
        }),
        raw: side(move |window| {
            raw.median(window, || {
                let (mut kv, watch) = (raw.raw.kv_client(), Arc::clone(&raw_watch));
                async move {
                    let mut watch = watch.lock().await;
                    let began = Instant::now();
                    let told = async { raw_put(&mut watch, 0).await.map(|()| began.elapsed()) };
                    let put = async { Ok(kv.put(absolute(RAW_KEY), value().as_ref(), None).await?) };
                    let (_, told) = tokio::try_join!(put, told)?;
                    Ok(told)
                }
            })
        }),
    })
}

/// A watch broke and nothing was written meanwhile; it is opened again, and then something is written. Raw clients open
/// it at the revision that they saw last, as etcd's own lock does, for fear of missing something.
fn resumed(stage: &Arc<Stage>) -> Pair {
    let (ours, raw) = (Arc::clone(stage), Arc::clone(stage));
    Pair {
        what: "first event after a resume",
        against: "a watch of etcd-client opened at the revision that it saw last",
        window: RESUME_WINDOW,
        ours: side(move |window| ours.median(window, || our_resume(ours.kv.clone()))),
        raw: side(move |window| raw.median(window, || raw_resume(raw.raw.kv_client(), raw.raw.watch_client()))),
    }
}

async fn our_resume(kv: Handle) -> Result<Duration, Failure> {
    let seen = kv.put(KEY, value()).await?.modified_index;
    let began = Instant::now();
    let mut watch = kv.watch_key(KEY).after(seen).await?;
    let written = kv.put(KEY, value()).await?.modified_index;
    our_put(&mut watch, written.get()).await?;
    Ok(began.elapsed())
}

async fn raw_resume(mut kv: KvClient, mut watches: WatchClient) -> Result<Duration, Failure> {
    let mut put = async || {
        let answer = kv.put(absolute(RAW_KEY), value().as_ref(), None).await?;
        Ok::<_, Failure>(answer.header().ok_or("an answer without a header")?.revision())
    };
    let seen = put().await?;
    let began = Instant::now();
    let options = WatchOptions::new().with_start_revision(seen);
    let mut watch = watches.watch(absolute(RAW_KEY), Some(options)).await?;
    let written = put().await?;
    raw_put(&mut watch, written).await?;
    Ok(began.elapsed())
}

/// Reads until a put at or above this revision is told.
async fn our_put(watch: &mut Watch, revision: u64) -> Result<(), Failure> {
    loop {
        match watch.next().await.ok_or("the watch has ended")?? {
            Event::Put(pair) if pair.modified_index.get() >= revision => return Ok(()),
            _ => {}
        }
    }
}

/// Reads until a put at or above this revision is told.
async fn raw_put(watch: &mut WatchStream, revision: i64) -> Result<(), Failure> {
    loop {
        let told = watch.message().await?.ok_or("the watch has ended")?;
        if told.events().iter().filter_map(|event| event.kv()).any(|kv| kv.mod_revision() >= revision) {
            return Ok(());
        }
    }
}
