//! What must hold between any two stores.

use kvdb::prelude::*;
use kvdb::recipes::{Mirror, MirrorProgress, MirrorReason, MirrorStage};
use kvdb_core::Capabilities;
use kvdb_testsuite::help::{drop_after, eventually, soon};
use kvdb_testsuite::{Proof, ensure, ensure_eq};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Side, content};

/// Writers, and what each writes while the mirror runs.
const WRITERS: u64 = 4;
const WRITES: usize = 80;
/// Keys that are there before.
const KEYS: usize = 300;

/// One random change: small and larger values, deletions, transactions.
async fn change(kv: &Handle, rng: &mut StdRng) -> kvdb::Result<()> {
    let key = |rng: &mut StdRng| match rng.random_range(0..4) {
        0 => format!("k/{:03}", rng.random_range(0..KEYS)),
        1 => format!("k/{:03}/below", rng.random_range(0..20)),
        2 => format!("é \"{}\"", rng.random_range(0..20)),
        _ => format!("new/{}", rng.random_range(0..100)),
    };
    let name = key(rng);
    match rng.random_range(0..10) {
        0..3 => match kv.delete(&name).await {
            Err(error) if *error.kind() == ErrorKind::NotFound => Ok(()),
            other => other.map(drop),
        },
        3..6 => {
            let names: std::collections::BTreeSet<String> = (0..rng.random_range(1..8)).map(|_| key(rng)).collect();
            let ops = names.into_iter().map(|name| if rng.random_bool(0.3) { delete(name) } else { put(name, "txn") });
            ops.fold(kv.txn(), |txn, op| txn.then(op)).await.map(drop)
        }
        6 => kv.put(&name, vec![b'x'; rng.random_range(0..20_000)]).await.map(drop),
        _ => kv.put(&name, rng.random::<u64>().to_string()).await.map(drop),
    }
}

async fn fill(kv: &Handle, prefix: &str, keys: usize) -> kvdb::Result<()> {
    let pairs: Vec<KvPair> = (0..keys).map(|n| KvPair::new(format!("{prefix}/{n:03}"), format!("{n}"))).collect();
    kv.import(&pairs).await.map(drop)
}

pub(super) async fn under_writes(from: Side, to: Side) -> Proof {
    let (from, to) = (from.open().await?, to.open().await?);
    let (source, target) = (from.handle().await?, to.handle().await?);
    fill(&source, "k", KEYS).await?;
    fill(&target, "extra", 20).await?;
    target.put("k/007", "another").await?;
    let mirror = Mirror::new(&from.handle().await?, &target).run();
    let mirror = tokio::spawn(mirror);
    let mut writers = tokio::task::JoinSet::new();
    for seed in 0..WRITERS {
        let kv = source.clone();
        writers.spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            for _ in 0..WRITES {
                change(&kv, &mut rng).await?;
            }
            Ok::<_, kvdb::Error>(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    let wanted = content(&source).await?;
    ensure!(wanted.len() > KEYS / 2, "only {} keys are left to compare", wanted.len());
    let settled = eventually("both sides are equal", async || {
        ensure!(!mirror.is_finished(), "the mirror ended by itself");
        Ok(content(&target).await? == wanted)
    });
    let settled = settled.await;
    mirror.abort();
    match mirror.await {
        Ok(ended) => drop(ended?),
        Err(error) if error.is_cancelled() => {}
        Err(error) => return Err(error.into()),
    }
    settled
}

pub(super) async fn dropped(from: Side, to: Side) -> Proof {
    let (from, to) = (from.open().await?, to.open().await?);
    let (source, target) = (from.handle().await?, to.handle().await?);
    // More than one commit takes anywhere.
    const MANY: usize = 2_000;
    fill(&source, "k", MANY).await?;
    let mut rng = StdRng::seed_from_u64(7);
    let mut polls = 3;
    let mut last = None;
    for round in 0.. {
        ensure!(round < 200, "it never comes to its end");
        // As many that it gets a little further each time, and is dropped at every kind of await.
        polls += rng.random_range(1..=polls);
        let mirror = Mirror::new(&source, &target).wait(std::time::Duration::from_secs(60)).once().run();
        if let Some(done) = soon("a mirror", drop_after(mirror, polls)).await? {
            last = Some(done?);
            break;
        }
        change(&source, &mut rng).await?;
    }
    let last = last.unwrap_or_default();
    ensure_eq!(content(&target).await?, content(&source).await?);
    // Nothing was written since: a source with history has nothing to read again.
    let again = soon("a mirror", Mirror::new(&source, &target).once().run()).await??;
    let keeps = source.capabilities().contains(Capabilities::REVISION_READS | Capabilities::WATCH_RESUME);
    let read = if keeps { 0 } else { content(&source).await?.len() as u64 };
    ensure_eq!((again.read, again.copied, again.deleted), (read, 0, 0), "after {last:?}");
    // One key: one change.
    source.put("k/000", "changed").await?;
    let once = soon("a mirror", Mirror::new(&source, &target).once().run()).await??;
    let (stage, read) = if keeps {
        (MirrorStage::Following, 1)
    } else {
        (MirrorStage::Copying(MirrorReason::NoHistory), content(&source).await?.len() as u64)
    };
    let MirrorProgress { stage: found, read: was_read, copied, .. } = once;
    ensure_eq!((found, was_read, copied), (stage, read, 1));
    Ok(())
}
