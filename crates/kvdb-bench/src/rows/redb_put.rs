//! P14 and P15: durable puts against a transaction of one's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kvdb_core::KvdbExt;
use redb::{Database, Durability};

use super::keys::{key, value};
use super::stores::{Ours, TABLE, raw};
use super::{Failure, Place};
use crate::pairs::{Pair, Work, side};

/// The window of one side: some hundred commits even on a slow disk.
const WINDOW: Duration = Duration::from_secs(1);
const WRITERS: usize = 64;

pub(super) fn many(place: &Place) -> Result<Vec<Pair>, Failure> {
    let ours = Ours::open(&place.dir.join("p14-ours.redb"))?;
    let raw = Arc::new(raw(&place.dir.join("p14-raw.redb"))?);
    Ok(vec![Pair {
        what: "redb durable put, 64 writers",
        against: "64 raw writers, a transaction each (two-phase, quick repair)",
        window: WINDOW,
        ours: side(move |window| {
            let end = Instant::now() + window;
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let kv = ours.kv.clone();
                    ours.runtime.spawn(async move {
                        let mut operations = 0;
                        while Instant::now() < end {
                            kv.put(&own_key(writer, operations), value()).await?;
                            operations += 1;
                        }
                        Ok::<_, kvdb_core::Error>(operations)
                    })
                })
                .collect();
            ours.runtime.block_on(async {
                let mut operations = 0;
                for writer in writers {
                    operations += writer.await??;
                }
                Ok(Work::Operations(operations))
            })
        }),
        raw: side(move |window| {
            let end = Instant::now() + window;
            let operations = AtomicU64::new(0);
            std::thread::scope(|scope| {
                let writers: Vec<_> = (0..WRITERS)
                    .map(|writer| {
                        let (raw, operations) = (&raw, &operations);
                        scope.spawn(move || {
                            let mut own = 0;
                            while Instant::now() < end {
                                put(raw, &own_key(writer, own))?;
                                own += 1;
                            }
                            operations.fetch_add(own, Ordering::Relaxed);
                            Ok::<_, Failure>(())
                        })
                    })
                    .collect();
                writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a raw writer panicked")?)
            })?;
            Ok(Work::Operations(operations.into_inner()))
        }),
    }])
}

pub(super) fn one(place: &Place) -> Result<Vec<Pair>, Failure> {
    let ours = Ours::open(&place.dir.join("p15-ours.redb"))?;
    let raw = raw(&place.dir.join("p15-raw.redb"))?;
    Ok(vec![Pair {
        what: "redb durable put, 1 writer",
        against: "a raw transaction (two-phase, quick repair)",
        window: WINDOW,
        ours: side(move |window| {
            ours.runtime.block_on(async {
                let end = Instant::now() + window;
                let mut operations = 0;
                while Instant::now() < end {
                    ours.kv.put(&own_key(0, operations), value()).await?;
                    operations += 1;
                }
                Ok(Work::Operations(operations))
            })
        }),
        raw: side(move |window| {
            let end = Instant::now() + window;
            let mut operations = 0;
            while Instant::now() < end {
                put(&raw, &own_key(0, operations))?;
                operations += 1;
            }
            Ok(Work::Operations(operations))
        }),
    }])
}

/// A writer's keys are its own and come again: what is measured is overwriting, as in a store that runs for long.
fn own_key(writer: usize, operation: u64) -> String {
    key(writer * 1_000 + operation as usize % 1_000)
}

/// What one writes without us, to the same promise.
fn put(raw: &Database, key: &str) -> Result<(), Failure> {
    let mut transaction = raw.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    transaction.open_table(TABLE)?.insert(key.as_bytes(), value().as_ref())?;
    transaction.commit()?;
    Ok(())
}
