//! The same stores for code without async: every call blocks its thread until the answer is there.
//!
//! ```
//! # #[cfg(feature = "memory")] {
//! let kv = kvdb::blocking::connect("mem:")?;
//! kv.put("greeting", "hello")?;
//! // Any call of the async API, options included, through `wait`:
//! let pair = kv.wait(|kv| async move { use kvdb::prelude::*; kv.create("job", "1").await })?;
//! assert_eq!(pair.key, "job");
//! # }
//! # Ok::<(), kvdb::Error>(())
//! ```
//!
//! A store has a small runtime of its own, so it works on a plain thread, in `spawn_blocking`, and inside async code,
//! where it blocks the worker it is called on: prefer the async API there.
//!
//! Every call has the deadline of the async one, so it ends; a lock waits as long as it is told to. Callbacks (of
//! watches, of `on_fatal`) run on the store's own two threads, and a call of [`Store`] inside of one keeps its thread
//! waiting: hand such work to a thread of your own.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use kvdb_core::{
    Error, ErrorKind, Event, Handle, IntoValue, KvPair, Kvdb as _, KvdbExt, LockGuard, Options, Result, Snapshot,
    Target, WatchOptions,
};
use tokio::runtime::{Builder, Runtime};

/// Two threads: one can wait in a callback while the other goes on.
const WORKERS: usize = 2;

/// An opened store; cloning is cheap and every clone is the same handle. The last one to go ends its runtime.
#[derive(Clone)]
pub struct Store {
    handle: Handle,
    runtime: Arc<Threads>,
}

/// The runtime's threads; dropped without waiting, so that a drop inside async code does not panic.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Threads {
    fn start() -> Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(WORKERS).thread_name("kvdb-blocking").enable_all().build();
        runtime.map(|runtime| Self(Some(runtime))).map_err(|source| {
            Error::new(ErrorKind::Unavailable, "the system has no threads for the store").with_source(source)
        })
    }

    fn wait<T: Send + 'static>(&self, future: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let gone = || Error::new(ErrorKind::Internal, "the call broke off; report this");
        let (answer, waiting) = mpsc::sync_channel(1);
        let runtime = self.0.as_ref().ok_or_else(gone)?;
        runtime.spawn(async move {
            // The caller waits below until this is sent.
            let _ = answer.send(future.await);
        });
        waiting.recv().map_err(|_| gone())?
    }
}

/// Opens the store that `name` and `endpoints` tell, as [`crate::new`] does.
///
/// # Errors
/// As [`crate::new`].
pub fn new(name: &str, domain: &str, endpoints: &[&str], options: Options) -> Result<Store> {
    let (name, domain) = (name.to_owned(), domain.to_owned());
    let endpoints: Vec<String> = endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect();
    open(async move {
        let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
        crate::new(&name, &domain, &endpoints, options).await
    })
}

/// Opens the store behind a URI, as [`crate::connect`] does.
///
/// # Errors
/// As [`crate::connect`].
pub fn connect(uri: &str) -> Result<Store> {
    let uri = uri.to_owned();
    open(async move { crate::connect(&uri).await })
}

fn open(opening: impl Future<Output = Result<Handle>> + Send + 'static) -> Result<Store> {
    let runtime = Threads::start()?;
    let handle = runtime.wait(opening)?;
    Ok(Store { handle, runtime: Arc::new(runtime) })
}

impl Store {
    /// Runs any call of the async API and waits for it.
    ///
    /// # Errors
    /// The call's own.
    pub fn wait<T, F, R>(&self, call: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Handle) -> R,
        R: Future<Output = Result<T>> + Send + 'static,
    {
        self.runtime.wait(call(self.handle.clone()))
    }

    /// The async handle, for what only it has: wrappers, callbacks, settings.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Reads a key: `None` if it is absent.
    ///
    /// # Errors
    /// Those of a read.
    pub fn get(&self, key: &str) -> Result<Option<KvPair>> {
        let key = key.to_owned();
        self.wait(|kv| async move { kv.get(&key).await })
    }

    /// Writes a key.
    ///
    /// # Errors
    /// Those of a write.
    pub fn put(&self, key: &str, value: impl IntoValue) -> Result<KvPair> {
        let (key, value) = (key.to_owned(), value.into_value());
        self.wait(|kv| async move { kv.put(&key, value).await })
    }

    /// Deletes a key; answers the old pair.
    ///
    /// # Errors
    /// `NotFound`, and those of a write.
    pub fn delete(&self, key: &str) -> Result<KvPair> {
        let key = key.to_owned();
        self.wait(|kv| async move { kv.delete(&key).await })
    }

