use std::sync::Arc;
use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{Limits, Options};
use serde::{Deserialize, Serialize};

use crate::decorate::{Call, Faulty, Limited};
use crate::help::{eventually, expect_kind, expect_next_key, next_pair, whenever_read};
use crate::{Ctx, Proof, ensure, ensure_eq};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Account {
    owner: String,
    cents: i64,
}

async fn text(tx: &Tx<'_, Handle>, key: &str) -> Proof<Option<String>> {
    Ok(tx.get(key).await?.map(|pair| String::from_utf8_lossy(&pair.value).into_owned()))
}

pub(super) async fn own_writes(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let old = kv.put("old", "1").await?;
    kv.put("gone", "1").await?;
    kv.put("json", "not that JSON").await?;
    let before = whenever_read(other.list("").await?);
    let mut watch = other.watch_tree("").await?;
    let tx = kv.tx();
    ensure_eq!(text(&tx, "old").await?, Some("1".into()));
    tx.put("///old/", "2")?;
    ensure_eq!(text(&tx, "old").await?, Some("2".into()), "a write of one's own");
    ensure_eq!(tx.get("old").await?.map(|pair| pair.created_index), Some(old.created_index));
    tx.put("old", "3")?;
    ensure_eq!(text(&tx, "/old").await?, Some("3".into()), "the later of two writes");
    tx.delete("gone")?;
    ensure_eq!(tx.get("gone").await?, None, "a key that was deleted");
    tx.delete("never")?;
    tx.put("fleeting", "1")?;
    tx.delete("fleeting")?;
    ensure_eq!(tx.get("fleeting").await?, None);
    tx.delete("anew")?;
    tx.put("anew", "")?;
    ensure_eq!(text(&tx, "anew").await?, Some(String::new()), "the empty value is a value");
    ensure_eq!(tx.get("not there").await?, None);
    let account = Account { owner: "me".into(), cents: -5 };
    tx.put_val("account", &account)?;
    ensure_eq!(tx.get_val::<Account>("account").await?, Some(account));
    ensure_eq!(tx.get_val::<Account>("nobody's").await?, None);
    let error = expect_kind(tx.get_val::<Account>("json").await, &ErrorKind::Serialization)?;
    ensure_eq!(error.key(), Some("json"));
    // A clone is the same transaction, and a broken key breaks nothing.
    ensure_eq!(text(&tx.clone(), "old").await?, Some("3".into()));
    for bad in ["", "a/../b", "_kvdb/x"] {
        expect_kind(tx.get(bad).await, &ErrorKind::InvalidArgument)?;
        if !bad.contains("_kvdb") {
            expect_kind(tx.put(bad, "1"), &ErrorKind::InvalidArgument)?;
            expect_kind(tx.delete(bad), &ErrorKind::InvalidArgument)?;
        }
    }
    ensure_eq!(whenever_read(other.list("").await?), before, "what shows before the commit");
    let revision = tx.clone().commit().await?;
    let now: Vec<_> = kv.list("").await?.into_iter().map(|pair| (pair.key, pair.modified_index)).collect();
    let json = before.iter().find(|pair| pair.key == "json").map(|pair| pair.modified_index).unwrap_or_default();
    let expected = [("account", revision), ("anew", revision), ("json", json), ("old", revision)];
    ensure_eq!(now, expected.map(|(key, at)| (key.to_owned(), at)));
    ensure_eq!(kv.get("old").await?.and_then(|pair| pair.text().map(str::to_owned)), Some("3".into()));
    // One event a key, of the state it was left in.
    let mut told = Vec::new();
    for _ in 0..4 {
        let pair = next_pair(&mut watch).await?;
        ensure_eq!(pair.modified_index, revision, "the event of {}", pair.key);
        told.push(pair.key);
    }
    told.sort();
    ensure_eq!(told, ["account", "anew", "gone", "old"]);
    // Dropped or aborted, nothing is left.
    let dropped = kv.tx();
    dropped.put("left", "1")?;
    drop(dropped);
    let aborted = kv.tx();
    aborted.put("left", "1")?;
    aborted.abort()?;
    kv.put("marker", "1").await?;
    expect_next_key(&mut watch, "marker").await?;
    ensure_eq!(kv.get("left").await?, None);
    Ok(())
}

pub(super) async fn repeatable(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    for key in ["changed", "gone"] {
        other.put(key, "1").await?;
    }
    let tx = kv.tx();
    let mut first = Vec::new();
    for key in ["changed", "gone", "new"] {
        first.push(tx.get(key).await?);
    }
    other.put("changed", "2").await?;
    other.delete("gone").await?;
    other.put("new", "2").await?;
    for (n, key) in ["changed", "gone", "new"].into_iter().enumerate() {
        ensure_eq!(tx.get(key).await?, first[n], "{key}, read again");
    }
    // Clones that read at the same time agree, too.
    let (one, two) = (tx.clone(), tx.clone());
    other.put("late", "1").await?;
    let (one, two) = futures_util::future::join(one.get("late"), two.get("late")).await;
    ensure_eq!(one?, two?);
    expect_kind(tx.commit().await, &ErrorKind::Modified)?;
    Ok(())
}

