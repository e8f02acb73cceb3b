use kvdb::ErrorKind;
use kvdb::prelude::*;
use kvdb_compat::libkv::{ErrKeyNotFound, KVPair, KvStore, Store};
use kvdb_testsuite::help::expect_kind;
use kvdb_testsuite::{Proof, ensure, ensure_eq};

use super::On;

/// Wants the library's name for an absent key.
fn expect_not_found<T: std::fmt::Debug>(result: Result<T>) -> Proof {
    let error = expect_kind(result, &ErrorKind::NotFound)?;
    ensure!(error == ErrKeyNotFound && error.key().is_some() && error.operation().is_some(), "{error:?}");
    Ok(())
}

async fn filled(on: &On) -> Proof<KvStore> {
    let store = on.libkv().await?;
    for key in ["/dir/b", "/dir/a", "/dir/sub/x", "/dir/sub/y/z", "/dir-beside", "/leaf"] {
        store.put(key, format!("of {key}").as_bytes()).await?;
    }
    Ok(store)
}

fn keys(pairs: &[KVPair]) -> Vec<&str> {
    pairs.iter().map(|pair| pair.key.as_str()).collect()
}

pub(super) async fn read(on: On) -> Proof {
    let empty = on.libkv().await?;
    ensure!(empty.exists("/").await?, "the root is always there");
    ensure_eq!(empty.list("/").await?, [""; 0]);
    ensure_eq!(empty.get_tree("").await?, []);
    let store = filled(&on).await?;
    let pair = store.get("dir/a").await?;
    ensure_eq!((pair.key.as_str(), &pair.value[..]), ("dir/a", &b"of /dir/a"[..]));
    let written = store.handle().get("dir/a").await?.map(|pair| pair.modified_index.get());
    ensure_eq!(Some(pair.last_index), written);
    let directory = store.get("//dir//sub/").await?;
    ensure_eq!((directory.key.as_str(), directory.value.len()), ("dir/sub", 0), "a directory");
    ensure!(directory.last_index >= pair.last_index, "{directory:?} misses what was written");
    for (key, exists) in
        [("leaf", true), ("dir", true), ("dir/sub/y", true), ("di", false), ("dir/c", false), ("leaf/x", false)]
    {
        ensure_eq!(store.exists(key).await?, exists, "{key}");
        if !exists {
            expect_not_found(store.get(key).await)?;
            expect_not_found(store.list(key).await)?;
            expect_not_found(store.get_tree(key).await)?;
        }
    }
    ensure_eq!(store.list("dir").await?, ["dir/a", "dir/b", "dir/sub"]);
    ensure_eq!(store.list("/dir/sub/").await?, ["dir/sub/x", "dir/sub/y"]);
    ensure_eq!(store.list("/").await?, ["dir", "dir-beside", "leaf"]);
    ensure_eq!(store.list("leaf").await?, [""; 0], "a key that is no directory");
    for key in ["a/../b", "_kvdb/x"] {
        expect_kind(store.get(key).await, &ErrorKind::InvalidArgument)?;
        expect_kind(store.put(key, b"1").await, &ErrorKind::InvalidArgument)?;
        expect_kind(store.exists(key).await, &ErrorKind::InvalidArgument)?;
        expect_kind(store.list(key).await, &ErrorKind::InvalidArgument)?;
        expect_kind(store.watch_tree(key, 0).await, &ErrorKind::InvalidArgument)?;
    }
    store.close().await;
    store.close().await;
    expect_kind(store.get("leaf").await, &ErrorKind::Closed)?;
    Ok(())
}

pub(super) async fn get_tree(on: On) -> Proof {
    let store = filled(&on).await?;
    let tree = store.get_tree("/dir").await?;
    ensure_eq!(keys(&tree), ["dir/a", "dir/b", "dir/sub/x", "dir/sub/y/z"]);
    ensure!(tree.iter().all(|pair| pair.value == format!("of /{}", pair.key) && pair.last_index > 0), "{tree:?}");
    ensure_eq!(store.get_tree("leaf").await?, [store.get("leaf").await?]);
    ensure_eq!(store.get_tree("/").await?.len(), 6);
    // A key with a value that is a directory too.
    store.put("dir", b"own").await?;
    ensure_eq!(store.get_tree("dir").await?, tree);
    ensure_eq!(store.get("dir").await?.value, "own");
    Ok(())
}

pub(super) async fn delete(on: On) -> Proof {
    let store = filled(&on).await?;
    expect_not_found(store.delete("nothing", false).await)?;
    expect_not_found(store.delete("nothing", true).await)?;
    for directory in ["dir", "dir/sub", "dir/sub/y/"] {
        let error = expect_kind(store.delete(directory, false).await, &ErrorKind::NotEmpty)?;
        ensure_eq!(error.key(), Some(directory));
    }
    expect_kind(store.delete("/", false).await, &ErrorKind::NotEmpty)?;
    ensure_eq!(store.get_tree("/").await?.len(), 6, "what refused deletions left");
    // With its last key a directory goes.
    store.delete("dir/sub/y/z", false).await?;
    ensure!(!store.exists("dir/sub/y").await?, "a directory without keys");
    store.put("dir", b"own").await?;
    expect_kind(store.delete("dir", false).await, &ErrorKind::NotEmpty)?;
    store.delete("/dir/", true).await?;
    ensure_eq!(keys(&store.get_tree("/").await?), ["dir-beside", "leaf"]);
    store.delete("leaf", true).await?;
    store.delete("/", true).await?;
    store.delete("/", true).await?;
    ensure_eq!(store.get_tree("/").await?, []);
    Ok(())
}
