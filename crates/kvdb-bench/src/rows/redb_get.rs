//! P16: reads from the durable store, idle and while it commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kvdb_core::KvdbExt;

use super::keys::{busy, next, shuffled, value};
use super::stores::{Ours, raw_filled, raw_get};
use super::{Failure, Place};
use crate::pairs::{Pair, Work, side};

/// The window of one side.
const WINDOW: Duration = Duration::from_millis(300);
/// Long enough that every writer commits many times.
const LATENCY_WINDOW: Duration = Duration::from_millis(500);
const WRITERS: usize = 64;

pub(super) fn get(place: &Place) -> Result<Vec<Pair>, Failure> {
    let ours = Arc::new(Ours::open(&place.dir.join("p16-ours.redb"))?);
    ours.fill()?;
    let raw = raw_filled(&place.dir.join("p16-raw.redb"))?;
    let (keys, mut at) = (shuffled(), 0);
    let (raw_keys, mut raw_at) = (keys.clone(), 0);
    let (reader, idle, loaded) = (Arc::clone(&ours), Arc::clone(&ours), ours);
    Ok(vec![
        Pair {
            what: "redb get",
            against: "raw begin_read, open_table, get",
            window: WINDOW,
            ours: side(move |window| {
                reader.runtime.block_on(async {
                    let end = Instant::now() + window;
                    let mut operations = 0;
                    while Instant::now() < end {
                        for _ in 0..256 {
                            reader.kv.get(next(&keys, &mut at)).await?.ok_or("a key is missing")?;
                        }
                        operations += 256;
                    }
                    Ok(Work::Operations(operations))
                })
            }),
            raw: side(move |window| {
                busy(window, || {
                    if raw_get(&raw, next(&raw_keys, &mut raw_at))? { Ok(()) } else { Err("a key is missing".into()) }
                })
                .map(Work::Operations)
            }),
        },
        Pair {
            what: "redb get, p99 while 64 writers commit",
            against: "p99 of an idle store",
            window: LATENCY_WINDOW,
            ours: side(move |window| with_writers(&loaded, || p99(&loaded, window))),
            raw: side(move |window| p99(&idle, window)),
        },
    ])
}

/// The latency that one get in a hundred exceeds.
fn p99(ours: &Ours, window: Duration) -> Result<Work, Failure> {
    let keys = shuffled();
    let mut at = 0;
    let mut latencies = Vec::new();
    ours.runtime.block_on(async {
        let end = Instant::now() + window;
        loop {
            let began = Instant::now();
            if began >= end {
                return Ok::<_, Failure>(());
            }
            ours.kv.get(next(&keys, &mut at)).await?.ok_or("a key is missing")?;
            latencies.push(began.elapsed());
        }
    })?;
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
    Ok(Work::Latency(latencies.len() as u64, p99))
}

/// Calls `measure` while writers commit without a pause.
fn with_writers(ours: &Ours, measure: impl FnOnce() -> Result<Work, Failure>) -> Result<Work, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (kv, stop) = (ours.kv.clone(), Arc::clone(&stop));
            ours.runtime.spawn(async move {
                let key = format!("load/{writer}");
                while !stop.load(Ordering::Relaxed) {
                    kv.put(&key, value()).await?;
                }
                Ok::<_, kvdb_core::Error>(())
            })
        })
        .collect();
    let measured = measure();
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        ours.runtime.block_on(writer)??;
    }
    measured
}
