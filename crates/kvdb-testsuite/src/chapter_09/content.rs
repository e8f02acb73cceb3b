use std::sync::Arc;

use kvdb_core::prelude::*;
use kvdb_core::{Options, SnapshotOptions};

use super::kinds;
use super::writers::{Writers, expect_state, state_at};
use crate::decorate::Without;
use crate::help::expect_kind;
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn under_writers(ctx: Ctx) -> Proof {
    const ROUNDS: usize = 40;
    let kv = ctx.open().await?;
    let readers = kinds(&ctx).await?;
    let writers = Writers::start(&kv, ROUNDS);
    let mut taken = Vec::new();
    for at in [1, 40, 120, 250] {
        writers.have_done(at).await?;
        for (kind, reader) in &readers {
            for prefixes in [&[][..], &["w"], &["w/1"], &["w/2", "w/0"]] {
                let snapshot = reader.snapshot(prefixes).await?;
                // Some are read while everything changes, some afterwards.
                if prefixes.is_empty() {
                    let early = snapshot.list("").await?;
                    taken.push((kind, prefixes, snapshot, Some(early)));
                } else {
                    taken.push((kind, prefixes, snapshot, None));
                }
            }
        }
    }
    let truth = writers.finish().await?;
    let mut revisions = std::collections::BTreeSet::new();
    for (kind, prefixes, snapshot, early) in taken {
        let what = format!("the snapshot of {prefixes:?} at {}, {kind}", snapshot.revision());
        let mut expected = state_at(&truth, snapshot.revision(), "w/");
        if !prefixes.is_empty() {
            expected.retain(|key, _| prefixes.iter().any(|prefix| key.starts_with(&format!("{prefix}/"))));
        }
        let listed = snapshot.list("").await?;
        expect_state(&listed, &expected, &what)?;
        if let Some(early) = early {
            ensure_eq!(early, listed, "{what}, read earlier and later");
        }
        for key in (0..3).flat_map(|dir| (0..7).map(move |n| format!("w/{dir}/{n}"))) {
            let found = snapshot.get(&key).await?.map(|pair| (pair.value, pair.created_index, pair.modified_index));
            ensure_eq!(found.as_ref(), expected.get(&key), "{key} in {what}");
        }
        revisions.insert(snapshot.revision());
    }
    ensure!(revisions.len() > 2, "the snapshots show the same: this proves nothing");
    Ok(())
}

pub(super) async fn stays(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for (kind, kv) in kinds(&ctx).await? {
        other.delete_tree("").await?;
        for key in ["a", "a/b", "d/x", "d/y"] {
            other.put(key, "before").await?;
        }
        let before = other.list("").await?;
        let snapshot = kv.snapshot(&[]).await?;
        ensure!(before.iter().all(|pair| pair.modified_index <= snapshot.revision()), "{kind}: a write is missing");
        other.put("a", "after").await?;
        other.delete("a/b").await?;
        other.put("new", "after").await?;
        other.delete_tree("d").await?;
        other.put("d/x", "made anew").await?;
        let clone = snapshot.clone();
        for (name, snapshot) in [("the snapshot", &snapshot), ("its clone", &clone)] {
            let now: Vec<_> =
                snapshot.list("").await?.into_iter().map(|pair| (pair.key, pair.value, pair.modified_index)).collect();
            let then: Vec<_> =
                before.iter().map(|pair| (pair.key.clone(), pair.value.clone(), pair.modified_index)).collect();
            ensure_eq!(now, then, "{kind}: {name} after writes");
        }
        // Another one shows the present, and the first one goes without a trace.
        let later = kv.snapshot(&[]).await?;
        ensure!(later.revision() > snapshot.revision());
        drop((snapshot, clone));
        ensure_eq!(later.list("").names().await?, ["a", "d/x", "new"], "{kind}");
    }
    Ok(())
}

