//! P10 and P11: the memory store against the map that one would write instead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvdb_core::{Handle, KvdbExt, Options};
use kvdb_memory::{MemoryBackend, MemoryConfig};
use tokio::runtime::Runtime;

use super::keys::{DOMAIN, busy, next, shuffled, value};
use super::{Failure, Place};
use crate::pairs::{Pair, Work, side};

/// The window of one side: caches are warm after a few milliseconds.
const WINDOW: Duration = Duration::from_millis(200);

type Locked = Arc<Mutex<BTreeMap<String, Bytes>>>;

pub(super) fn get(_: &Place) -> Result<Vec<Pair>, Failure> {
    let (runtime, kv, map) = open()?;
    let (keys, mut at) = (shuffled(), 0);
    let raw_keys = keys.clone();
    let mut raw_at = 0;
    Ok(vec![Pair {
        what: "memory get",
        against: "a lookup in a Mutex<BTreeMap<String, Bytes>>",
        window: WINDOW,
        ours: side(move |window| {
            runtime.block_on(async {
                let end = Instant::now() + window;
                let mut operations = 0;
                while Instant::now() < end {
                    for _ in 0..256 {
                        kv.get(next(&keys, &mut at)).await?.ok_or("a key is missing")?;
                    }
                    operations += 256;
                }
                Ok(Work::Operations(operations))
            })
        }),
        raw: side(move |window| {
            busy(window, || {
                let map = map.lock().unwrap_or_else(PoisonError::into_inner);
                let found = map.get(next(&raw_keys, &mut raw_at)).cloned();
                drop(map);
                std::hint::black_box(found).ok_or("a key is missing")?;
                Ok(())
            })
            .map(Work::Operations)
        }),
    }])
}

pub(super) fn put(_: &Place) -> Result<Vec<Pair>, Failure> {
    let (runtime, kv, map) = open()?;
    let (keys, mut at) = (shuffled(), 0);
    let raw_keys = keys.clone();
    let mut raw_at = 0;
    Ok(vec![Pair {
        what: "memory put with revision and history",
        against: "an insert into a Mutex<BTreeMap<String, Bytes>>",
        window: WINDOW,
        ours: side(move |window| {
            runtime.block_on(async {
                let value = value();
                let end = Instant::now() + window;
                let mut operations = 0;
                while Instant::now() < end {
                    for _ in 0..256 {
                        kv.put(next(&keys, &mut at), &value).await?;
                    }
                    operations += 256;
                }
                Ok(Work::Operations(operations))
            })
        }),
        raw: side(move |window| {
            let value = value();
            busy(window, || {
                let key = next(&raw_keys, &mut raw_at).to_owned();
                let old = map.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value.clone());
                std::hint::black_box(old);
                Ok(())
            })
            .map(Work::Operations)
        }),
    }])
}

/// Both sides, holding the same keys.
pub(super) fn open() -> Result<(Runtime, Handle, Locked), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let inside = runtime.enter();
    let backend = Arc::new(MemoryBackend::new(&MemoryConfig::default()));
    let kv = Handle::open("mem", backend, DOMAIN, &Options::new())?;
    let mut map = BTreeMap::new();
    runtime.block_on(async {
        for key in shuffled() {
            kv.put(&key, value()).await?;
            map.insert(key, value());
        }
        Ok::<_, Failure>(())
    })?;
    drop(inside);
    Ok((runtime, kv, Arc::new(Mutex::new(map))))
}
