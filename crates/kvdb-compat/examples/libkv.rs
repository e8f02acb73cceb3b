//! The store of `github.com/laincloud/lainlet`, call by call: see [`ABOUT`].
#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod arguments;

use std::process::ExitCode;
use std::sync::Arc;

use kvdb_compat::libkv::{self, ErrBackendNotSupported, ErrKeyNotFound, Events, KvStore, Store};

const ABOUT: &str = "What the store of lainlet does: a registry of stores, keys and directories, and watches that tell \
                     a whole tree, with `kvdb_compat::libkv`. It deletes the directory `test` in the end.";

#[tokio::main]
async fn main() -> ExitCode {
    let uri = match arguments::store(ABOUT) {
        Ok(uri) => uri,
        Err(code) => return code,
    };
    arguments::ended(calls(&uri).await)
}

async fn calls(uri: &str) -> kvdb::Result<()> {
    // A store is registered by a name, as lainlet's `init` does. Backends that are linked in have theirs already, but
    // no place for a domain and options, which this URI may have.
    libkv::register("example", |addrs| async move {
        let handle = kvdb::connect(&addrs.join(",")).await?;
        Ok(Arc::new(KvStore::over(handle)) as Arc<dyn Store>)
    });
    let store = libkv::new("example", &[uri]).await?;
    let unknown = libkv::new("no-such-store", &[]).await;
    println!("no-such-store is not supported: {}", unknown.is_err_and(|error| error == ErrBackendNotSupported));
    println!("Endpoints: {}", libkv::create_endpoints(&["h1:2379", "h2:2379"], "http").join(" "));

    store.put("/test/dir/hello", b"world").await?;
    store.put("/test/dir/world", b"hello").await?;

    let pair = store.get("/test/dir/hello").await?;
    println!("{} = {}", pair.key, String::from_utf8_lossy(&pair.value));
    println!("List: {}", store.list("/test").await?.join(" "));
    for pair in store.get_tree("/test").await? {
        println!("Tree: {} = {}", pair.key, String::from_utf8_lossy(&pair.value));
    }
    println!("A directory exists: {}", store.exists("/test/dir").await?);

    watch(&*store).await?;
    watch_tree(&*store).await?;

    let absent = store.get("/test/dir/hello").await;
    println!("After the deletion it is not found: {}", absent.is_err_and(|error| error == ErrKeyNotFound));
    store.close().await;
    Ok(())
}

/// Every change of a key, its present value first.
async fn watch(store: &dyn Store) -> kvdb::Result<()> {
    let mut events = store.watch("/test/dir/hello", false, 0).await?;
    print_next(&mut events).await;
    for n in 0..3 {
        store.put("/test/dir/hello", format!("test-{n}").as_bytes()).await?;
        print_next(&mut events).await;
    }
    store.delete("/test/dir/hello", false).await?;
    print_next(&mut events).await;
    Ok(())
}

/// Every change below a directory with the whole tree, until the directory is gone.
async fn watch_tree(store: &dyn Store) -> kvdb::Result<()> {
    let mut events = store.watch_tree("/test", 0).await?;
    print_next(&mut events).await;
    for (key, value) in [("/test/dir/one", "1"), ("/test/dir/two", "2")] {
        store.put(key, value.as_bytes()).await?;
        print_next(&mut events).await;
    }
    store.delete("/test/dir/two", false).await?;
    print_next(&mut events).await;

    store.delete("/test", true).await?;
    while let Some(event) = events.next().await {
        if event.key == "test" {
            println!("{} {}", event.action, event.key);
        }
    }
    println!("The events have ended.");
    Ok(())
}

async fn print_next(events: &mut Events) {
    match events.next().await {
        Some(event) => println!("{event}"),
        None => println!("the events have ended"),
    }
}