pub(super) async fn every_read(ctx: Ctx) -> Proof {
    for (kind, kv) in kinds(&ctx).await? {
        kv.delete_tree("").await?;
        for n in 0..5 {
            kv.put(&format!("d/{n}"), format!("{n}")).await?;
        }
        kv.put("json", "[1]").await?;
        let first = kv.put("d", "itself").await?;
        let snapshot = kv.snapshot(&["d", "json", ""]).await?;
        kv.delete_tree("").await?;
        kv.put("d/9", "later").await?;
        let revision = snapshot.revision();
        ensure!(revision >= first.modified_index, "{kind}");
        let pair = snapshot.get("d").await?.unwrap_or_else(|| KvPair::new("", ""));
        let found = (pair.text(), pair.action, pair.modified_index, pair.created_index);
        ensure_eq!(found, (Some("itself"), KvAction::Get, first.modified_index, first.created_index), "{kind}");
        ensure_eq!(pair.version, first.version, "{kind}");
        ensure_eq!(pair.kvdb_index, revision, "{kind}: up to where the answer holds");
        ensure_eq!(snapshot.get("d/9").await?, None, "{kind}");
        ensure_eq!(snapshot.get_val::<Vec<u8>>("json").await?, None.or(Some(vec![1])), "{kind}");
        let listing = snapshot.list("d").listing().await?;
        ensure_eq!((listing.revision, listing.pairs.len()), (revision, 5), "{kind}");
        ensure_eq!(snapshot.count("d").await?, 5, "{kind}");
        ensure_eq!(snapshot.count("").await?, 7, "{kind}");
        ensure_eq!(snapshot.keys("").await?, ["d", "json"], "{kind}");
        ensure_eq!(snapshot.list("d").names().await?, ["d/0", "d/1", "d/2", "d/3", "d/4"], "{kind}");
        let last = snapshot.list("d").reverse().limit(2).names().await?;
        ensure_eq!(last, ["d/4", "d/3"], "{kind}");
        let two = snapshot.list_range(std::ops::Bound::Included("d/1"), std::ops::Bound::Excluded("d/3")).await?;
        ensure_eq!(two.len(), 2, "{kind}");
        ensure_eq!(snapshot.list("nothing").await?, [], "{kind}");
        // A transaction that only reads is one more read; so is a Tx that writes nothing.
        let reply =
            snapshot.txn().when(value("d/1").eq("1")).when(absent("d/9")).then(get("d/2")).then(get("d/9")).await?;
        ensure!(reply.succeeded, "{kind}: compares show another state");
        ensure_eq!(reply.results[0].pair().and_then(KvPair::text), Some("2"), "{kind}");
        ensure_eq!(reply.results[1], TxnResult::Get(None), "{kind}");
        let read = snapshot.transact(|tx| async move { Ok(tx.get("d/3").await?.map(|pair| pair.value)) }).await?;
        ensure_eq!(read, Some("3".into()), "{kind}");
        // A snapshot of a snapshot is the same.
        let again = snapshot.snapshot(&["d"]).await?;
        ensure_eq!(again.revision(), revision, "{kind}");
        ensure_eq!(again.list("").names().await?.len(), 5, "{kind}");
        ensure_eq!(snapshot.info().domain, kv.info().domain, "{kind}");
    }
    Ok(())
}

pub(super) async fn compacted(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for (kind, kv) in kinds(&ctx).await? {
        other.delete_tree("").await?;
        for n in 0..300 {
            other.put(&format!("d/{n:03}"), "before").await?;
        }
        let (snapshot, partial) = (kv.snapshot(&[]).await?, kv.snapshot(&["d"]).await?);
        let mut pages = snapshot.list("").pages().await?;
        let first = pages.next().await;
        ensure!(first.is_some_and(|page| page.is_ok()), "{kind}: no page");
        let mut last = snapshot.revision();
        for n in (0..300).step_by(7) {
            last = other.put(&format!("d/{n:03}"), "after").await?.modified_index;
            other.delete(&format!("d/{:03}", n + 1)).await?;
        }
        other.compact(last).await?;
        let mut rest = 0;
        while let Some(page) = pages.next().await {
            rest += page?.pairs.iter().filter(|pair| pair.value == "before").count();
        }
        ensure!(rest < 300, "{kind}: a listing begun before shows {rest} keys more");
        for (name, snapshot) in [("of all", &snapshot), ("of a prefix", &partial)] {
            let pairs = snapshot.list("d").await?;
            ensure_eq!(pairs.len(), 300, "{kind}: keys of the snapshot {name} after compaction");
            ensure!(pairs.iter().all(|pair| pair.value == "before"), "{kind}: a later value in the snapshot {name}");
            ensure_eq!(snapshot.get("d/001").await?.map(|pair| pair.value), Some("before".into()), "{kind}");
            ensure_eq!(snapshot.get("d/007").await?.map(|pair| pair.value), Some("before".into()), "{kind}");
        }
    }
    Ok(())
}

pub(super) async fn unsupported(ctx: Ctx) -> Proof {
    // A store with neither pins nor history nor listings at one revision.
    let poor = Without::new(ctx.backend().await?, Capabilities::REVISION_READS);
    let kv = ctx.handle(Arc::new(poor), ctx.domain(), Options::new())?;
    kv.put("a/x", "1").await?;
    kv.put("b/x", "1").await?;
    let error = expect_kind(kv.snapshot(&["a", "b"]).await, &ErrorKind::Unsupported(Capabilities::ATOMIC_LIST))?;
    ensure!(error.to_string().contains("ATOMIC_LIST"), "the capability is not named: {error}");
    // One that need not be consistent is granted.
    let mut options = SnapshotOptions::default();
    options.consistent = false;
    let snapshot = kv.snapshot_opts(&["a", "b"], options).await?;
    ensure_eq!(snapshot.list("").names().await?, ["a/x", "b/x"]);
    Ok(())
}
