use kvdb::prelude::*;
use kvdb::{ErrorKind, Revision};
use kvdb_compat::libkv::{DELETE, INIT, KvStore, Store, UPDATE};
use kvdb_testsuite::help::expect_error;
use kvdb_testsuite::{Place, Proof, ensure_eq};

use super::On;
use super::events::{data, ended, next};

pub(super) async fn goes_on(on: On) -> Proof {
    let store = on.libkv().await?;
    store.put("dir/a", b"1").await?;
    store.put("dir/b", b"1").await?;
    let since = store.get("dir/b").await?.last_index;
    if on.has(Capabilities::WATCH_RESUME) {
        store.put("dir/a", b"2").await?;
        store.delete("dir/b", false).await?;
    }
    let mut tree = store.watch_tree("dir", since).await?;
    let mut below = store.watch("dir", true, since).await?;
    let mut one = store.watch("dir/a", false, since).await?;
    if !on.has(Capabilities::WATCH_RESUME) {
        store.put("dir/a", b"2").await?;
        ensure_eq!(next(&mut one).await?.action, UPDATE);
        one = store.watch("dir/a", false, store.get("dir/a").await?.last_index).await?;
        ensure_eq!(data(&next(&mut tree).await?), [("dir/a", "2"), ("dir/b", "1")], "the tree after its change");
        ensure_eq!(data(&next(&mut below).await?), [("dir/a", "2")]);
        store.delete("dir/b", false).await?;
    } else {
        // The tree is that of the change, though the store is further.
        let event = next(&mut tree).await?;
        ensure_eq!((event.action, data(&event)), (UPDATE, vec![("dir/a", "2"), ("dir/b", "1")]));
        let event = next(&mut below).await?;
        ensure_eq!((event.action, data(&event)), (UPDATE, vec![("dir/a", "2")]));
        ensure_eq!(data(&next(&mut one).await?), [("dir/a", "2")]);
    }
    let event = next(&mut tree).await?;
    ensure_eq!((event.action, event.key.as_str(), data(&event)), (DELETE, "dir/b", vec![("dir/a", "2")]));
    ensure_eq!(next(&mut below).await?.key, "dir/b");
    store.put("dir/a", b"3").await?;
    ensure_eq!(data(&next(&mut one).await?), [("dir/a", "3")]);
    ensure_eq!(data(&next(&mut below).await?), [("dir/a", "3")]);
    ensure_eq!(data(&next(&mut tree).await?), [("dir/a", "3")]);
    // It knows what was there before it began.
    store.delete("dir/a", false).await?;
    for events in [&mut tree, &mut below] {
        ensure_eq!((next(events).await?.key, next(events).await?.key), ("dir/a".to_owned(), "dir".to_owned()));
        ended(events).await?;
    }
    let ahead = Revision::MAX.get() / 4;
    if on.has(Capabilities::WATCH_RESUME) {
        let refused = store.watch("dir/a", false, ahead).await;
        expect_error(refused, "FutureRevision", |kind| matches!(kind, ErrorKind::FutureRevision { .. }))?;
    }
    Ok(())
}

pub(super) async fn begins_anew(on: On) -> Proof {
    // What compacts must not share its store.
    let compacts = on.has(Capabilities::COMPACT);
    let place: Box<dyn Place> = match compacts {
        true => on.store.place_of_its_own().await?,
        false => on.store.place().await?,
    };
    let on = On { place: place.into(), ..on };
    let store: KvStore = on.libkv().await?;
    store.put("dir/a", b"1").await?;
    let since = store.get("dir/a").await?.last_index;
    store.put("dir/a", b"2").await?;
    store.put("dir/b", b"3").await?;
    if compacts {
        store.handle().compact(store.get("dir/b").await?.last_index).await?;
    }
    for mut events in [store.watch_tree("dir", since).await?, store.watch("dir", true, since).await?] {
        let init = next(&mut events).await?;
        ensure_eq!((init.action, init.key.as_str()), (INIT, "dir"));
        ensure_eq!(data(&init), [("dir/a", "2"), ("dir/b", "3")]);
        store.put("dir/b", b"4").await?;
        ensure_eq!(next(&mut events).await?.action, UPDATE);
        store.put("dir/b", b"3").await?;
    }
    let init = next(&mut store.watch("dir/a", false, since).await?).await?;
    ensure_eq!((init.action, data(&init)), (INIT, vec![("dir/a", "2")]));
    Ok(())
}