/// What another writer does to `k` between a read and the commit, and whether that is a conflict.
const CHANGES: &[(&str, bool)] = &[
    ("nothing", false),
    ("another key", false),
    ("put", true),
    ("put of equal bytes", true),
    ("deleted", true),
    ("deleted and made anew, equal", true),
];

async fn change(other: &Handle, what: &str) -> Proof {
    match what {
        "another key" => drop(other.put("k/child", "x").await?),
        "put" => drop(other.put("k", "other").await?),
        "put of equal bytes" => drop(other.put("k", "1").await?),
        "deleted" => drop(other.delete("k").await?),
        "deleted and made anew, equal" => {
            other.delete("k").await?;
            other.put("k", "1").await?;
        }
        _ => {}
    }
    Ok(())
}

pub(super) async fn conflicts(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    for (what, conflict) in CHANGES {
        for writes in [true, false] {
            other.delete_tree("").await?;
            let old = other.put("k", "1").await?;
            let tx = kv.tx();
            ensure!(tx.get("k").await?.is_some());
            ensure_eq!(tx.get("never").await?, None);
            if writes {
                tx.put("out", "1")?;
                tx.put("k", "mine")?;
            }
            change(&other, what).await?;
            let prepared = tx.prepare().await;
            let commit = tx.commit().await;
            if *conflict {
                expect_kind(prepared, &ErrorKind::Modified)?;
                expect_kind(commit, &ErrorKind::Modified)?;
            } else {
                prepared?;
                let revision = commit?;
                ensure!(revision >= old.modified_index, "{what}: committed at {revision}");
            }
            let out = other.get("out").await?.is_some();
            ensure_eq!(out, writes && !conflict, "{what}: the write of the transaction");
        }
    }
    // What was read as absent and has come.
    let tx = kv.tx();
    ensure_eq!(tx.get("comes").await?, None);
    tx.put("out2", "1")?;
    other.put("comes", "").await?;
    expect_kind(tx.prepare().await, &ErrorKind::Modified)?;
    expect_kind(tx.commit().await, &ErrorKind::Modified)?;
    // Come and gone again: absent is absent.
    let tx = kv.tx();
    ensure_eq!(tx.get("fleeting").await?, None);
    other.put("fleeting", "1").await?;
    other.delete("fleeting").await?;
    tx.put("out3", "1")?;
    tx.commit().await?;
    // What was written without being read is in nobody's way.
    let tx = kv.tx();
    tx.put("k", "blind")?;
    other.put("k", "other").await?;
    tx.commit().await?;
    ensure_eq!(other.get("k").await?.map(|pair| pair.value), Some("blind".into()));
    ensure_eq!(other.get("out2").await?, None);
    Ok(())
}

pub(super) async fn one_batch(ctx: Ctx) -> Proof {
    let inner = Faulty::recording(ctx.backend().await?);
    let calls = inner.calls();
    let kv = ctx.handle(Arc::new(inner), ctx.domain(), Options::new())?;
    let other = ctx.open().await?;
    for n in 0..4 {
        other.put(&format!("read/{n}"), "1").await?;
    }
    let tx = kv.tx();
    for n in 0..4 {
        tx.get(&format!("read/{n}")).await?;
        tx.get(&format!("read/{n}")).await?;
        tx.put(&format!("write/{n}"), "1")?;
    }
    let reads = calls.lock().unwrap().len();
    ensure_eq!(reads, 4, "reads of the store for four keys");
    let revision = tx.commit().await?;
    let writes: Vec<Call> = calls.lock().unwrap()[reads..].to_vec();
    let commits = writes.iter().filter(|call| matches!(call, Call::Commit(_) | Call::NativeTxn(_))).count();
    ensure_eq!(commits, 1, "batches of one commit, of {writes:?}");
    for pair in other.list("write").await? {
        ensure_eq!(pair.modified_index, revision, "the revision of {}", pair.key);
    }
    ensure_eq!(other.count("write").await?, 4);
    // One that did nothing asks the store for nothing.
    let asked = calls.lock().unwrap().len();
    kv.tx().commit().await?;
    ensure_eq!(calls.lock().unwrap().len(), asked, "calls for an empty transaction");
    Ok(())
}

