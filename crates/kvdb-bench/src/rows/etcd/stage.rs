//! A real etcd, our handle on it and a raw client beside it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions};
use kvdb_core::{Handle, Options};
use kvdb_servers::{Etcd, EtcdSetup};
use tokio::runtime::Runtime;

use crate::pairs::Work;
use crate::rows::keys::DOMAIN;
use crate::rows::tasks::together;
use crate::rows::{Failure, Place};

/// The clients end before their runtime, the runtime before the server.
pub(super) struct Stage {
    pub(super) kv: Handle,
    pub(super) raw: Client,
    pub(super) runtime: Runtime,
    endpoints: Vec<String>,
    _server: Etcd,
}

impl Stage {
    /// Starts the server. It keeps every revision: what a row writes stays below the quota of 8 GiB.
    pub(super) fn open(place: &Place<'_>) -> Result<Arc<Self>, Failure> {
        let setup = EtcdSetup::default().extra_args(["--quota-backend-bytes=8589934592"]);
        let server = Etcd::start(if place.fsync { setup.fsync() } else { setup })?;
        let endpoints = server.endpoints();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (kv, raw) =
            runtime.block_on(async { Ok::<_, Failure>((ours(&endpoints).await?, raw(&endpoints).await?)) })?;
        Ok(Arc::new(Self { kv, raw, runtime, endpoints, _server: server }))
    }

    /// One more handle, with a connection of its own.
    pub(super) fn handle(&self) -> Result<Handle, Failure> {
        self.runtime.block_on(ours(&self.endpoints))
    }

    /// One more raw client, with a connection of its own.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        self.runtime.block_on(raw(&self.endpoints))
    }

    /// See [`together`].
    pub(super) fn together<F>(
        &self,
        tasks: usize,
        window: Duration,
        worker: impl Fn(usize, Instant) -> F,
    ) -> Result<Work, Failure>
    where
        F: Future<Output = Result<u64, Failure>> + Send + 'static,
    {
        together(&self.runtime, tasks, window, worker)
    }

    /// Measures with one task of the runtime until the window is over; the figure is the median of what `one` answers.
    pub(super) fn median<F>(&self, window: Duration, mut one: impl FnMut() -> F) -> Result<Work, Failure>
    where
        F: Future<Output = Result<Duration, Failure>> + Send + 'static,
    {
        let end = Instant::now() + window;
        let mut latencies = Vec::new();
        while latencies.is_empty() || Instant::now() < end {
            latencies.push(self.runtime.block_on(self.runtime.spawn(one()))??);
        }
        latencies.sort_unstable();
        let median = latencies.get(latencies.len() / 2).copied().unwrap_or_default();
        Ok(Work::Latency(latencies.len() as u64, median))
    }
}

async fn ours(endpoints: &[String]) -> Result<Handle, Failure> {
    let backend = (kvdb_etcd::FACTORY.connect)(endpoints.to_vec(), Options::new()).await?;
    Ok(Handle::open("etcd", backend, DOMAIN, &Options::new())?)
}

/// A client as its documentation asks for it, with the keep-alive that every client of etcd should have.
async fn raw(endpoints: &[String]) -> Result<Client, Failure> {
    let options = ConnectOptions::new()
        .with_connect_timeout(Duration::from_secs(2))
        .with_keep_alive(Duration::from_secs(5), Duration::from_secs(5));
    Ok(Client::connect(endpoints, Some(options)).await?)
}

/// The key as the server has it.
pub(super) fn absolute(key: &str) -> String {
    format!("{DOMAIN}/{key}")
}
