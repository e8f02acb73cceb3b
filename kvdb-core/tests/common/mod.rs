use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kvdb_core::{Backend, Handle, Options};
use kvdb_memory::{MemoryBackend, MemoryConfig};
use tokio::sync::mpsc;

mod faulty;

pub(crate) use faulty::Faulty;

/// How long anything may take before a test calls it missing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A fresh memory store.
pub(crate) fn backend() -> Arc<dyn Backend> {
    Arc::new(MemoryBackend::new(&MemoryConfig::default()))
}

/// Two ways into one fresh memory store, each with a life of its own.
pub(crate) fn two_backends() -> [Arc<dyn Backend>; 2] {
    static STORES: AtomicUsize = AtomicUsize::new(0);
    let name = format!("core-test-{}", STORES.fetch_add(1, Ordering::Relaxed));
    // An array of calls and not of clones: each handle closes its own.
    [0, 1].map(|_| Arc::new(MemoryBackend::named(&name, &MemoryConfig::default())) as _)
}

/// A handle on a fresh memory store of its own.
pub(crate) fn store() -> Handle {
    open(backend(), &Options::new())
}

/// Two handles on one fresh memory store.
pub(crate) fn two_stores() -> [Handle; 2] {
    two_backends().map(|backend| open(backend, &Options::new()))
}

/// A handle on a given store, under one domain.
pub(crate) fn open(backend: Arc<dyn Backend>, options: &Options) -> Handle {
    Handle::open("mem", backend, "app", options).unwrap()
}

/// Waits for `future` with the tests' patience.
pub(crate) async fn soon<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen in time"))
}

/// The next thing that a callback sent.
pub(crate) async fn next<T>(from: &mut mpsc::UnboundedReceiver<T>) -> T {
    soon("the next call", from.recv()).await.expect("the callback is gone")
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
