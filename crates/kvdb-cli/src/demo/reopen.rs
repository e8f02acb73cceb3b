//! What was answered is still there when the store is closed and opened again.

use std::future::Future;

use kvdb::Capabilities;
use kvdb::prelude::*;

use super::report::{Line, Proof, Shown, ensure};
use crate::failure::Failure;

const PROMISE: &str = "close and reopen";

/// Closes the handle and answers the one that was opened then; a store that is not durable stays open.
pub(super) async fn show<F, Fut>(kv: Handle, base: &str, open: &F) -> Result<(Line, Handle), Failure>
where
    F: Fn() -> Fut,
    Fut: Future<Output = kvdb::Result<Handle>>,
{
    if !kv.capabilities().contains(Capabilities::DURABLE) {
        return Ok((Line::new(PROMISE, Ok(Proof::Absent(Capabilities::DURABLE))), kv));
    }
    let before = kv.list(base).listing().await;
    kv.close().await?;
    drop(kv);
    let kv = open().await?;
    let shown = compare(before, &kv, base).await;
    Ok((Line::new(PROMISE, shown), kv))
}

async fn compare(before: kvdb::Result<kvdb::Listing>, kv: &Handle, base: &str) -> Shown {
    let (before, after) = (before?, kv.list(base).listing().await?);
    let facts =
        |pair: &KvPair| (pair.key.clone(), pair.value.clone(), pair.created_index, pair.modified_index, pair.version);
    let kept = before.pairs.iter().map(facts).eq(after.pairs.iter().map(facts));
    ensure!(!before.pairs.is_empty(), "nothing was there to be kept");
    ensure!(kept, "of {} keys not all came back as they were", before.pairs.len());
    // By a write: what a listing tells may be the revision of its own keys alone.
    let (earlier, later) = (before.revision, kv.put(&format!("{base}/reopened"), "").await?.modified_index);
    ensure!(earlier < later, "the store went back from revision {earlier} to {later}");
    Ok(Proof::Held(format!("all {} keys came back with their values and revisions", before.pairs.len())))
}
