use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{CallOptions, Compare};

use crate::help::{eventually, expect_kind};
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn both(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    kv.put("a", "1").await?;
    kv.put("b", "2").await?;
    let yes = || [value("a").eq("1"), present("b"), absent("c"), value("b").gt("1")];
    let no = || [value("a").eq("x"), absent("b"), present("c"), value("b").lt("1")];
    // Without a compare, with each alone, and with one that fails at each place among the others.
    let mut cases: Vec<(Vec<Compare>, bool)> = vec![(Vec::new(), true), (yes().into(), true)];
    for at in 0..4 {
        cases.push((vec![yes()[at].clone()], true));
        cases.push((vec![no()[at].clone()], false));
        let mut mixed: Vec<Compare> = yes().into();
        mixed.insert(at, no()[at].clone());
        cases.push((mixed, false));
    }
    for (compares, expected) in cases {
        let before = kv.list("").await?;
        let mut txn = kv.txn();
        for compare in &compares {
            txn = txn.when(compare.clone());
        }
        let reply = txn.then(put("then", "x")).then(get("a")).otherwise(put("otherwise", "x")).await?;
        ensure_eq!(reply.succeeded, expected, "{compares:?}");
        let (ran, not) = if expected { ("then", "otherwise") } else { ("otherwise", "then") };
        ensure_eq!(reply.results.len(), if expected { 2 } else { 1 }, "results of the branch under {compares:?}");
        let written = kv.get(ran).await?.map(|pair| pair.modified_index);
        ensure_eq!(written, Some(reply.revision), "the write of the branch under {compares:?}");
        let old = |key: &str| before.iter().find(|pair| pair.key == key).map(|pair| pair.modified_index);
        let untouched = kv.get(not).await?.map(|pair| pair.modified_index);
        ensure_eq!(untouched, old(not), "the other branch under {compares:?}");
    }
    // An empty branch runs, too.
    let reply = kv.txn().when(value("a").eq("x")).then(put("a", "changed")).await?;
    ensure_eq!((reply.succeeded, reply.results.len()), (false, 0));
    ensure_eq!(kv.get("a").await?.map(|pair| pair.value), Some("1".into()));
    Ok(())
}

pub(super) async fn in_order(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let old = kv.put("old", "1").await?;
    let gone = kv.put("gone", "bye").await?;
    let reply = kv
        .txn()
        .then(get("old"))
        .then(put("old", "2"))
        .then(get("old"))
        .then(get("new"))
        .then(put("new", "3"))
        .then(get("new"))
        .then(get("gone"))
        .then(delete("gone"))
        .then(get("gone"))
        .then(delete("never"))
        .then(get("never"))
        .await?;
    let now = reply.revision;
    ensure!(now > gone.modified_index, "revision {now}");
    let text = |at: usize| reply.results[at].pair().and_then(KvPair::text).map(str::to_owned);
    let seen: Vec<_> = (0..reply.results.len()).map(text).collect();
    let expected = [Some("1"), Some("2"), Some("2"), None, Some("3"), Some("3"), Some("bye"), Some("bye")];
    ensure_eq!(seen[..8], expected.map(|text| text.map(str::to_owned)));
    ensure_eq!(reply.results[8], TxnResult::Get(None), "a deleted key, read behind its deletion");
    ensure_eq!(reply.results[9], TxnResult::Deleted(None), "an absent key, deleted");
    ensure_eq!(reply.results[10], TxnResult::Get(None));
    // Each answer is of its kind and names the indexes that the transaction made.
    let TxnResult::Get(Some(before)) = &reply.results[0] else { crate::fail!("{:?}", reply.results[0]) };
    ensure_eq!((before.modified_index, before.action), (old.modified_index, KvAction::Get));
    let TxnResult::Put(set) = &reply.results[1] else { crate::fail!("{:?}", reply.results[1]) };
    ensure_eq!((set.action, set.created_index, set.modified_index), (KvAction::Set, old.created_index, now));
    ensure_eq!(set.key, "old");
    let TxnResult::Get(Some(after)) = &reply.results[2] else { crate::fail!("{:?}", reply.results[2]) };
    ensure_eq!((after.created_index, after.modified_index), (old.created_index, now));
    ensure_eq!(after.version, set.version);
    let TxnResult::Put(made) = &reply.results[4] else { crate::fail!("{:?}", reply.results[4]) };
    ensure_eq!((made.action, made.created_index, made.modified_index), (KvAction::Create, now, now));
    let TxnResult::Deleted(Some(deleted)) = &reply.results[7] else { crate::fail!("{:?}", reply.results[7]) };
    ensure_eq!((deleted.action, deleted.created_index), (KvAction::Delete, gone.created_index));
    ensure_eq!(deleted.modified_index, now, "the deletion's revision");
    // And the store is as the operations left it.
    let left = kv.list("").await?;
    let left: Vec<_> = left.iter().map(|pair| (pair.key.as_str(), pair.text(), pair.modified_index)).collect();
    ensure_eq!(left, [("new", Some("3"), now), ("old", Some("2"), now)]);
    // The same in the branch that runs when a compare fails.
    let reply =
        kv.txn().when(absent("old")).otherwise(get("old")).otherwise(delete("old")).otherwise(get("old")).await?;
    ensure!(!reply.succeeded);
    ensure_eq!(reply.results[0].pair().and_then(KvPair::text), Some("2"));
    ensure_eq!(reply.results[2], TxnResult::Get(None));
    Ok(())
}

