use kvdb_core::{Capabilities, ErrorKind, KvdbExt};

use crate::help::{expect_error, expect_kind};
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn compact(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let first = kv.put("k", "1").await?.modified_index;
    let second = kv.put("k", "2").await?.modified_index;
    for before in [second, second, first, 1.into(), 0.into(), second] {
        kv.compact(before).await?;
    }
    let to_come = |kind: &ErrorKind| matches!(kind, ErrorKind::FutureRevision { current } if *current >= second);
    for before in [second.get() + 1_000_000, u64::MAX] {
        expect_error(kv.compact(before).await, "FutureRevision", to_come)?;
    }
    if ctx.store().counts_exactly() {
        expect_kind(kv.compact(second.next()).await, &ErrorKind::FutureRevision { current: second })?;
    }
    let third = kv.put("k", "3").await?.modified_index;
    kv.compact(third).await?;
    ensure_eq!(kv.get("k").await?.map(|pair| pair.modified_index), Some(third));
    Ok(())
}

pub(super) async fn keeps_what_is_live(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut watch = kv.watch_tree("").await?;
    kv.put("old", "1").await?;
    for round in 0..50 {
        kv.put("k", round.to_string()).await?;
        kv.put("here and gone", "1").await?;
        kv.delete("here and gone").await?;
    }
    let before = kv.list("").listing().await?;
    kv.compact(before.revision).await?;
    let after = kv.list("").listing().await?;
    ensure_eq!(after.pairs.len(), before.pairs.len());
    for (after, before) in after.pairs.iter().zip(&before.pairs) {
        ensure_eq!((&after.key, &after.value), (&before.key, &before.value));
        ensure_eq!(
            (after.created_index, after.modified_index, after.version),
            (before.created_index, before.modified_index, before.version),
            "the indexes of {}",
            after.key
        );
    }
    // A watch that was open and up to date goes on.
    let marker = kv.put("marker", "1").await?.modified_index;
    loop {
        match crate::help::soon("the marker", watch.next()).await? {
            Some(Ok(event)) if event.pair().is_some_and(|pair| pair.modified_index == marker) => break,
            Some(Ok(_)) => {}
            // It had not read everything: history that it still needed is gone, and it says so.
            Some(Err(error)) => {
                ensure!(matches!(error.kind(), ErrorKind::Compacted { .. }), "the watch failed: {error:?}");
                break;
            }
            None => crate::fail!("the watch ended without a reason"),
        }
    }
    Ok(())
}

pub(super) async fn unsupported(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let revision = kv.put("k", "1").await?.modified_index;
    for before in [0.into(), revision, kvdb_core::Revision::MAX] {
        let error = expect_kind(kv.compact(before).await, &ErrorKind::Unsupported(Capabilities::COMPACT))?;
        ensure!(error.to_string().contains("COMPACT"), "the capability is not named: {error}");
    }
    Ok(())
}
