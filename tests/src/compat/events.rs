use kvdb::prelude::*;
use kvdb_compat::libkv::{DELETE, ERROR, Event, Events, INIT, KvStore, Store, UPDATE};
use kvdb_testsuite::help::soon;
use kvdb_testsuite::{Failure, Proof, ensure, ensure_eq};

use super::On;

pub(super) async fn next(events: &mut Events) -> Proof<Event> {
    soon("an event", events.next()).await?.ok_or_else(|| Failure::new("the events have ended"))
}

pub(super) async fn ended(events: &mut Events) -> Proof {
    for _ in 0..2 {
        ensure_eq!(soon("the end", events.next()).await?, None);
    }
    Ok(())
}

/// Keys and values of an event's data.
pub(super) fn data(event: &Event) -> Vec<(&str, &str)> {
    event.data.iter().map(|pair| (pair.key.as_str(), std::str::from_utf8(&pair.value).unwrap())).collect()
}

/// The index of a key's last write.
async fn index(store: &KvStore, key: &str) -> Proof<u64> {
    Ok(store.get(key).await?.last_index)
}

pub(super) async fn watch(on: On) -> Proof {
    let (store, other) = (on.libkv().await?, on.libkv().await?);
    let mut events = store.watch("/k", false, 0).await?;
    let init = next(&mut events).await?;
    ensure_eq!((init.action, init.key.as_str(), data(&init)), (INIT, "k", vec![]), "of an absent key");
    for value in ["1", "1", ""] {
        other.put("k/below", b"of another key").await?;
        other.put("k", value.as_bytes()).await?;
        let event = next(&mut events).await?;
        ensure_eq!((event.action, event.key.as_str(), data(&event)), (UPDATE, "k", vec![("k", value)]));
        ensure_eq!(event.modified_index, index(&other, "k").await?);
        ensure_eq!(event.data[0].last_index, event.modified_index);
    }
    let mut again = store.watch("k", false, 0).await?;
    let init = next(&mut again).await?;
    ensure_eq!((init.action, data(&init)), (INIT, vec![("k", "")]), "of a present key");
    ensure!(init.modified_index >= index(&other, "k").await?, "{init:?} is older than its data");
    // One key is no directory: its deletion ends nothing.
    other.delete("k/below", false).await?;
    for _ in 0..2 {
        other.delete("k", false).await?;
        let event = next(&mut events).await?;
        ensure_eq!((event.action, event.key.as_str(), data(&event)), (DELETE, "k", vec![("k", "")]));
        ensure!(event.modified_index > init.modified_index, "{event:?}");
        other.put("k", b"2").await?;
        ensure_eq!(data(&next(&mut events).await?), [("k", "2")]);
    }
    Ok(())
}

pub(super) async fn recursive(on: On) -> Proof {
    let (store, other) = (on.libkv().await?, on.libkv().await?);
    for key in ["dir/a", "dir/sub/b", "dir", "dir-beside", "dir0"] {
        other.put(key, b"1").await?;
    }
    let mut events = store.watch("/dir/", true, 0).await?;
    let init = next(&mut events).await?;
    ensure_eq!((init.action, init.key.as_str()), (INIT, "dir"));
    ensure_eq!(data(&init), [("dir", "1"), ("dir/a", "1"), ("dir/sub/b", "1")]);
    for key in ["dir/sub/c", "dir", "dir/a"] {
        other.put("dir-beside", b"of another key").await?;
        other.put(key, b"2").await?;
        let event = next(&mut events).await?;
        ensure_eq!((event.action, event.key.as_str(), data(&event)), (UPDATE, key, vec![(key, "2")]));
    }
    for key in ["dir/sub/b", "dir/sub/c"] {
        other.delete("dir-beside", false).await?;
        other.delete(key, false).await?;
        let event = next(&mut events).await?;
        ensure_eq!((event.action, event.key.as_str(), data(&event)), (DELETE, key, vec![(key, "")]));
        other.put("dir-beside", b"1").await?;
    }
    // The value that the directory has itself does not make it one.
    other.delete("dir/a", false).await?;
    ensure_eq!((next(&mut events).await?.key.as_str(), next(&mut events).await?.key.as_str()), ("dir/a", "dir"));
    ended(&mut events).await?;
    let mut root = store.watch("/", true, 0).await?;
    ensure_eq!(data(&next(&mut root).await?), [("dir", "2"), ("dir-beside", "1"), ("dir0", "1")]);
    Ok(())
}

