//! The trials of the contract that need the facade.

use std::future::Future;

use kvdb::prelude::*;
use kvdb::{Bytes, Error, ErrorKind, Options, Secret};
use kvdb_testsuite::help::expect_error;
use kvdb_testsuite::{Failure, Proof, ensure, ensure_eq};
use libtest_mimic::{Failed, Trial};

/// The trials, by the numbers of what they prove.
#[must_use]
pub fn trials() -> Vec<Trial> {
    vec![
        trial("1.7 the limit of a value is raised by an option [mem]", || raised_limit("mem")),
        trial("1.7 the limit of a value is raised by an option [redb]", || raised_limit("redb")),
        trial("10.6 no secret shows, whichever way it came in", secrets),
        trial("10.8 the instance is the handle that was set last", instance),
        trial("registry: with every cargo feature every backend is linked, under all its names", linked),
        trial("10.8 version tells the API and the server's version", version),
    ]
}

fn trial<F: Future<Output = Proof>>(name: &str, run: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(run()).map_err(|failure| Failed::from(failure.to_string()))
    })
}

async fn linked() -> Proof {
    // What the other trials have registered themselves is none of ours.
    let ours = ["consul", "etcdv3", "mem", "redb", "zookeeper"];
    let linked: Vec<_> = kvdb::backends().iter().map(|factory| factory.name).collect();
    ensure!(ours.iter().all(|name| linked.contains(name)), "linked are {linked:?}");
    let packages = kvdb::backends().iter().map(|factory| factory.package).collect::<std::collections::BTreeSet<_>>();
    ensure!(packages.len() >= ours.len(), "some are linked twice: {packages:?}");
    for alias in ["consul-kv", "etcd", "etcdv3-kv", "zk", "zookeeper-kv", "file", "bolt-kv", "memory", "kv-mem"] {
        let found = kvdb::backends().iter().filter(|factory| factory.aliases.contains(&alias)).count();
        ensure_eq!(found, 1, "{alias}");
    }
    Ok(())
}

async fn raised_limit(store: &'static str) -> Proof {
    const RAISED: usize = 20 << 20;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("kvdb.redb");
    let endpoints = if store == "redb" { vec![path.to_string_lossy().into_owned()] } else { Vec::new() };
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let kv = kvdb::new(store, "app", &endpoints, Options::new().set("max_value_bytes", RAISED)).await?;
    ensure_eq!(kv.limits().value_bytes, RAISED);
    let value = Bytes::from(vec![b'x'; RAISED]);
    kv.put("k", value.clone()).await?;
    ensure!(kv.get("k").await?.is_some_and(|pair| pair.value == value), "the value came back other than written");
    let refused = kv.put("k", vec![b'x'; RAISED + 1]).await;
    expect_error(refused, "TooLarge", |kind| *kind == ErrorKind::TooLarge { limit: RAISED })?;
    kv.close().await?;
    Ok(())
}

async fn secrets() -> Proof {
    const CANARY: &str = "canary-of-the-facade";
    let texts = |error: &Error| {
        let source = std::error::Error::source(error).map(|source| format!("{source} {source:?}"));
        format!("{error} {error:?} {source:?}")
    };
    let mut shown = Vec::new();
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("kvdb.redb").to_string_lossy().into_owned();
    let options = || Options::new().username("me").password(&Secret::new(CANARY)).set("acl_token", CANARY);
    for (store, endpoint) in [("mem", ""), ("redb", path.as_str()), ("no-such-store", "")] {
        shown.push(format!("{:?}", options()));
        for options in [options(), Options::new().set("Password", CANARY), Options::new().set("ACLToken", CANARY)] {
            match kvdb::new(store, "app", &[endpoint], options.clone()).await {
                Ok(kv) => shown.push(format!("{kv:?}")),
                Err(error) => shown.push(texts(&error)),
            }
            if let Err(error) = kvdb::version(store, endpoint, options).await {
                shown.push(texts(&error));
            }
        }
    }
    for uri in [
        format!("mem:?password={CANARY}"),
        format!("redb:{path}?acl_token={CANARY}"),
        format!("etcd://me:{CANARY}@127.0.0.1:2379/app"),
        format!("nothing://me:{CANARY}@127.0.0.1?password={CANARY}"),
        format!("redb:{path}?password={CANARY}&password=other"),
        format!("mem:?passwrod={CANARY}"),
    ] {
        match kvdb::connect(&uri).await {
            Ok(kv) => shown.push(format!("{kv:?}")),
            Err(error) => shown.push(texts(&error)),
        }
    }
    match shown.iter().find(|text| text.contains(CANARY)) {
        Some(text) => Err(Failure::new(format_args!("a secret shows: {text}"))),
        None => Ok(()),
    }
}

async fn instance() -> Proof {
    ensure!(kvdb::instance().is_none(), "an instance that nobody set");
    let first = kvdb::new("mem", "app", &[], Options::new()).await?;
    kvdb::set_instance(first.clone());
    first.put("k", "1").await?;
    let shared = kvdb::instance().ok_or_else(|| Failure::new("no instance after set_instance"))?;
    ensure_eq!(shared.get("k").await?.map(|pair| pair.value), Some("1".into()), "the instance is another store");
    let second = kvdb::new("mem", "app", &[], Options::new()).await?;
    kvdb::set_instance(second.clone());
    let shared = kvdb::instance().ok_or_else(|| Failure::new("no instance"))?;
    ensure_eq!(shared.get("k").await?, None, "the instance is still the first handle");
    ensure!(first.get("k").await?.is_some(), "setting an instance closed the one before");
    Ok(())
}

async fn version() -> Proof {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("kvdb.redb").to_string_lossy().into_owned();
    let kv = kvdb::new("redb", "app", &[&path], Options::new()).await?;
    kv.put("k", "1").await?;
    kv.close().await?;
    for (name, url, api) in
        [("mem", "", "memv1"), ("memory", "", "memv1"), ("redb", path.as_str(), "boltv1"), ("boltv1", &path, "boltv1")]
    {
        let version = kvdb::version(name, url, Options::new()).await?;
        ensure_eq!(version.api, api, "the API of {name}");
        ensure!(version.server.contains(|c: char| c.is_ascii_digit()), "{name} has the version {:?}", version.server);
    }
    let unknown = kvdb::version("no-such-store", "", Options::new()).await;
    expect_error(unknown, "UnknownBackend", |kind| *kind == ErrorKind::UnknownBackend)?;
    let kv = kvdb::new("redb", "app", &[&path], Options::new()).await?;
    ensure!(kv.get("k").await?.is_some(), "asking for the version changed the store");
    kv.close().await?;
    Ok(())
}
