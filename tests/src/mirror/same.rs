//! What must hold on each store, as source and as target.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kvdb::prelude::*;
use kvdb::recipes::{Mirror, MirrorProgress, MirrorReason, MirrorStage};
use kvdb_core::Capabilities;
use kvdb_testsuite::help::{eventually, expect_error, expect_kind, next_change, soon};
use kvdb_testsuite::{Proof, ensure, ensure_eq};

use super::{Side, content};

async fn mirror(from: &Handle, to: &Handle) -> Proof<MirrorProgress> {
    Ok(run(Mirror::new(from, to)).await?.0)
}

/// Runs a mirror once; answers also why it went through all keys, if it did. Others move the revision of a shared store
/// on, so that it may follow a little after that.
async fn run(mirror: Mirror) -> Proof<(MirrorProgress, Option<MirrorReason>)> {
    let reason = Arc::new(Mutex::new(None));
    let telling = Arc::clone(&reason);
    let mirror = mirror.once().on_progress(move |progress| {
        if let MirrorStage::Copying(reason) = progress.stage {
            *telling.lock().unwrap() = Some(reason);
        }
    });
    let done = soon("a mirror", mirror.run()).await??;
    let reason = *reason.lock().unwrap();
    Ok((done, reason))
}

pub(super) async fn differences(from: Side, to: Side) -> Proof {
    let (from, to) = (from.open().await?, to.open().await?);
    let (source, target) = (from.handle().await?, to.handle().await?);
    for (key, value) in [("a", "1"), ("a/b", "2"), ("a-b", "3"), ("z", ""), ("same", "1")] {
        source.put(key, value).await?;
    }
    for (key, value) in [("same", "1"), ("a/b", "other"), ("extra", "1"), ("a/extra/deep", "1"), ("zz", "1")] {
        target.put(key, value).await?;
    }
    let same = target.get("same").await?.map(|pair| pair.modified_index);
    // What is the library's own stays each side's own.
    let (ours, theirs) = (source.lock("a").id("ours").await?, target.lock("a").id("theirs").await?);
    let (done, reason) = run(Mirror::new(&source, &target)).await?;
    ensure_eq!((done.read, done.copied, done.deleted), (5, 4, 3));
    ensure_eq!(reason, Some(MirrorReason::First));
    ensure_eq!(done.bytes, ["a1", "a/b2", "a-b3", "z"].map(str::len).iter().sum::<usize>() as u64);
    ensure_eq!(content(&target).await?, content(&source).await?);
    ensure_eq!(target.get("same").await?.map(|pair| pair.modified_index), same, "an equal key was written");
    let holder = target.lock_holder("a").await?.map(|holder| holder.id);
    ensure_eq!((holder.as_deref(), ours.is_held(), theirs.is_held()), (Some("theirs"), true, true));
    Ok(())
}

pub(super) async fn prefix(from: Side, to: Side) -> Proof {
    let (from, to) = (from.open().await?, to.open().await?);
    let (source, target) = (from.handle().await?, to.handle().await?);
    for key in ["a", "a/x", "a/y/z", "a0", "ab/x", "b/x"] {
        source.put(key, "source").await?;
        target.put(key, "target").await?;
    }
    target.put("a/extra", "target").await?;
    let done = soon("a mirror", Mirror::new(&source, &target).prefix("//a/").once().run()).await??;
    ensure_eq!((done.read, done.copied, done.deleted), (2, 2, 1));
    let wanted = [("a", "target"), ("a/x", "source"), ("a/y/z", "source"), ("a0", "target"), ("ab/x", "target")];
    let wanted: Vec<(String, Bytes)> =
        wanted.into_iter().chain([("b/x", "target")]).map(|(key, value)| (key.to_owned(), value.into())).collect();
    ensure_eq!(content(&target).await?, wanted);
    for bad in ["_kvdb", "a/_kvdb", "..", "a\u{7}"] {
        let answer = soon("a mirror", Mirror::new(&source, &target).prefix(bad).once().run()).await?;
        expect_kind(answer, &ErrorKind::InvalidArgument)?;
    }
    Ok(())
}

