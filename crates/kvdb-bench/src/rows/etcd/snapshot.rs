//! P13: a snapshot against one range call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::GetOptions;
use kvdb_core::KvdbExt;

use super::stage::{Stage, absolute};
use crate::pairs::{Pair, side};
use crate::rows::keys::{key, value};
use crate::rows::{Failure, Place};

/// Some tens of snapshots.
const WINDOW: Duration = Duration::from_millis(500);
const KEYS: usize = 10_000;
/// Below the limit of etcd for the operations of a transaction.
const TOGETHER: usize = 100;

pub(in crate::rows) fn snapshot(place: &Place<'_>) -> Result<Vec<Pair>, Failure> {
    let stage = Stage::open(place)?;
    stage.runtime.block_on(async {
        for begin in (0..KEYS).step_by(TOGETHER) {
            let puts = (begin..begin + TOGETHER).map(|n| kvdb_core::put(key(n), value()));
            puts.fold(stage.kv.txn(), |txn, put| txn.then(put)).await?;
        }
        Ok::<_, Failure>(())
    })?;
    let (ours, raw) = (Arc::clone(&stage), stage);
    Ok(vec![Pair {
        what: "etcd consistent snapshot of 10,000 keys",
        against: "one range call of etcd-client",
        window: WINDOW,
        ours: side(move |window| {
            ours.median(window, || {
                let kv = ours.kv.clone();
                async move {
                    let began = Instant::now();
                    let snapshot = kv.snapshot(&["config"]).await?;
                    let took = began.elapsed();
                    if snapshot.count("").await? == KEYS as u64 {
                        Ok(took)
                    } else {
                        Err("the snapshot is not whole".into())
                    }
                }
            })
        }),
        raw: side(move |window| {
            raw.median(window, || {
                let mut kv = raw.raw.kv_client();
                async move {
                    let began = Instant::now();
                    let options = GetOptions::new().with_prefix();
                    let found = kv.get(absolute("config/"), Some(options)).await?.take_kvs();
                    let took = began.elapsed();
                    if found.len() == KEYS { Ok(took) } else { Err("the range is not whole".into()) }
                }
            })
        }),
    }])
}
