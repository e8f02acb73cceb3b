use kvdb_core::prelude::*;
use kvdb_core::{Batch, Changes, Kvdb, Op, WatchSpec};
use tokio::sync::mpsc;

use futures_util::StreamExt;

use crate::help::{expect_next_key, soon};
use crate::{Ctx, Proof, ensure, ensure_eq};

/// Rounds of a race; each has a watch of its own.
const ROUNDS: usize = 200;

pub(super) async fn by_another_task(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    // A writer that is up already, so that its write follows the return as closely as can be.
    let (go, mut gone) = mpsc::unbounded_channel::<String>();
    let writer = tokio::spawn(async move {
        while let Some(key) = gone.recv().await {
            other.put(&key, "1").await?;
        }
        Ok::<_, Error>(())
    });
    for round in 0..ROUNDS {
        let key = format!("d{}/{round}", round % 3);
        let mut watch = match round % 2 {
            0 => kv.watch_key(&key).await?,
            _ => kv.watch_tree(&format!("d{}", round % 3)).await?,
        };
        go.send(key.clone())?;
        expect_next_key(&mut watch, &key).await?;
    }
    drop(go);
    writer.await??;
    Ok(())
}

/// The same for the store itself: written after the call, before the stream is looked at for the first time.
pub(super) async fn of_the_store(ctx: Ctx) -> Proof {
    let store = ctx.backend().await?;
    for round in 0..20 {
        let key = ctx.absolute(&format!("a{round}"));
        let spec = WatchSpec::new(kvdb_core::KeyRange::single(key.clone()), None, false);
        let mut feed = store.watch(&spec).await?;
        let put = Op::Put { key: key.clone(), value: "1".into(), lease: None, previous: false };
        let outcome = store.commit(&Batch { guards: Vec::new(), ops: vec![put] }).await?;
        let kvdb_core::Outcome::Committed { revision: written, .. } = outcome else {
            crate::fail!("a batch without guards is a conflict")
        };
        ensure!(
            written > feed.revision,
            "a write after registration at {written}, the feed began at {}",
            feed.revision
        );
        let told = soon("the feed tells the write", async {
            loop {
                match feed.changes.next().await {
                    Some(Ok(Changes::Progress(_))) => {}
                    told => return told,
                }
            }
        })
        .await?;
        let Some(Ok(Changes::Batch { revision, changes })) = told else { crate::fail!("the feed tells {told:?}") };
        ensure_eq!((revision, changes.len()), (written, 1));
    }
    Ok(())
}

pub(super) async fn second_reader(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    // The first reader keeps the shared upstream busy and does not read.
    let _first = kv.watch_tree("d").await?;
    for round in 0..ROUNDS {
        let (before, after) = (format!("d/before/{round}"), format!("d/after/{round}"));
        kv.put(&before, "1").await?;
        let mut second = kv.watch_tree("d").await?;
        let answered = kv.put(&after, "1").await?;
        let told = expect_next_key(&mut second, &after).await?;
        ensure_eq!(told.modified_index, answered.modified_index);
        ensure!(second.revision() < answered.modified_index, "began at {}", second.revision());
    }
    ensure!(!kv.capabilities().is_empty(), "no capabilities");
    Ok(())
}
