use std::time::Duration;

use kvdb::portworx::*;
use kvdb::{Capabilities, ErrorKind};
use kvdb_testsuite::help::{eventually, expect_error, expect_kind};
use kvdb_testsuite::{Failure, Proof, ensure, ensure_eq};

use super::Place;

pub(super) async fn numbers(place: Place) -> Proof {
    let actions = [KVSet, KVCreate, KVGet, KVDelete, KVExpire, KVUknown].map(KVAction::number);
    ensure_eq!(actions, [1, 2, 4, 8, 16, 32]);
    ensure_eq!([KVPrevExists, KVCreatedIndex, KVModifiedIndex, KVTTL].map(|flag| flag.bits()), [1, 2, 4, 8]);
    let permissions = [ReadPermission, WritePermission, ReadWritePermission].map(PermissionType::number);
    ensure_eq!(permissions, [0, 1, 2]);
    ensure_eq!((PeerPort, ClientPort, DefaultSeparator), ("2380", "2379", "/"));
    let kv = place.open(Options::new()).await?;
    let ordered = kv.capabilities().contains(Capabilities::ORDERED_UPDATES);
    ensure_eq!(kv.capabilities_number(), if ordered { KVCapabilityOrderedUpdates } else { 0 });
    ensure_eq!(KVCapabilityOrderedUpdates, 1);
    kv.close().await?;
    Ok(())
}

pub(super) async fn values(place: Place) -> Proof {
    let kv = place.open(Options::new()).await?;
    ensure_eq!(kv.put("text", "a \"b\"", 0).await?.action, KVCreate);
    kv.create("bytes", vec![0, 0xff], 0).await?;
    kv.put("number", 11, 0).await?;
    ensure_eq!(kv.update("number", 12, 0).await?.action, KVSet);
    kv.put("list", Value::json(&["a", "b"]), 0).await?;
    for (key, stored) in
        [("text", &b"a \"b\""[..]), ("bytes", b"\x00\xff"), ("number", b"12"), ("list", br#"["a","b"]"#)]
    {
        ensure_eq!(kv.get(key).await?.value, stored, "{key}");
    }
    if kv.capabilities().contains(Capabilities::TTL) {
        let pair = kv.put("lived", "x", 30).await?;
        ensure_eq!(pair.ttl, Some(Duration::from_secs(30)));
        ensure_eq!(kv.update("lived", "x", 0).await?.ttl, None);
    }
    kv.close().await?;
    Ok(())
}

pub(super) async fn selects(place: Place) -> Proof {
    let kv = place.open(Options::new()).await?;
    for (key, value) in [("d/b", 2), ("d/a", 1), ("d/c/x", 3), ("dd/a", 9)] {
        kv.put(key, value, 0).await?;
    }
    let mut number = 0;
    ensure_eq!((kv.get_val("d/b", &mut number).await?.key, number), ("d/b".to_owned(), 2));
    ensure_eq!(kv.get_with_copy("d/b", |value| value.to_vec()).await?, b"2");
    let picked = kv.enumerate_with_select("d", |value| value != "2", |value| value.to_vec()).await?;
    ensure_eq!(picked, [b"1", b"3"]);
    let picked = kv.enumerate_kvp_with_select("d", |pair, _| pair.key != "d/a", |pair, _| pair.clone()).await?;
    ensure_eq!(picked.iter().map(|pair| pair.key.as_str()).collect::<Vec<_>>(), ["d/b", "d/c/x"]);
    kv.close().await?;
    Ok(())
}

pub(super) async fn snapshot(place: Place) -> Proof {
    let kv = place.open(Options::new()).await?;
    let last = kv.put("a/1", "old", 0).await?.modified_index;
    let (snapshot, index) = kv.snapshot(&["a"], true).await?;
    ensure_eq!(index, last);
    kv.put("a/1", "new", 0).await?;
    ensure_eq!(snapshot.get("a/1").await?.value, "old");
    snapshot.snap_put(&KvPair::new("a/2", "laid over"))?;
    ensure_eq!(snapshot.enumerate("a").await?.len(), 2);
    expect_kind(snapshot.put("a/1", "x", 0).await, &ErrorKind::ReadOnly)?;
    expect_kind(kv.get("a/2").await, &ErrNotFound)?;
    kv.close().await?;
    Ok(())
}

pub(super) async fn transaction(place: Place) -> Proof {
    let kv = place.open(Options::new()).await?;
    kv.put("count", 1, 0).await?;
    let tx = kv.tx_new()?;
    let mut count = 0;
    tx.get_val("count", &mut count).await?;
    tx.put("count", count + 1, 0).await?;
    let ttl = if kv.capabilities().contains(Capabilities::TTL) { 30 } else { 0 };
    tx.put("note", "two", ttl).await?;
    ensure_eq!((tx.get("count").await?.value, kv.get("count").await?.value), ("2".into(), "1".into()));
    tx.prepare().await?;
    let index = tx.commit().await?;
    ensure_eq!(kv.get("count").await?.modified_index, index);
    ensure_eq!(kv.get("note").await?.modified_index, index);
    expect_kind(tx.commit().await, &ErrIllegal)?;

    let late = kv.tx_new()?;
    late.get("count").await?;
    late.put("note", "three", 0).await?;
    kv.put("count", 3, 0).await?;
    expect_kind(late.prepare().await, &ErrModified)?;
    expect_kind(late.commit().await, &ErrModified)?;
    let given_up = kv.tx_new()?;
    given_up.put("note", "four", 0).await?;
    given_up.abort()?;
    expect_kind(given_up.get("note").await, &ErrIllegal)?;
    ensure_eq!(kv.get("note").await?.value, "two");
    kv.close().await?;
    Ok(())
}

pub(super) async fn collector(place: Place) -> Proof {
    let kv = place.open(Options::new()).await?;
    let start = kv.put("v/a", "1", 0).await?.modified_index;
    let collector = new_updates_collector(&kv, "v", start).await?;
    let second = kv.put("v/a", "2", 0).await?.modified_index;
    kv.put("other", "x", 0).await?;
    let last = kv.put("v/b/c", "3", 0).await?.modified_index;
    eventually("the updates are collected", || async { Ok(collector.replay_updates::<()>(&mut [])? >= last) }).await?;
    collector.stop();
    let mut seen = Vec::new();
    let entry = |prefix: &str, wait_index: Revision, opaque: u8| (prefix.to_owned(), wait_index, opaque);
    for (prefix, wait_index, opaque) in
        [entry("", Revision::ZERO, 1), entry("v", second, 2), entry("v/b", Revision::ZERO, 3)]
    {
        let watch_cb: WatchCB<'_, u8> = Box::new(|_, opaque, pair| {
            seen.push((*opaque, pair?.key));
            Ok(())
        });
        let index = collector.replay_updates(&mut [ReplayCb { prefix, wait_index, opaque, watch_cb }])?;
        ensure_eq!(index, last);
    }
    let expected = [(1, "v/a"), (1, "v/b/c"), (2, "v/b/c"), (3, "v/b/c")].map(|(opaque, key)| (opaque, key.to_owned()));
    ensure_eq!(seen, expected);
    kv.close().await?;
    Ok(())
}