pub(super) async fn ttl_and_lease(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let long = ctx.ttl(Duration::from_secs(300));
    let short = ctx.ttl(Duration::from_millis(300));
    let lease = kv.lease(long).await?.id;
    expect_kind(kv.txn().then(put("k", "1").ttl(long).lease(&lease)).await, &ErrorKind::InvalidArgument)?;
    ensure_eq!(kv.get("k").await?, None, "what a refused transaction left");
    let reply = kv
        .txn()
        .then(put("leased", "1").lease(&lease))
        .then(put("short", "1").ttl(short))
        .then(put("shorter", "1").ttl(short))
        .then(put("long", "1").ttl(long))
        .then(put("free", "1"))
        .await?;
    let pairs: Vec<&KvPair> = reply.results.iter().filter_map(TxnResult::pair).collect();
    ensure_eq!(pairs[0].lease, Some(lease.clone()));
    ensure_eq!(pairs[4].lease, None);
    for (pair, ttl) in [(pairs[1], short), (pairs[2], short), (pairs[3], long)] {
        ensure!(pair.ttl.is_some_and(|granted| granted >= ttl), "{} was granted {:?}", pair.key, pair.ttl);
        ensure!(pair.lease.as_ref().is_some_and(|own| *own != lease), "{} has no lease of its own", pair.key);
    }
    eventually("what had the short TTL is gone", async || Ok(kv.list("").names().await? == ["free", "leased", "long"]))
        .await?;
    // A put without either makes a key permanent.
    kv.txn().then(put("leased", "2")).await?;
    kv.lease_revoke(&lease, CallOptions::default()).await?;
    ensure_eq!(kv.get("leased").await?.map(|pair| pair.value), Some("2".into()));
    let ended = kv.txn().when(absent("x")).then(put("x", "1")).then(put("y", "1").lease(&lease)).await;
    expect_kind(ended, &ErrorKind::LeaseNotFound)?;
    ensure_eq!(kv.get("x").await?, None, "half of a transaction that was refused");
    // Out of bounds is told before anything is granted or written, in whichever branch.
    if let Some(most) = ctx.limits().ttl_max {
        let beyond = most + Duration::from_secs(1);
        let refused = kv.txn().when(present("free")).then(put("free", "2")).otherwise(put("o", "1").ttl(beyond)).await;
        crate::help::expect_error(refused, "TtlNotSupported", |kind| {
            matches!(kind, ErrorKind::TtlNotSupported { .. })
        })?;
        ensure_eq!(kv.get("free").await?.map(|pair| pair.value), Some("1".into()));
    }
    Ok(())
}