    /// Deletes every key below a prefix; answers how many.
    ///
    /// # Errors
    /// Those of a write.
    pub fn delete_tree(&self, prefix: &str) -> Result<u64> {
        let prefix = prefix.to_owned();
        self.wait(|kv| async move { kv.delete_tree(&prefix).await })
    }

    /// Every pair below a prefix, sorted by key.
    ///
    /// # Errors
    /// Those of a listing.
    pub fn list(&self, prefix: &str) -> Result<Vec<KvPair>> {
        let prefix = prefix.to_owned();
        self.wait(|kv| async move { kv.list(&prefix).await })
    }

    /// The first-level names below a prefix, sorted.
    ///
    /// # Errors
    /// Those of a listing.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let prefix = prefix.to_owned();
        self.wait(|kv| async move { kv.keys(&prefix).await })
    }

    /// A read-only view of the prefixes at one revision; read it through [`Store::wait`].
    ///
    /// # Errors
    /// Those of a listing.
    pub fn snapshot(&self, prefixes: &[&str]) -> Result<Snapshot> {
        let prefixes: Vec<String> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        self.wait(|kv| async move {
            let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
            kv.snapshot(&prefixes).await
        })
    }

    /// Takes a lock, waiting at most `wait` for it; dropping it releases it in the background.
    ///
    /// # Errors
    /// `LockTimeout` naming the holder, and those of a write.
    pub fn lock(&self, name: &str, wait: Duration) -> Result<Lock> {
        let name = name.to_owned();
        let guard = self.wait(|kv| async move { kv.lock(&name).wait(wait).await })?;
        Ok(Lock { guard: Arc::new(guard), store: self.clone() })
    }

    /// Watches every key below a prefix from now on: an iterator that blocks until something happens.
    ///
    /// # Errors
    /// Those of a watch.
    pub fn watch_tree(&self, prefix: &str) -> Result<Watch> {
        let prefix = prefix.to_owned();
        let watch =
            self.wait(|kv| async move { kv.watch_opts(Target::Tree(&prefix), WatchOptions::default()).await })?;
        Ok(Watch { watch: Arc::new(tokio::sync::Mutex::new(watch)), store: self.clone() })
    }

    /// Closes the handle: what it holds is released, later calls are `Closed`.
    ///
    /// # Errors
    /// Those of giving leases back.
    pub fn close(&self) -> Result<()> {
        self.wait(|kv| async move { kv.close().await })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

/// A held lock.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock {
    guard: Arc<LockGuard>,
    store: Store,
}

impl Lock {
    /// The guard: its token, its fence, whether it is held.
    pub fn guard(&self) -> &LockGuard {
        &self.guard
    }

    /// Releases the lock.
    ///
    /// # Errors
    /// When the store cannot be reached; the lock is then released once it can, or by its lease.
    pub fn release(&self) -> Result<()> {
        let guard = Arc::clone(&self.guard);
        self.store.wait(|_| async move { guard.release().await })
    }
}

/// What happens below a prefix. The iterator ends with the error that ended the watch.
#[derive(Debug)]
pub struct Watch {
    watch: Arc<tokio::sync::Mutex<kvdb_core::Watch>>,
    store: Store,
}

impl Iterator for Watch {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        let watch = Arc::clone(&self.watch);
        self.store.wait(|_| async move { watch.lock().await.next().await.transpose() }).transpose()
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use super::*;

    #[test]
    fn it_works_on_a_plain_thread() {
        let kv = connect("mem:").unwrap();
        let mut watch = kv.watch_tree("a").unwrap();
        kv.put("a/b", "1").unwrap();
        assert!(matches!(watch.next(), Some(Ok(Event::Put(pair))) if pair.key == "a/b"));
        let lock = kv.lock("job", Duration::ZERO).unwrap();
        let refused = kv.lock("job", Duration::ZERO).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::LockTimeout { .. }));
        lock.release().unwrap();
        let view = kv.snapshot(&[]).unwrap();
        assert_eq!(kv.delete_tree("").unwrap(), 1);
        assert_eq!(kv.wait(|_| async move { view.count("").await }).unwrap(), 1);
        kv.close().unwrap();
        assert_eq!(*kv.get("a").unwrap_err().kind(), ErrorKind::Closed);
    }

    #[tokio::test]
    async fn it_works_inside_async_code_and_on_its_blocking_threads() {
        let kv = connect("mem:").unwrap();
        kv.put("a", "1").unwrap();
        let other = kv.clone();
        tokio::task::spawn_blocking(move || other.put("b", "2").unwrap()).await.unwrap();
        assert_eq!(kv.keys("").unwrap(), ["a", "b"]);
        drop(kv);
    }
}