pub(super) async fn with_ttl(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let short = ctx.ttl(Duration::from_millis(300));
    let tx = kv.tx();
    tx.put_ttl("short", "1", short)?;
    tx.put("stays", "1")?;
    ensure_eq!(tx.get("short").await?.and_then(|pair| pair.ttl), Some(short));
    tx.prepare().await?;
    ensure_eq!(kv.get("short").await?, None, "what prepare left");
    tx.commit().await?;
    ensure_eq!(kv.list("").names().await?, ["short", "stays"]);
    eventually("the key is gone", async || Ok(kv.get("short").await?.is_none())).await?;
    // A later write without a TTL counts.
    let tx = kv.tx();
    tx.put_ttl("kept", "1", short)?;
    tx.put("kept", "2")?;
    tx.put_ttl("end", "1", short)?;
    tx.commit().await?;
    eventually("the key is gone", async || Ok(kv.get("end").await?.is_none())).await?;
    ensure_eq!(kv.list("").names().await?, ["kept", "stays"]);
    if let Some(most) = ctx.limits().ttl_max {
        let tx = kv.tx();
        tx.put("left", "1")?;
        tx.put_ttl("short", "1", most + Duration::from_secs(1))?;
        let refused = |kind: &ErrorKind| matches!(kind, ErrorKind::TtlNotSupported { .. });
        crate::help::expect_error(tx.prepare().await, "TtlNotSupported", refused)?;
        crate::help::expect_error(tx.commit().await, "TtlNotSupported", refused)?;
        ensure_eq!(kv.get("left").await?, None);
    }
    Ok(())
}

pub(super) async fn prepare(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    other.put("k", "1").await?;
    let tx = kv.tx();
    tx.prepare().await?;
    tx.get("k").await?;
    tx.put("out", "1")?;
    for _ in 0..3 {
        tx.prepare().await?;
        ensure_eq!(other.get("out").await?, None, "what prepare wrote");
    }
    // It goes on behind a prepare, and a prepare binds nobody.
    tx.put("more", "1")?;
    ensure_eq!(text(&tx, "more").await?, Some("1".into()));
    other.put("k", "2").await?;
    expect_kind(tx.prepare().await, &ErrorKind::Modified)?;
    // A failed prepare ends nothing either: the transaction still answers, and its commit says the same.
    ensure_eq!(text(&tx, "k").await?, Some("1".into()));
    expect_kind(tx.commit().await, &ErrorKind::Modified)?;
    ensure_eq!(other.list("").names().await?, ["k"]);
    // What cannot be written is known before the commit.
    let tx = kv.tx();
    tx.put("k", vec![b'x'; ctx.limits().value_bytes + 1])?;
    let too_large = ErrorKind::TooLarge { limit: ctx.limits().value_bytes };
    expect_kind(tx.prepare().await, &too_large)?;
    expect_kind(tx.commit().await, &too_large)?;
    let tx = kv.tx();
    tx.put("_kvdb/x", "1")
        .or_else(|error| if *error.kind() == ErrorKind::InvalidArgument { Ok(()) } else { Err(error) })?;
    ensure_eq!(other.get("k").await?.map(|pair| pair.value), Some("2".into()));
    Ok(())
}

pub(super) async fn prepare_limits(ctx: Ctx) -> Proof {
    const OPS: usize = 6;
    for (reads, writes) in [(0, OPS), (1, OPS - 1), (3, 3), (OPS, 0), (0, OPS + 1), (1, OPS), (4, 4), (OPS + 1, 0)] {
        let narrow = Limited::new(ctx.backend().await?, |limits: &mut Limits| limits.batch_ops = OPS);
        let kv = ctx.handle(Arc::new(narrow), ctx.domain(), Options::new())?;
        let tx = kv.tx();
        for n in 0..reads {
            tx.get(&format!("read/{n}")).await?;
        }
        for n in 0..writes {
            tx.put(&format!("write/{n}"), "1")?;
        }
        let (prepared, committed) = (tx.prepare().await, tx.commit().await);
        if reads + writes > OPS {
            expect_kind(committed, &ErrorKind::TooLarge { limit: OPS })?;
            expect_kind(prepared, &ErrorKind::TooLarge { limit: OPS })?;
        } else {
            committed?;
            prepared?;
        }
    }
    Ok(())
}

pub(super) async fn ended(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    kv.put("k", "1").await?;
    for end in ["commit", "failed commit", "abort"] {
        let tx = kv.tx();
        let clone = tx.clone();
        tx.get("k").await?;
        match end {
            "commit" => drop(tx.commit().await?),
            "abort" => tx.abort()?,
            _ => {
                kv.put("k", "2").await?;
                expect_kind(tx.commit().await, &ErrorKind::Modified)?;
            }
        }
        for tx in [&tx, &clone] {
            let invalid = &ErrorKind::InvalidArgument;
            expect_kind(tx.get("k").await, invalid)?;
            expect_kind(tx.get("other").await, invalid)?;
            expect_kind(tx.get_val::<Account>("k").await, invalid)?;
            expect_kind(tx.put("k", "3"), invalid)?;
            expect_kind(tx.put_val("k", "3"), invalid)?;
            expect_kind(tx.put_ttl("k", "3", Duration::from_secs(60)), invalid)?;
            expect_kind(tx.delete("k"), invalid)?;
            expect_kind(tx.prepare().await, invalid)?;
            expect_kind(tx.commit().await, invalid)?;
            expect_kind(tx.abort(), invalid)?;
        }
    }
    ensure_eq!(kv.list("").names().await?, ["k"]);
    Ok(())
}