pub(super) async fn leased(from: Side, to: Side) -> Proof {
    let (from, to) = (from.open().await?, to.open().await?);
    let (source, target) = (from.handle().await?, to.handle().await?);
    let limits = source.limits();
    let lease = source.lease(limits.ttl_max.unwrap_or(Duration::from_secs(60))).await?.id;
    source.put("leased", "1").lease(&lease).await?;
    // Equal, but it would go away.
    let limits = target.limits();
    let dying = target.lease(limits.ttl_max.unwrap_or(Duration::from_secs(60))).await?.id;
    target.put("kept", "1").lease(&dying).await?;
    source.put("kept", "1").await?;
    mirror(&source, &target).await?;
    for key in ["leased", "kept"] {
        let pair = target.get(key).await?;
        ensure!(pair.is_some_and(|pair| pair.lease.is_none()), "{key} is absent or leased");
    }
    target.revoke(&dying).await?;
    ensure!(target.get("kept").await?.is_some());
    let running = tokio::spawn(Mirror::new(&source, &target).run());
    source.revoke(&lease).await?;
    let gone =
        eventually("the key is gone with the source's", async || Ok(target.get("leased").await?.is_none())).await;
    running.abort();
    gone
}

pub(super) async fn transactions(from: Side, to: Side) -> Proof {
    let (from, to) = (from.open().await?, to.open().await?);
    let (source, target) = (from.handle().await?, to.handle().await?);
    source.put("begin", "").await?;
    let running = tokio::spawn(Mirror::new(&source, &target).run());
    eventually("it follows", async || Ok(target.get("begin").await?.is_some())).await?;
    // Each transaction writes one number everywhere: no reader of the target may ever see two of them.
    const KEYS: [&str; 5] = ["t/a", "t/b", "t/c", "t/d", "t/e"];
    const ROUNDS: usize = 60;
    let reader = target.clone();
    let reader = tokio::spawn(async move {
        let (mut seen, mut mixed) = (0, 0);
        while seen < ROUNDS - 1 {
            let pairs = reader.list("t").await?;
            mixed += usize::from(!pairs.is_empty() && pairs.len() != KEYS.len());
            mixed += usize::from(pairs.windows(2).any(|two| two[0].value != two[1].value));
            seen = pairs.first().and_then(KvPair::text).map_or(0, |text| text.parse().unwrap());
        }
        Ok::<_, kvdb::Error>(mixed)
    });
    for round in 0..ROUNDS {
        let txn = KEYS.iter().fold(source.txn(), |txn, key| txn.then(put(*key, round.to_string())));
        txn.await?;
    }
    let mixed = soon("the last transaction is seen", reader).await???;
    running.abort();
    ensure_eq!(mixed, 0, "half a transaction was seen");
    Ok(())
}

pub(super) async fn one_place(from: Side, _to: Side) -> Proof {
    let there = from.open().await?;
    let (kv, other) = (there.handle().await?, there.handle().await?);
    kv.put("a/x", "1").await?;
    let outer = there.handle_in(&format!("{}/a", there.domain)).await?;
    for (from, to) in [(&kv, &kv), (&kv, &other), (&kv, &outer), (&outer, &kv)] {
        let error =
            expect_kind(soon("a mirror", Mirror::new(from, to).once().run()).await?, &ErrorKind::InvalidArgument)?;
        ensure!(error.to_string().contains("one place of one store"), "{error}");
    }
    let same = soon("a mirror", Mirror::new(&kv, &other).prefix("a").once().run()).await?;
    expect_kind(same, &ErrorKind::InvalidArgument)?;
    // Names beside each other, one the beginning of the other.
    let beside = there.handle_in(&format!("{}2", there.domain)).await?;
    ensure_eq!(mirror(&kv, &beside).await?.copied, 1);
    ensure_eq!(content(&beside).await?, content(&kv).await?);
    let inner = there.handle_in(&format!("{}/b", there.domain)).await?;
    ensure_eq!(soon("a mirror", Mirror::new(&kv, &inner).prefix("a").once().run()).await??.copied, 1);
    ensure_eq!(content(&inner).await?, content(&beside).await?);
    Ok(())
}

