//! P12: a snapshot against a clone of everything, a short list against a scan of everything.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use kvdb_core::KvdbExt;

use super::keys::{busy, key, value};
use super::memory::open;
use super::{Failure, Place};
use crate::pairs::{Pair, Work, side};

const WINDOW: Duration = Duration::from_millis(200);
/// The keys of the listed directory, among all others.
const LISTED: usize = 100;
const DIRECTORY: &str = "short";

pub(super) fn snapshot(_: &Place) -> Result<Vec<Pair>, Failure> {
    let (runtime, kv, map) = open()?;
    let (list_runtime, list_kv, list_map) = open()?;
    list_runtime.block_on(async {
        let mut map = list_map.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for n in 0..LISTED {
            let name = format!("{DIRECTORY}/{}", key(n));
            list_kv.put(&name, value()).await?;
            map.insert(name, value());
        }
        *list_map.lock().unwrap_or_else(PoisonError::into_inner) = map;
        Ok::<_, Failure>(())
    })?;
    let snapshots = Pair {
        what: "memory snapshot of 100,000 keys",
        against: "a clone of a BTreeMap<String, Bytes>",
        window: WINDOW,
        ours: side(move |window| {
            runtime.block_on(async {
                let end = Instant::now() + window;
                let mut operations = 0;
                while Instant::now() < end {
                    for _ in 0..256 {
                        std::hint::black_box(kv.snapshot(&[]).await?);
                    }
                    operations += 256;
                }
                Ok(Work::Operations(operations))
            })
        }),
        raw: side(move |window| {
            let end = Instant::now() + window;
            let mut operations = 0;
            while Instant::now() < end {
                std::hint::black_box(map.lock().unwrap_or_else(PoisonError::into_inner).clone());
                operations += 1;
            }
            Ok(Work::Operations(operations))
        }),
    };
    let lists = Pair {
        what: "memory list of 100 keys under a prefix among 100,000",
        against: "a scan of a locked BTreeMap for the prefix",
        window: WINDOW,
        ours: side(move |window| {
            list_runtime.block_on(async {
                let end = Instant::now() + window;
                let mut operations = 0;
                while Instant::now() < end {
                    for _ in 0..16 {
                        let found = list_kv.list(DIRECTORY).await?;
                        if found.len() != LISTED {
                            return Err("the list is not whole".into());
                        }
                    }
                    operations += 16;
                }
                Ok(Work::Operations(operations))
            })
        }),
        raw: side(move |window| {
            let scan = || {
                let map = list_map.lock().unwrap_or_else(PoisonError::into_inner);
                let found = map.iter().filter(|(key, _)| key.starts_with("short/"));
                let found: Vec<_> = found.map(|(key, value)| (key.clone(), value.clone())).collect();
                if found.len() == LISTED { Ok(()) } else { Err("the scan is not whole".into()) }
            };
            busy(window, scan).map(Work::Operations)
        }),
    };
    Ok(vec![snapshots, lists])
}
