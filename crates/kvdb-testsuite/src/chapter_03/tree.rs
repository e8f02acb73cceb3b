use kvdb_core::{Batch, Event, KvdbExt, Op};

use crate::help::next_event;
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn removes_the_directory(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    ensure_eq!(kv.delete_tree("d").await?, 0, "keys removed of an absent directory");
    for round in 0..2 {
        for key in ["d", "d-", "d0", "dd/x", "c/d/x", "d/a", "d/b", "d/b/c", "d/b/c/e", "d/\u{10ffff}"] {
            kv.put(key, "1").await?;
        }
        ensure_eq!(kv.delete_tree("d").await?, 5, "keys removed in round {round}");
        ensure_eq!(kv.list("").names().await?, ["c/d/x", "d", "d-", "d0", "dd/x"], "what is left");
        ensure_eq!(kv.keys("d").await?, [""; 0], "directories that are left");
        ensure_eq!(kv.delete_tree("d").await?, 0, "keys removed the second time");
    }
    Ok(())
}

/// Writes `count` keys below `dir` in batches as large as the store takes.
pub(crate) async fn fill(ctx: &Ctx, dir: &str, count: usize, value: &[u8]) -> Proof {
    let store = ctx.backend().await?;
    let limits = store.limits();
    let each = value.len() + ctx.domain().len() + dir.len() + 32;
    let batch = limits.batch_ops.min(limits.batch_bytes / each).clamp(1, 500);
    for start in (0..count).step_by(batch) {
        let ops = (start..count.min(start + batch))
            .map(|at| Op::Put {
                key: ctx.absolute(&format!("{dir}/{at:06}")),
                value: value.to_vec().into(),
                lease: None,
                previous: false,
            })
            .collect();
        store.commit(&Batch { guards: Vec::new(), ops }).await?;
    }
    Ok(())
}

pub(super) async fn many_keys(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    fill(&ctx, "d/many", 3000, b"1").await?;
    kv.put("d", "1").await?;
    kv.put("e", "1").await?;
    ensure_eq!(kv.count("d").await?, 3000);
    ensure_eq!(kv.delete_tree("d").await?, 3000);
    ensure_eq!(kv.list("").names().await?, ["d", "e"]);
    Ok(())
}

pub(super) async fn one_step(ctx: Ctx) -> Proof {
    const KEYS: usize = 300;
    let kv = ctx.open().await?;
    for _ in 0..5 {
        fill(&ctx, "d", KEYS, b"1").await?;
        let mut watch = kv.watch_tree("d").await?;
        let deleting = tokio::spawn({
            let kv = kv.clone();
            async move { kv.delete_tree("d").await }
        });
        while !deleting.is_finished() {
            let seen = kv.list("d").names().await?.len();
            ensure!(seen == KEYS || seen == 0, "a list shows {seen} of {KEYS} keys while they are deleted together");
            tokio::task::yield_now().await;
        }
        ensure_eq!(deleting.await??, KEYS as u64);
        let mut revision = None;
        for _ in 0..KEYS {
            let Event::Delete(gone) = next_event(&mut watch).await? else { crate::fail!("expected deletions alone") };
            let first = *revision.get_or_insert(gone.modified_index);
            ensure_eq!(gone.modified_index, first, "the revision of one of the deletions");
        }
    }
    Ok(())
}
