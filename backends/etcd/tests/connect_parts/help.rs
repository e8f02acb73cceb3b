//! What every test here needs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kvdb_core::{Backend, Batch, Bytes, Error, ErrorKind, Handle, Key, Op, Options, Outcome, Result};
use kvdb_etcd::FACTORY;
use kvdb_servers::{Etcd, EtcdSetup};

/// Long enough for a loaded machine; a test that waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn start(setup: EtcdSetup) -> Etcd {
    Etcd::start(setup).unwrap()
}

/// As an app opens it: with the engine's deadlines and retries.
pub(crate) async fn open(endpoints: &[String], options: Options) -> Result<Handle> {
    let backend = backend(endpoints, options.clone()).await?;
    Handle::open(FACTORY.name, backend, "app", &options)
}

/// Without the engine: each call is made once.
pub(crate) async fn backend(endpoints: &[String], options: Options) -> Result<Arc<dyn Backend>> {
    (FACTORY.connect)(endpoints.to_vec(), options).await
}

pub(crate) async fn put(store: &dyn Backend, key: &str) -> Result<()> {
    let op = Op::Put { key: Key::from(key), value: Bytes::from_static(b"v"), lease: None, previous: false };
    match store.commit(&Batch { guards: Vec::new(), ops: vec![op] }).await? {
        Outcome::Committed { .. } => Ok(()),
        Outcome::Conflict => panic!("there was no guard"),
    }
}

pub(crate) fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

/// The error of what must not succeed.
pub(crate) fn refused<T>(result: Result<T>, kind: &ErrorKind, says: &str) -> Error {
    let Err(error) = result else { panic!("it went well where {kind:?} was expected") };
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().contains(says), "`{says}` is not in: {error}");
    error
}
