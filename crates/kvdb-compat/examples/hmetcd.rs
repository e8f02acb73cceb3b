//! The README of `github.com/Cray-HPE/hms-hmetcd`, line by line: see [`ABOUT`].
#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod arguments;

use std::process::ExitCode;
use std::sync::Arc;

use kvdb_compat::hmetcd::{self, KVC_KEYCHANGE_PUT, Kvi};
use tokio::sync::Notify;

const ABOUT: &str = "The use cases of hmetcd's README: keys, a range, test-and-set, a transaction, a watch, a \
                     temporary key and a distributed lock, with `kvdb_compat::hmetcd`.";

#[tokio::main]
async fn main() -> ExitCode {
    let uri = match arguments::store(ABOUT) {
        Ok(uri) => uri,
        Err(code) => return code,
    };
    arguments::ended(use_cases(&uri).await)
}

async fn use_cases(uri: &str) -> kvdb::Result<()> {
    // Open a K/V store handle.
    let kv_handle = hmetcd::open(uri, "").await?;

    keys(&kv_handle).await?;
    range(&kv_handle).await?;
    changes(&kv_handle).await?;
    watch(&kv_handle).await?;
    temporary(&kv_handle).await?;
    locks(&kv_handle, uri).await?;

    kv_handle.close().await?;
    println!("Closed.");
    Ok(())
}

/// Get and store K/V pairs.
async fn keys(kv_handle: &Kvi) -> kvdb::Result<()> {
    let key = "my_key";

    kv_handle.store(key, "The rain in spain").await?;

    let (val, ok) = kv_handle.get(key).await?;
    if !ok {
        println!("ERROR: key '{key}' does not exist.");
    }
    println!("Key: '{key}', value: '{val}'");

    kv_handle.delete(key).await?;
    kv_handle.delete(key).await?; // deleting a non-existent key is not an error
    println!("Key: '{key}', exists: {}", kv_handle.get(key).await?.1);
    Ok(())
}

/// Fetch a range of K/V pairs.
async fn range(kv_handle: &Kvi) -> kvdb::Result<()> {
    for (key, value) in [("x0", "first"), ("x5", "middle"), ("xz", "last"), ("y", "beyond")] {
        kv_handle.store(key, value).await?;
    }

    for kv in kv_handle.get_range("x0", "xz").await? {
        println!("Key: '{}', value: '{}'", kv.key, kv.value);
    }

    for key in ["x0", "x5", "xz", "y"] {
        kv_handle.delete(key).await?;
    }
    Ok(())
}

/// Test-And-Set, and if-then-else.
async fn changes(kv_handle: &Kvi) -> kvdb::Result<()> {
    println!("TAS of an absent key: {}", kv_handle.tas("state", "idle", "busy").await?);
    kv_handle.store("state", "idle").await?;
    println!("TAS idle -> busy: {}", kv_handle.tas("state", "idle", "busy").await?);

    let done = kv_handle.transaction("state", "=", "busy", "state", "done", "alarm", "state is not busy").await?;
    println!("Transaction: {done}, state: '{}'", kv_handle.get("state").await?.0);
    let done = kv_handle.transaction("state", "=", "busy", "state", "done", "alarm", "state is not busy").await?;
    println!("Transaction: {done}, alarm: '{}'", kv_handle.get("alarm").await?.0);

    kv_handle.delete("alarm").await?;
    kv_handle.delete("state").await
}

/// A watcher that is notified when a key changes, until it answers `false`.
async fn watch(kv_handle: &Kvi) -> kvdb::Result<()> {
    let told = Arc::new(Notify::new());
    let tell = Arc::clone(&told);
    let watched = kv_handle.watch_with_cb(
        "watched",
        KVC_KEYCHANGE_PUT,
        move |key, val, _op, userdata: &&str| {
            println!("{userdata}: '{key}' is '{val}'");
            tell.notify_one();
            val != "2"
        },
        "Change",
    );
    let watched = watched.await?;
    for value in ["1", "2"] {
        kv_handle.store("watched", value).await?;
        told.notified().await;
    }
    kv_handle.watch_cb_cancel(&watched); // it has ended by itself; cancelling it is fine
    kv_handle.delete("watched").await
}

/// A key that exists for the life of the application.
async fn temporary(kv_handle: &Kvi) -> kvdb::Result<()> {
    kv_handle.temp_key("instances/1").await?;
    println!("Instances: {}", kv_handle.get_range("instances/", "instances/~").await?.len());
    Ok(())
}

/// Distributed locking.
async fn locks(kv_handle: &Kvi, uri: &str) -> kvdb::Result<()> {
    // Acquire a lock, waiting for it 60 seconds at most.
    kv_handle.dist_timed_lock(60).await?;
    println!("Locked.");

    // Another instance of the service does not get it.
    if let Some(other) = another(uri).await? {
        println!("Another instance gets it: {}", other.dist_timed_lock(0).await.is_ok());
        kv_handle.dist_unlock().await?;
        println!("Unlocked.");
        other.dist_lock().await?;
        println!("Another instance has it.");
        other.close().await
    } else {
        kv_handle.dist_unlock().await
    }
}

/// A handle as another process would have it; a file is open in one process at a time.
async fn another(uri: &str) -> kvdb::Result<Option<Kvi>> {
    match hmetcd::open(uri, "").await {
        Ok(other) => Ok(Some(other)),
        Err(error) if *error.kind() == kvdb::ErrorKind::AlreadyOpen => Ok(None),
        Err(error) => Err(error),
    }
}