pub(super) async fn dump(place: Place) -> Proof {
    let kv = place.open(Options::new()).await?;
    kv.put("a/b", vec![0, 0xff], 0).await?;
    let dump = kv.serialize().await?;
    let pairs = kv.deserialize(&dump)?;
    let pair = pairs.first().ok_or_else(|| Failure::new("the dump is empty"))?;
    ensure_eq!((pairs.len(), pair.key.as_str(), &pair.value[..]), (1, "a/b", &b"\x00\xff"[..]));
    ensure_eq!(pair.modified_index, kv.get("a/b").await?.modified_index);
    let theirs = br#"[{"Key":"x","Value":"AA==","Action":8,"TTL":0,"KVDBIndex":3,"CreatedIndex":1,"ModifiedIndex":2}]"#;
    ensure_eq!(kv.deserialize(theirs)?.first().map(|pair| pair.action), Some(KVDelete));
    kv.close().await?;
    expect_kind(kv.serialize().await, &ErrorKind::Closed)?;
    Ok(())
}

pub(super) async fn locks(place: Place) -> Proof {
    let kv = place.open(Options::new()).await?;
    ensure_eq!(kv.is_key_locked("job").await?, (false, String::new()));
    let lock = kv.lock_with_id("job", "me").await?;
    ensure_eq!(kv.is_key_locked("job").await?, (true, "me".to_owned()));
    let second = kv.lock_with_timeout("job", "you", Duration::from_millis(20), Duration::ZERO).await;
    let held = |kind: &ErrorKind| *kind == ErrorKind::LockTimeout { holder: Some("me".to_owned()) };
    expect_error(second, "LockTimeout naming the holder", held)?;
    kv.unlock(&lock).await?;
    let next = kv.lock("job").await?;
    kv.unlock(&lock).await?;
    ensure!(next.is_held() && kv.is_key_locked("job").await?.0, "a stale unlock freed the next holder's lock");
    kv.unlock(&next).await?;
    kv.close().await?;
    Ok(())
}

pub(super) async fn administration(place: Place) -> Proof {
    let kv = place.open(Options::new()).await?;
    let (ip, name) = ("10.0.0.1", "node");
    let calls = [
        (Capabilities::USERS, kv.add_user("me", "word").await),
        (Capabilities::USERS, kv.remove_user("me").await),
        (Capabilities::USERS, kv.grant_user_access("me", ReadWritePermission, "tree").await),
        (Capabilities::USERS, kv.revoke_users_access("me", ReadWritePermission, "tree").await),
        (Capabilities::MEMBERS, kv.add_member(ip, PeerPort, name).await.map(drop)),
        (Capabilities::MEMBERS, kv.add_learner(ip, PeerPort, name).await.map(drop)),
        (Capabilities::MEMBERS, kv.promote_member(1).await),
        (Capabilities::MEMBERS, kv.remove_member(name, ip).await),
        (Capabilities::MEMBERS, kv.remove_member_by_id(1).await),
        (Capabilities::MEMBERS, kv.update_member(ip, PeerPort, name).await.map(drop)),
        (Capabilities::MEMBERS, kv.list_members().await.map(drop)),
        (Capabilities::MEMBERS, kv.set_endpoints(&[ip]).await),
        (Capabilities::MEMBERS, kv.get_endpoints().await.map(drop)),
        (Capabilities::MEMBERS, kv.defragment(ip, 30).await),
    ];
    for (lacking, answer) in calls {
        let error = expect_kind(answer, &ErrorKind::Unsupported(lacking))?;
        ensure!(error.to_string().contains(&lacking.to_string()), "{error} does not name {lacking}");
    }
    kv.close().await?;
    Ok(())
}
