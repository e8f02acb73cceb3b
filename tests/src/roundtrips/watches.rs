//! What watches cost.

use kvdb::prelude::*;
use kvdb_testsuite::help::{eventually, next_event};
use kvdb_testsuite::{Proof, ensure_eq};
use libtest_mimic::Trial;

use super::etcd::{Counted, trial};

const READERS: usize = 1_000;

pub(super) fn trials() -> Vec<Trial> {
    vec![trial("7.12 1,000 readers of one tree are one watch of the server, and none when they are gone", one_watch)]
}

async fn one_watch(counted: Counted) -> Proof {
    ensure_eq!(counted.watches()?, 0);
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(counted.kv.watch_tree("tree").await?);
    }
    ensure_eq!(counted.watches()?, 1);
    let written = counted.kv.put("tree/key", "1").await?;
    for reader in &mut readers {
        ensure_eq!(next_event(reader).await?.pair().map(|pair| pair.modified_index), Some(written.modified_index));
    }
    drop(readers);
    eventually("the server's watch ends with its last reader", || async { Ok(counted.watches()? == 0) }).await
}
