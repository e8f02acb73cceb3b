//! P18, first half: a real ZooKeeper, against `zookeeper-client` that asks it the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kvdb_core::{Handle, KvdbExt, Options};
use kvdb_servers::{ZooKeeper, ZooKeeperSetup};
use tokio::runtime::Runtime;
use zookeeper::{Acls, Client, CreateMode, MultiReadResult};

use super::keys::{DOMAIN, next, value};
use super::tasks::{own_keys, together};
use super::{Failure, Place};
use crate::pairs::{Pair, side};

const WINDOW: Duration = Duration::from_millis(500);
const TASKS: [usize; 2] = [16, 128];

/// As many as a handle of ours has nodes that tell one incarnation of a key from another.
const GENERATIONS: usize = 64;

/// The clients end before their runtime, the runtime before the server.
struct Stage {
    kv: Handle,
    raw: Arc<Client>,
    runtime: Runtime,
    _server: ZooKeeper,
}

pub(super) fn calls(_: &Place<'_>) -> Result<Vec<Pair>, Failure> {
    let stage = Arc::new(open()?);
    let pair = |what, against, tasks, reads| {
        let (ours, raw) = (Arc::clone(&stage), Arc::clone(&stage));
        Pair {
            what,
            against,
            window: WINDOW,
            ours: side(move |window| {
                together(&ours.runtime, tasks, window, |task, end| our_calls(ours.kv.clone(), task, end, reads))
            }),
            raw: side(move |window| {
                together(&raw.runtime, tasks, window, |task, end| raw_calls(Arc::clone(&raw.raw), task, end, reads))
            }),
        }
    };
    let [few, many] = TASKS;
    let (put, get) = ("the same read and multi by zookeeper-client", "sync and getData in one go by zookeeper-client");
    Ok(vec![
        pair("ZooKeeper put, 16 tasks", put, few, false),
        pair("ZooKeeper put, 128 tasks", put, many, false),
        pair("ZooKeeper get, 16 tasks", get, few, true),
        pair("ZooKeeper get, 128 tasks", get, many, true),
    ])
}

/// Writes every key once, through our handle, and makes the nodes that the raw side checks.
fn open() -> Result<Stage, Failure> {
    let server = ZooKeeper::start(ZooKeeperSetup::default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (kv, raw) = runtime.block_on(async {
        let endpoints = server.endpoints();
        let raw = Client::connect(endpoints.first().ok_or("a server without an endpoint")?).await?;
        let backend = (kvdb_zookeeper::FACTORY.connect)(endpoints, Options::new()).await?;
        let kv = Handle::open("zookeeper", backend, DOMAIN, &Options::new())?;
        for key in (0..TASKS.into_iter().max().unwrap_or_default()).flat_map(own_keys) {
            kv.put(&key, value()).await?;
        }
        let node = CreateMode::Persistent.with_acls(Acls::anyone_all());
        raw.create("/generations", b"", &node).await?;
        for n in 0..GENERATIONS {
            raw.create(&generation(n), b"", &node).await?;
        }
        Ok::<_, Failure>((kv, Arc::new(raw)))
    })?;
    Ok(Stage { kv, raw, runtime, _server: server })
}

fn generation(n: usize) -> String {
    format!("/generations/{n}")
}

async fn our_calls(kv: Handle, task: usize, end: Instant, reads: bool) -> Result<u64, Failure> {
    let (keys, value, mut at, mut operations) = (own_keys(task), value(), 0, 0);
    while Instant::now() < end {
        let key = next(&keys, &mut at);
        match reads {
            true => drop(kv.get(key).await?.ok_or("a key is missing")?),
            false => drop(kv.put(key, &value).await?),
        }
        operations += 1;
    }
    Ok(operations)
}

async fn raw_calls(client: Arc<Client>, task: usize, end: Instant, reads: bool) -> Result<u64, Failure> {
    let leaves: Vec<String> = own_keys(task).iter().map(|key| format!("/{DOMAIN}/{key}=")).collect();
    let (value, mut at, mut operations) = (value(), 0, 0);
    while Instant::now() < end {
        let leaf = next(&leaves, &mut at);
        match reads {
            true => read(&client, leaf).await?,
            false => write(&client, leaf, &generation(at % GENERATIONS), &value).await?,
        }
        operations += 1;
    }
    Ok(operations)
}

async fn read(client: &Client, leaf: &str) -> Result<(), Failure> {
    let (synced, data) = (client.sync(leaf), client.get_data(leaf));
    synced.await?;
    std::hint::black_box(data.await?);
    Ok(())
}

/// As a put of ours: what is there is looked at, for its version and that of the node that tells its incarnation.
async fn write(client: &Client, leaf: &str, generation: &str, value: &[u8]) -> Result<(), Failure> {
    let mut look = client.new_multi_reader();
    look.add_get_data(generation)?;
    look.add_get_data(leaf)?;
    let found = look.commit().await?;
    let [MultiReadResult::Data { stat, .. }, MultiReadResult::Data { .. }] = found.as_slice() else {
        return Err("a node is missing".into());
    };
    let mut multi = client.new_multi_writer();
    multi.add_check_version(generation, stat.version)?;
    multi.add_set_data(leaf, value, None)?;
    multi.commit().await?;
    Ok(())
}