pub(super) async fn watch_tree(on: On) -> Proof {
    let (store, other) = (on.libkv().await?, on.libkv().await?);
    let mut events = store.watch_tree("/dir", 0).await?;
    let init = next(&mut events).await?;
    ensure_eq!((init.action, init.key.as_str(), data(&init)), (INIT, "dir", vec![]), "of an absent directory");
    other.put("dir", b"own").await?;
    other.put("dir-beside", b"1").await?;
    for (key, value, expected) in [
        ("dir/b", "1", vec![("dir/b", "1")]),
        ("dir/a", "2", vec![("dir/a", "2"), ("dir/b", "1")]),
        ("dir/b", "3", vec![("dir/a", "2"), ("dir/b", "3")]),
        ("dir/sub/c", "", vec![("dir/a", "2"), ("dir/b", "3"), ("dir/sub/c", "")]),
    ] {
        other.put(key, value.as_bytes()).await?;
        let event = next(&mut events).await?;
        ensure_eq!((event.action, event.key.as_str(), data(&event)), (UPDATE, key, expected));
        ensure_eq!(event.modified_index, index(&other, key).await?);
    }
    let mut again = store.watch_tree("dir", 0).await?;
    let init = next(&mut again).await?;
    ensure_eq!(data(&init), [("dir/a", "2"), ("dir/b", "3"), ("dir/sub/c", "")]);
    ensure!(init.modified_index >= index(&other, "dir/sub/c").await?, "{init:?} is older than its data");
    other.delete("dir/a", false).await?;
    for events in [&mut events, &mut again] {
        let event = next(events).await?;
        ensure_eq!((event.action, event.key.as_str()), (DELETE, "dir/a"));
        ensure_eq!(data(&event), [("dir/b", "3"), ("dir/sub/c", "")]);
    }
    Ok(())
}

/// Reads events until the one of the directory itself; answers the keys of those before it, sorted.
async fn until_gone(events: &mut Events, directory: &str) -> Proof<Vec<String>> {
    let mut keys = Vec::new();
    loop {
        let event = next(events).await?;
        ensure_eq!(event.action, DELETE, "{event:?}");
        if event.key == directory {
            ensure_eq!(data(&event), [], "of a directory that is gone");
            keys.sort();
            return Ok(keys);
        }
        keys.push(event.key);
    }
}

pub(super) async fn deleted(on: On) -> Proof {
    let (store, other) = (on.libkv().await?, on.libkv().await?);
    for recursive in [true, false] {
        for key in ["dir/a", "dir/sub/b", "dir-beside"] {
            other.put(key, b"1").await?;
        }
        let mut tree = store.watch_tree("/dir", 0).await?;
        let mut below = store.watch("/dir/", true, 0).await?;
        let mut inner = store.watch_tree("dir/sub", 0).await?;
        let mut root = store.watch_tree("", 0).await?;
        for events in [&mut tree, &mut below, &mut inner, &mut root] {
            ensure_eq!(next(events).await?.action, INIT);
        }
        if recursive {
            other.delete("dir", true).await?;
        } else {
            other.delete("dir/sub/b", false).await?;
            ensure_eq!(until_gone(&mut inner, "dir/sub").await?, ["dir/sub/b"]);
            other.delete("dir/a", false).await?;
        }
        ensure_eq!(until_gone(&mut tree, "dir").await?, ["dir/a", "dir/sub/b"]);
        ensure_eq!(until_gone(&mut below, "dir").await?, ["dir/a", "dir/sub/b"]);
        if recursive {
            ensure_eq!(until_gone(&mut inner, "dir/sub").await?, ["dir/sub/b"]);
        }
        for events in [&mut tree, &mut below, &mut inner] {
            ended(events).await?;
        }
        // The root still has the key beside it.
        for _ in 0..2 {
            ensure!(next(&mut root).await?.key.starts_with("dir/"), "of the root");
        }
        other.put("dir-beside", b"2").await?;
        ensure_eq!(next(&mut root).await?.key, "dir-beside");
    }
    Ok(())
}

pub(super) async fn refilled(on: On) -> Proof {
    let (store, other) = (on.libkv().await?, on.open().await?);
    other.put("dir/a", "1").await?;
    let mut events = store.watch_tree("dir", 0).await?;
    ensure_eq!(next(&mut events).await?.action, INIT);
    // The emptied name before and behind the one that is put.
    for (from, to) in [("dir/a", "dir/b"), ("dir/b", "dir/a")] {
        other.txn().then(delete(from)).then(put(to, "1")).await?;
        let mut actions = [next(&mut events).await?.action, next(&mut events).await?.action];
        actions.sort_by_key(|action| action.number());
        ensure_eq!(actions, [UPDATE, DELETE]);
    }
    other.put("dir/c", "1").await?;
    let event = next(&mut events).await?;
    ensure_eq!(data(&event), [("dir/a", "1"), ("dir/c", "1")], "the events have ended");
    Ok(())
}

pub(super) async fn breaks(on: On) -> Proof {
    let store = on.libkv().await?;
    store.put("dir/a", b"1").await?;
    let mut watches =
        [store.watch("dir/a", false, 0).await?, store.watch("dir", true, 0).await?, store.watch_tree("dir", 0).await?];
    for events in &mut watches {
        ensure_eq!(next(events).await?.action, INIT);
    }
    store.close().await;
    for events in &mut watches {
        let event = next(events).await?;
        ensure_eq!(event.action, ERROR);
        ensure!(event.error().contains("closed"), "{event}");
        ended(events).await?;
    }
    Ok(())
}