pub(super) async fn ttl_unsupported(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let ttl = ctx.ttl(Duration::from_secs(60));
    let refused = kv.txn().then(put("a", "1")).otherwise(put("b", "1").ttl(ttl)).await;
    let error = expect_kind(refused, &ErrorKind::Unsupported(Capabilities::TTL))?;
    ensure!(error.to_string().contains("TTL"), "the capability is not named: {error}");
    ensure_eq!(kv.get("a").await?, None, "what a refused transaction left");
    Ok(())
}

pub(super) async fn spelling(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let other = ctx.open_in(&format!("{}2", ctx.domain())).await?;
    other.put("a/b", "of another domain").await?;
    let reply = kv
        .txn()
        .when(absent("///a//b/"))
        .when(created("/a/b").eq(0u64))
        .then(put("//a/b", "1"))
        .then(get("a/b/"))
        .then(put("é/ß", "2"))
        .await?;
    ensure!(reply.succeeded, "another domain's key was compared");
    let names: Vec<_> = reply.results.iter().filter_map(TxnResult::pair).map(|pair| pair.key.as_str()).collect();
    ensure_eq!(names, ["a/b", "a/b", "é/ß"]);
    ensure!(kv.txn().when(value("/a//b/").eq("1")).await?.succeeded, "the spelled key is another one");
    ensure_eq!(other.list("").await?.len(), 1, "keys of another domain");
    for bad in ["", "/", "a\u{0}b", "a/\u{7f}", ".", "a/../b", "a/./b", "_kvdb", "a/_kvdb/b", "_kvdb/lock/x"] {
        let invalid = &ErrorKind::InvalidArgument;
        for compare in [present(bad), absent(bad), value(bad).eq("1"), created(bad).eq(0u64), modified(bad).gt(0u64)] {
            let error = expect_kind(kv.txn().when(compare).then(put("left", "1")).await, invalid)?;
            ensure_eq!(error.key(), Some(bad), "the key that {error} names");
        }
        for op in [put(bad, "1"), delete(bad), get(bad)] {
            let error = expect_kind(kv.txn().then(put("left", "1")).then(op.clone()).await, invalid)?;
            ensure_eq!(error.key(), Some(bad), "the key that {error} names");
            // Also in the branch that would not run.
            expect_kind(kv.txn().then(put("left", "1")).otherwise(op).await, invalid)?;
        }
    }
    ensure_eq!(kv.get("left").await?, None, "what refused transactions left");
    Ok(())
}

pub(super) async fn revisions(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let start = kv.put("a", "1").await?.modified_index;
    let reply = kv.txn().then(put("b", "1")).then(put("c", "1")).then(delete("a")).then(delete("never")).await?;
    ensure!(reply.revision > start, "revision {} after {start}", reply.revision);
    let reading = kv.txn().when(present("b")).then(get("b")).then(get("a")).otherwise(put("b", "2")).await?;
    ensure!(reading.succeeded && reading.revision >= reply.revision, "a reading at {}", reading.revision);
    kv.txn().then(delete("never")).await?;
    kv.txn().await?;
    let next = kv.put("b", "3").await?.modified_index;
    ensure!(next > reply.revision, "revision {next} after {}", reply.revision);
    if ctx.store().counts_exactly() {
        ensure_eq!(reply.revision.get(), start.get() + 1, "the revision of four writes");
        ensure_eq!(reading.revision, reply.revision, "the revision that a reading transaction shows");
        ensure_eq!(next.get(), reply.revision.get() + 1, "the revision after transactions that changed nothing");
    }
    Ok(())
}
