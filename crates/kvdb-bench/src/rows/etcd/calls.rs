//! P1 to P3: single calls against the same calls of etcd-client, one cloned client a task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Client, KvClient};
use kvdb_core::{Handle, KvdbExt};

use super::stage::{Stage, absolute};
use crate::pairs::{Pair, side};
use crate::rows::keys::{next, value};
use crate::rows::tasks::own_keys;
use crate::rows::{Failure, Place};

/// Thousands of operations even with one task.
const WINDOW: Duration = Duration::from_millis(500);

pub(in crate::rows) fn put_alone(place: &Place<'_>) -> Result<Vec<Pair>, Failure> {
    let stage = Stage::open(place)?;
    Ok(vec![puts(&stage, 1, "etcd put, 1 task")])
}

pub(in crate::rows) fn put(place: &Place<'_>) -> Result<Vec<Pair>, Failure> {
    let stage = Stage::open(place)?;
    Ok(vec![puts(&stage, 16, "etcd put, 16 tasks"), puts(&stage, 128, "etcd put, 128 tasks")])
}

pub(in crate::rows) fn get(place: &Place<'_>) -> Result<Vec<Pair>, Failure> {
    let stage = Stage::open(place)?;
    stage.runtime.block_on(async {
        let mut raw = stage.raw.kv_client();
        for key in (0..128).flat_map(own_keys) {
            raw.put(absolute(&key), value(), None).await?;
        }
        Ok::<_, Failure>(())
    })?;
    Ok(vec![gets(&stage, 16, "etcd linearizable get, 16 tasks"), gets(&stage, 128, "etcd linearizable get, 128 tasks")])
}

fn puts(stage: &Arc<Stage>, tasks: usize, what: &'static str) -> Pair {
    let (ours, raw) = (Arc::clone(stage), Arc::clone(stage));
    Pair {
        what,
        against: "put by etcd-client",
        window: WINDOW,
        ours: side(move |window| ours.together(tasks, window, |task, end| our_puts(ours.kv.clone(), task, end))),
        raw: side(move |window| raw.together(tasks, window, |task, end| raw_puts(kv(&raw.raw), task, end))),
    }
}

fn gets(stage: &Arc<Stage>, tasks: usize, what: &'static str) -> Pair {
    let (ours, raw) = (Arc::clone(stage), Arc::clone(stage));
    Pair {
        what,
        against: "get by etcd-client",
        window: WINDOW,
        ours: side(move |window| ours.together(tasks, window, |task, end| our_gets(ours.kv.clone(), task, end))),
        raw: side(move |window| raw.together(tasks, window, |task, end| raw_gets(kv(&raw.raw), task, end))),
    }
}

fn kv(client: &Client) -> KvClient {
    client.kv_client()
}

async fn our_puts(kv: Handle, task: usize, end: Instant) -> Result<u64, Failure> {
    let (keys, value, mut at, mut operations) = (own_keys(task), value(), 0, 0);
    while Instant::now() < end {
        kv.put(next(&keys, &mut at), &value).await?;
        operations += 1;
    }
    Ok(operations)
}

async fn raw_puts(mut kv: KvClient, task: usize, end: Instant) -> Result<u64, Failure> {
    let keys: Vec<String> = own_keys(task).iter().map(|key| absolute(key)).collect();
    let (value, mut at, mut operations) = (value(), 0, 0);
    while Instant::now() < end {
        kv.put(next(&keys, &mut at), value.as_ref(), None).await?;
        operations += 1;
    }
    Ok(operations)
}

async fn our_gets(kv: Handle, task: usize, end: Instant) -> Result<u64, Failure> {
    let (keys, mut at, mut operations) = (own_keys(task), 0, 0);
    while Instant::now() < end {
        kv.get(next(&keys, &mut at)).await?.ok_or("a key is missing")?;
        operations += 1;
    }
    Ok(operations)
}

async fn raw_gets(mut kv: KvClient, task: usize, end: Instant) -> Result<u64, Failure> {
    let keys: Vec<String> = own_keys(task).iter().map(|key| absolute(key)).collect();
    let (mut at, mut operations) = (0, 0);
    while Instant::now() < end {
        let mut found = kv.get(next(&keys, &mut at), None).await?.take_kvs();
        found.pop().ok_or("a key is missing")?;
        operations += 1;
    }
    Ok(operations)
}
