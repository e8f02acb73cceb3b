//! P17: a real Consul, against pooled HTTP that asks it the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kvdb_core::{Handle, KvdbExt, Options};
use kvdb_servers::{Consul, ConsulSetup};
use reqwest::Client;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::keys::{DOMAIN, next, value};
use super::tasks::{own_keys, together};
use super::{Failure, Place};
use crate::pairs::{Pair, side};

/// Consul syncs every batch of writes to the disk, whatever is asked of it: some hundred of them.
const WINDOW: Duration = Duration::from_millis(500);
const TASKS: usize = 64;

/// The clients end before their runtime, the runtime before the server.
struct Stage {
    kv: Handle,
    raw: Raw,
    runtime: Runtime,
    _server: Consul,
}

/// What one writes without us: one pooled client, and the types of the answers.
#[derive(Clone)]
struct Raw {
    http: Client,
    base: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Op<'a> {
    verb: &'static str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<u64>,
}

#[derive(Serialize)]
struct Step<'a> {
    #[serde(rename = "KV")]
    kv: Op<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    results: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "KV")]
    kv: Item,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    value: Option<String>,
    modify_index: u64,
}

pub(super) fn calls(_: &Place<'_>) -> Result<Vec<Pair>, Failure> {
    let stage = Arc::new(open()?);
    let pair = |what, against, reads| {
        let (ours, raw) = (Arc::clone(&stage), Arc::clone(&stage));
        Pair {
            what,
            against,
            window: WINDOW,
            ours: side(move |window| {
                together(&ours.runtime, TASKS, window, |task, end| our_calls(ours.kv.clone(), task, end, reads))
            }),
            raw: side(move |window| {
                together(&raw.runtime, TASKS, window, |task, end| raw_calls(raw.raw.clone(), task, end, reads))
            }),
        }
    };
    Ok(vec![
        pair("Consul put, 64 tasks", "the same transaction over pooled HTTP", false),
        pair("Consul get, 64 tasks", "the same query (`?consistent`) over pooled HTTP", true),
    ])
}

/// Writes every key once, through our handle: it then knows what is there, as one that runs for long does.
fn open() -> Result<Stage, Failure> {
    // Not in memory: that server indents its JSON.
    let server = Consul::start(ConsulSetup::default().durable())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let endpoints = server.endpoints();
    let base = endpoints.first().ok_or("a server without an endpoint")?.clone();
    let http = Client::builder().no_proxy().http1_only().tcp_nodelay(true).build()?;
    let kv = runtime.block_on(async {
        let backend = (kvdb_consul::FACTORY.connect)(endpoints, Options::new()).await?;
        let kv = Handle::open("consul", backend, DOMAIN, &Options::new())?;
        let filled = (0..TASKS).map(|task| {
            let kv = kv.clone();
            tokio::spawn(async move {
                for key in own_keys(task) {
                    kv.put(&key, value()).await?;
                }
                Ok::<_, kvdb_core::Error>(())
            })
        });
        for filled in filled.collect::<Vec<_>>() {
            filled.await??;
        }
        Ok::<_, Failure>(kv)
    })?;
    Ok(Stage { kv, raw: Raw { http, base }, runtime, _server: server })
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

async fn raw_calls(raw: Raw, task: usize, end: Instant, reads: bool) -> Result<u64, Failure> {
    let keys: Vec<String> = own_keys(task).iter().map(|key| format!("{DOMAIN}/{key}")).collect();
    let (value, mut at, mut operations) = (value(), 0, 0);
    while Instant::now() < end {
        let key = next(&keys, &mut at);
        match reads {
            true => raw.get(key).await?,
            false => raw.put(key, &value).await?,
        }
        operations += 1;
    }
    Ok(operations)
}

impl Raw {
    async fn get(&self, key: &str) -> Result<(), Failure> {
        let answer = self.http.get(format!("{}/v1/kv/{key}?consistent", self.base)).send().await?;
        let items: Vec<Item> = serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?;
        let item = items.into_iter().next().ok_or("a key is missing")?;
        std::hint::black_box(STANDARD.decode(item.value.unwrap_or_default())?);
        Ok(())
    }

    /// Refuses a key that a session holds, and sets the flags that tell one write from another, as a put of ours does.
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), Failure> {
        let free = Op { verb: "check-session", key, session: Some(""), value: None, flags: None };
        let (value, flags) = (Some(STANDARD.encode(value)), Some(rand::random()));
        let set = Op { verb: "set", key, session: None, value, flags };
        let body = serde_json::to_vec(&[Step { kv: free }, Step { kv: set }])?;
        let answer = self.http.put(format!("{}/v1/txn", self.base)).body(body).send().await?;
        let answer: Answer = serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?;
        let index = answer.results.iter().map(|result| result.kv.modify_index).max();
        index.map(|_| ()).ok_or_else(|| "nothing was written".into())
    }
}
