use std::sync::Arc;

use kvdb::prelude::*;
use kvdb::{Error, ErrorKind};
use kvdb_compat::libkv::{self, KvStore, Store};
use kvdb_testsuite::help::expect_kind;
use kvdb_testsuite::{Proof, ensure, ensure_eq};

use super::On;

pub(super) async fn names(_on: On) -> Proof {
    use libkv::*;
    let actions: [Action; 6] = [ERROR, GET, SET, UPDATE, DELETE, INIT];
    ensure_eq!(actions.map(Action::number), [-1, 0, 1, 2, 3, 4]);
    ensure_eq!(actions.map(|action| action.to_string()), ["error", "get", "update", "update", "delete", "init"]);
    let kinds = [
        (ErrBackendNotSupported, ErrorKind::UnknownBackend),
        (ErrCallNotSupported, ErrorKind::Unsupported(Capabilities::TTL)),
        (ErrNotReachable, ErrorKind::Unavailable),
        (ErrCannotLock, ErrorKind::LockTimeout { holder: Some("somebody".to_owned()) }),
        (ErrKeyModified, ErrorKind::Modified),
        (ErrKeyNotFound, ErrorKind::NotFound),
        (ErrPreviousNotSpecified, ErrorKind::InvalidArgument),
        (ErrKeyExists, ErrorKind::AlreadyExists),
    ];
    for (name, kind) in &kinds {
        for (other, _) in &kinds {
            ensure_eq!(Error::new(kind.clone(), "") == *other, name == other, "{kind:?} and {other:?}");
        }
    }
    let pair = KVPair { key: "a/b".to_owned(), value: "1".into(), last_index: 7 };
    let event = Event { action: UPDATE, key: "a/b".to_owned(), modified_index: 7, data: vec![pair] };
    ensure_eq!(event.to_string(), "update a/b: a/b => 1,");
    ensure_eq!(event.error(), "");
    Ok(())
}

pub(super) async fn register(_on: On) -> Proof {
    let name = format!("registered-{:016x}", rand::random::<u64>());
    let error = expect_kind(libkv::new(&name, &[]).await, &ErrorKind::UnknownBackend)?;
    ensure!(error == libkv::ErrBackendNotSupported, "{error:?}");
    for value in ["first", "second"] {
        libkv::register(&name, move |addrs| async move {
            let kv = kvdb::connect("mem:").await?;
            kv.put("addrs", addrs.join(" ")).await?;
            kv.put("made by", value).await?;
            Ok(Arc::new(KvStore::over(kv)) as Arc<dyn Store>)
        });
        let store = libkv::new(&name, &["h1", "h2"]).await?;
        ensure_eq!(store.get("addrs").await?.value, "h1 h2");
        ensure_eq!(store.get("made by").await?.value, value);
    }
    let error = expect_kind(libkv::new("nothing", &[]).await, &ErrorKind::UnknownBackend)?;
    ensure!(error.to_string().contains(&name), "{error} does not list what was registered");
    Ok(())
}

pub(super) async fn new(_on: On) -> Proof {
    for name in ["mem", "memory", "kv-mem"] {
        let store = libkv::new(name, &[]).await?;
        store.put("a", b"1").await?;
        ensure_eq!(store.get("a").await?.value, "1");
    }
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store.redb");
    let store = libkv::new("redb", &[&path.to_string_lossy()]).await?;
    store.put("a", b"1").await?;
    store.close().await;
    let error = expect_kind(libkv::new("no-such-store", &["h1"]).await, &ErrorKind::UnknownBackend)?;
    for known in kvdb::backends() {
        ensure!(error.to_string().contains(known.name), "{error} does not list {}", known.name);
    }
    Ok(())
}

pub(super) async fn endpoints(_on: On) -> Proof {
    let none: [&str; 0] = [];
    ensure_eq!(libkv::create_endpoints(&["h1:2379", "h2:2379"], "http"), ["http://h1:2379", "http://h2:2379"]);
    ensure_eq!(libkv::create_endpoints(&none, "http"), none);
    ensure_eq!(libkv::create_endpoints(&["https://h1"], "http"), ["https://h1"], "one that has a scheme");
    Ok(())
}
