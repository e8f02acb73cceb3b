//! Answers that are lost, writes that come late, and a mirror that does not know that it is none any more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use kvdb::prelude::*;
use kvdb::recipes::{Mirror, MirrorReason, MirrorStage};
use kvdb::{Batch, Capabilities, Error, Key, KeyRange, Op, Retry, Scan};
use kvdb_testsuite::decorate::{Call, Fault};
use kvdb_testsuite::help::{eventually, soon};
use kvdb_testsuite::{Proof, ensure, ensure_eq};
use tokio::sync::oneshot;

use super::{Side, content};

/// Whether a call writes the mirror's position.
fn keeps_position(call: &Call) -> bool {
    matches!(call, Call::Commit(_) | Call::NativeTxn(_)) && format!("{call:?}").contains("_kvdb/mirror/")
}

fn ambiguous() -> Error {
    Error::new(ErrorKind::Unavailable, "the answer was lost").with_retry(Retry::Ambiguous)
}

async fn fill(kv: &Handle, keys: usize, value: &str) -> kvdb::Result<()> {
    let pairs: Vec<KvPair> = (0..keys).map(|n| KvPair::new(format!("k/{n:04}"), value.to_owned())).collect();
    kv.import(&pairs).await.map(drop)
}

pub(super) async fn lost_answers(from: Side, to: Side) -> Proof {
    let (from, to) = (from.open().await?, to.open().await?);
    let source = from.handle().await?;
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    let target = to
        .faulty(move |call| match keeps_position(call) {
            true => match counting.fetch_add(1, Ordering::SeqCst) % 4 {
                1 => Fault::LoseReply(ambiguous()),
                2 => Fault::Refuse(ambiguous()),
                _ => Fault::None,
            },
            false => Fault::None,
        })
        .await?;
    fill(&source, 1_200, "1").await?;
    let mirror = |from: &Handle| Mirror::new(from, &target).once().run();
    let done = soon("a mirror", mirror(&source)).await??;
    ensure!(count.load(Ordering::SeqCst) >= 4, "no answer was lost");
    let plain = to.handle().await?;
    ensure_eq!(content(&plain).await?, content(&source).await?);
    // What was written although nobody said so is not written again.
    ensure!(plain.list("").await?.iter().all(|pair| pair.version.is_none_or(|version| version == 1)));
    // What was copied before a fault is not read again where it can be read on from there.
    let keeps = source.capabilities().contains(Capabilities::REVISION_READS | Capabilities::WATCH_RESUME);
    ensure!(!keeps || done.read < 1_200 + 4 * 1_000, "{done:?}");
    for round in 0..8 {
        source.put("k/0001", format!("{round}")).await?;
        soon("a mirror", mirror(&source)).await??;
        ensure_eq!(content(&plain).await?, content(&source).await?, "after {round}");
    }
    Ok(())
}

/// A commit is given up for lost, the mirror goes on without it, and then it arrives.
pub(super) async fn late(from: Side, to: Side) -> Proof {
    let (from, to) = (from.open().await?, to.open().await?);
    let source = from.handle().await?;
    let (go, gone) = oneshot::channel();
    let (done, arrived) = oneshot::channel();
    let armed = Arc::new(Mutex::new(None));
    let shot = Arc::clone(&armed);
    let target = to
        .faulty(move |call| match keeps_position(call).then(|| shot.lock().unwrap().take()).flatten() {
            Some((go, done)) => Fault::Late { answer: ambiguous(), go, done },
            None => Fault::None,
        })
        .await?;
    source.put("a", "1").await?;
    let running = tokio::spawn(Mirror::new(&source, &target).run());
    let plain = to.handle().await?;
    eventually("it follows", async || Ok(plain.get("a").await?.is_some())).await?;
    *armed.lock().unwrap() = Some((gone, done));
    source.put("a", "2").await?;
    eventually("the commit is under way", async || Ok(armed.lock().unwrap().is_none())).await?;
    source.put("a", "3").await?;
    let third = async || Ok(plain.get("a").await?.is_some_and(|pair| pair.text() == Some("3")));
    eventually("it went on", third).await?;
    ensure!(go.send(()).is_ok(), "nobody waits for the late commit");
    soon("the late commit arrives", arrived).await??;
    ensure_eq!(content(&plain).await?, content(&source).await?, "the late commit wrote");
    source.put("a", "4").await?;
    let fourth = async || Ok(plain.get("a").await?.is_some_and(|pair| pair.text() == Some("4")));
    let went_on = eventually("it goes on", fourth).await;
    running.abort();
    went_on
}