pub(super) async fn two(from: Side, to: Side) -> Proof {
    let (from, to) = (from.open().await?, to.open().await?);
    let (source, target) = (from.handle().await?, to.handle().await?);
    source.put("a", "1").await?;
    let first = tokio::spawn(Mirror::new(&source, &target).id("the first").run());
    eventually("it follows", async || Ok(target.get("a").await?.is_some())).await?;
    let (other_source, other_target) = (from.handle().await?, to.handle().await?);
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let second = Mirror::new(&other_source, &other_target)
        .wait(Duration::from_millis(200))
        .on_progress(move |progress| telling.lock().unwrap().push(progress.stage.clone()));
    let refused = soon("the second", second.run()).await?;
    expect_error(
        refused,
        "LockTimeout by the first",
        |kind| matches!(kind, ErrorKind::LockTimeout { holder } if holder.as_deref() == Some("the first")),
    )?;
    ensure_eq!(*told.lock().unwrap(), [MirrorStage::Waiting { holder: Some("the first".to_owned()) }]);
    // Another directory is another place.
    source.put("d/x", "1").await?;
    soon("beside it", Mirror::new(&other_source, &other_target).prefix("d").once().run()).await??;
    ensure!(!first.is_finished());
    first.abort();
    // Once the first is gone, the next may begin.
    source.put("a", "2").await?;
    let next = Mirror::new(&other_source, &other_target).wait(Duration::from_secs(60)).once();
    soon("the next", next.run()).await??;
    ensure_eq!(content(&target).await?, content(&source).await?);
    Ok(())
}

pub(super) async fn other_source(from: Side, to: Side) -> Proof {
    let (one, to) = (from.open().await?, to.open().await?);
    let other = from.open().await?;
    let (one, other, target) = (one.handle().await?, other.handle().await?, to.handle().await?);
    one.put("a", "one").await?;
    for _ in 0..5 {
        other.put("a", "other").await?;
    }
    mirror(&one, &target).await?;
    let (done, reason) = run(Mirror::new(&other, &target)).await?;
    ensure_eq!((reason, done.read), (Some(MirrorReason::OtherSource), 1));
    ensure_eq!(content(&target).await?, content(&other).await?);
    // And back: the position that was left behind first is not taken for this.
    let (done, reason) = run(Mirror::new(&one, &target)).await?;
    ensure_eq!((reason, done.read), (Some(MirrorReason::OtherSource), 1));
    ensure_eq!(content(&target).await?, content(&one).await?);
    // What others wrote to the target is seen when everything is compared.
    target.put("a", "by hand").await?;
    let (done, reason) = run(Mirror::new(&one, &target).compare()).await?;
    ensure_eq!((reason, done.copied), (Some(MirrorReason::Asked), 1));
    ensure_eq!(content(&target).await?, content(&one).await?);
    Ok(())
}

pub(super) async fn compacted(from: Side, to: Side) -> Proof {
    let from = from.open_own().await?;
    let to = to.open().await?;
    let (source, target) = (from.handle().await?, to.handle().await?);
    if !source.capabilities().contains(Capabilities::COMPACT) {
        return no_history(&source, &target).await;
    }
    for n in 0..20 {
        source.put(&format!("k/{n}"), "1").await?;
    }
    mirror(&source, &target).await?;
    source.delete("k/3").await?;
    source.put("k/4", "2").await?;
    let last = source.put("k/new", "1").await?.modified_index;
    source.compact(last).await?;
    let (done, reason) = run(Mirror::new(&source, &target)).await?;
    ensure_eq!(reason, Some(MirrorReason::Compacted));
    ensure_eq!((done.read, done.copied, done.deleted), (20, 2, 1));
    ensure_eq!(content(&target).await?, content(&source).await?);
    // From then on by changes again.
    source.put("k/5", "3").await?;
    let (done, reason) = run(Mirror::new(&source, &target)).await?;
    ensure_eq!((reason, done.read), (None, 1));
    ensure_eq!(content(&target).await?, content(&source).await?);
    Ok(())
}

/// Where nothing is kept to go on from, that is what is said.
async fn no_history(source: &Handle, target: &Handle) -> Proof {
    for n in 0..20 {
        source.put(&format!("k/{n}"), "1").await?;
    }
    mirror(source, target).await?;
    source.delete("k/3").await?;
    source.put("k/4", "2").await?;
    let mut changes = target.watch_tree("").await?;
    let (done, reason) = run(Mirror::new(source, target)).await?;
    ensure_eq!(reason, Some(MirrorReason::NoHistory));
    ensure_eq!((done.read, done.copied, done.deleted), (19, 1, 1));
    ensure_eq!(content(target).await?, content(source).await?);
    let mut seen = [next_change(&mut changes).await?, next_change(&mut changes).await?]
        .map(|event| event.pair().map(|pair| pair.key.clone()).unwrap_or_default());
    seen.sort();
    ensure_eq!(seen, ["k/3", "k/4"]);
    Ok(())
}