/// Its keep-alives never arrive: the lock runs out, another one mirrors, and the first must not write over it.
pub(super) async fn stale(from: Side, to: Side) -> Proof {
    let (from, to) = (from.open().await?, to.open().await?);
    let (source, other) = (from.handle().await?, from.handle().await?);
    let silent = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let held = Arc::clone(&silent);
    // Nothing that the first one says arrives, except what it writes.
    let target = to
        .faulty(move |call| match call {
            Call::KeepAlive(_) if held.load(Ordering::SeqCst) => Fault::Refuse(ambiguous()),
            _ => Fault::None,
        })
        .await?;
    source.put("a", "1").await?;
    let limits = target.limits();
    let ttl = Duration::from_secs(1).clamp(limits.ttl_min, limits.ttl_max.unwrap_or(Duration::MAX));
    let first = tokio::spawn(Mirror::new(&source, &target).ttl(ttl).wait(Duration::ZERO).run());
    let plain = to.handle().await?;
    eventually("it follows", async || Ok(plain.get("a").await?.is_some())).await?;
    silent.store(true, Ordering::SeqCst);
    let second = tokio::spawn(Mirror::new(&other, &plain).id("second").wait(Duration::from_secs(120)).run());
    // It gets in when the first one's lock has run out; then the first one is refused, by name.
    let ended = soon("the first one ends", first).await??;
    let error = ended.err().map(|error| error.kind().clone());
    ensure!(matches!(&error, Some(ErrorKind::LockTimeout { .. })), "the first one ended with {error:?}");
    source.put("a", "2").await?;
    let written = async || Ok(plain.get("a").await?.is_some_and(|pair| pair.text() == Some("2")));
    let written = eventually("the second one mirrors", written).await;
    ensure!(!second.is_finished(), "the second one ended");
    second.abort();
    written
}

/// Somebody else's position, put there under its lock: it must not go on as if that were its own.
pub(super) async fn position_changed(from: Side, to: Side) -> Proof {
    let (from, to) = (from.open().await?, to.open().await?);
    let (source, target) = (from.handle().await?, to.handle().await?);
    source.put("a", "1").await?;
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&reasons);
    let mirror = Mirror::new(&source, &target).on_progress(move |progress| {
        if let MirrorStage::Copying(reason) = progress.stage {
            telling.lock().unwrap().push(reason);
        }
    });
    let running = tokio::spawn(mirror.run());
    eventually("it follows", async || Ok(target.get("a").await?.is_some())).await?;
    let position = Key::from(format!("{}/_kvdb/mirror/_kvdb", to.domain));
    let backend = to.place.connect(&Options::new()).await?;
    let value = Bytes::from_static(b"{}");
    let put = Op::Put { key: position, value, lease: None, previous: false };
    backend.commit(&Batch { guards: Vec::new(), ops: vec![put] }).await?;
    source.put("a", "2").await?;
    let second = async || Ok(target.get("a").await?.is_some_and(|pair| pair.text() == Some("2")));
    let went_on = eventually("it goes on", second).await;
    running.abort();
    went_on?;
    let reasons = reasons.lock().unwrap().clone();
    ensure!(reasons.contains(&MirrorReason::OtherSource), "it went on with a position of others: {reasons:?}");
    Ok(())
}

/// Its lock is taken away, and nothing tells it: with its next write it notices, and takes the lock anew.
pub(super) async fn lock_taken(from: Side, to: Side) -> Proof {
    let (from, to) = (from.open().await?, to.open().await?);
    let source = from.handle().await?;
    let locks = format!("{}/_kvdb/lock/", to.domain);
    let watched = locks.clone();
    let target = to
        .faulty(move |call| match call {
            Call::Watch(spec) if format!("{:?}", spec.range).contains(&watched) => Fault::Stall,
            _ => Fault::None,
        })
        .await?;
    source.put("a", "1").await?;
    let running = tokio::spawn(Mirror::new(&source, &target).id("me").run());
    let plain = to.handle().await?;
    eventually("it follows", async || Ok(plain.get("a").await?.is_some())).await?;
    let held = plain.lock_holder("kvdb-mirror").await?.map(|holder| (holder.id, holder.token));
    ensure_eq!(held.as_ref().map(|(id, _)| id.as_str()), Some("me"));
    let backend = to.place.connect(&Options::new()).await?;
    let pages = backend.list(&KeyRange::prefix(locks.as_bytes()), &Scan::default());
    let pages: Vec<_> = pages.try_collect().await?;
    let keys =
        pages.into_iter().flat_map(|page| page.entries).map(|entry| Op::Delete { key: entry.key, previous: false });
    let taken = Batch { guards: Vec::new(), ops: keys.collect() };
    ensure_eq!(taken.ops.len(), 1, "keys of the lock");
    backend.commit(&taken).await?;
    source.put("a", "2").await?;
    let second = async || Ok(plain.get("a").await?.is_some_and(|pair| pair.text() == Some("2")));
    let went_on = eventually("it goes on", second).await;
    let now = plain.lock_holder("kvdb-mirror").await?.map(|holder| (holder.id, holder.token));
    running.abort();
    went_on?;
    ensure!(now.is_some() && now != held, "it wrote without its lock: {held:?}, then {now:?}");
    Ok(())
}
