use std::collections::BTreeSet;
use std::time::Duration;

use kvdb_core::{Batch, ErrorKind, Guard, Handle, KvFlags, KvPair, Kvdb, KvdbExt, Revision};

use crate::help::expect_kind;
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn rising(ctx: Ctx) -> Proof {
    let one = ctx.open().await?;
    let other = ctx.open_in(&format!("{}/other", ctx.domain())).await?;
    let mut last = Revision::ZERO;
    for round in 0..20 {
        let value = round.to_string();
        let revisions = [
            one.put("a", value.as_str()).await?.modified_index,
            other.put("a", value.as_str()).await?.modified_index,
            one.create("b", value.as_str()).await?.modified_index,
            one.update("b", value.as_str()).await?.modified_index,
            one.delete("b").await?.modified_index,
        ];
        for revision in revisions {
            ensure!(revision > last, "revision {revision} follows {last}");
            last = revision;
        }
    }
    Ok(())
}

pub(super) async fn of_racing_writers(ctx: Ctx) -> Proof {
    const WRITERS: usize = 8;
    const WRITES: usize = 25;
    let kv = ctx.open().await?;
    let before = kv.put("start", "1").await?.modified_index;
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let kv = kv.clone();
            tokio::spawn(async move {
                let mut taken = Vec::new();
                for write in 0..WRITES {
                    // Half of them meet on one key.
                    let key = if write % 2 == 0 { "shared".to_owned() } else { format!("own/{writer}") };
                    taken.push(kv.put(&key, write.to_string()).await?.modified_index);
                }
                Ok::<_, kvdb_core::Error>(taken)
            })
        })
        .collect();
    let mut all = BTreeSet::new();
    for task in tasks {
        let taken = task.await??;
        ensure!(taken.is_sorted_by(|a, b| a < b), "one writer's revisions do not rise: {taken:?}");
        all.extend(taken);
    }
    ensure_eq!(all.len(), WRITERS * WRITES, "different revisions");
    if ctx.store().counts_exactly() {
        let first = all.first().copied().unwrap_or_default();
        let last = all.last().copied().unwrap_or_default();
        ensure_eq!(first, before.next(), "the first revision of the race");
        ensure_eq!(last.get() - before.get(), (WRITERS * WRITES) as u64, "revisions that the race took");
    }
    Ok(())
}

/// The store's revision, as a read of any key tells it.
async fn present(ctx: &Ctx) -> Proof<Revision> {
    Ok(ctx.backend().await?.get(&ctx.absolute("present"), &kvdb_core::Read::default()).await?.revision)
}

async fn takes(ctx: &Ctx, expected: u64, what: &str, call: impl Future<Output = Proof> + Send) -> Proof {
    let before = present(ctx).await?;
    call.await?;
    let after = present(ctx).await?;
    if ctx.store().counts_exactly() {
        ensure_eq!(after.get() - before.get(), expected, "revisions that {what} takes");
    } else {
        ensure!(after >= before, "{what} takes the revision back from {before} to {after}");
    }
    Ok(())
}

pub(super) async fn counted_exactly(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    if ctx.store().counts_exactly() {
        ensure_eq!(present(&ctx).await?, Revision::new(1), "the empty store's revision");
        ensure_eq!(kv.list("").listing().await?.revision, Revision::new(1));
        ensure_eq!(kv.put("first", "1").await?.modified_index, Revision::new(2), "the first write's revision");
    }
    takes(&ctx, 1, "a put", async {
        kv.put("a", "1").await?;
        Ok(())
    })
    .await?;
    takes(&ctx, 1, "an equal put", async {
        kv.put("a", "1").await?;
        Ok(())
    })
    .await?;
    takes(&ctx, 1, "a create", async {
        kv.create("b/1", "1").await?;
        Ok(())
    })
    .await?;
    takes(&ctx, 1, "an update", async {
        kv.update("b/1", "2").await?;
        Ok(())
    })
    .await?;
    takes(&ctx, 1, "a compare_and_set", async {
        let pair = kv.get("a").await?.unwrap_or(KvPair::new("a", ""));
        kv.compare_and_set(&pair, KvFlags::MODIFIED_INDEX, None).await?;
        Ok(())
    })
    .await?;
    takes(&ctx, 1, "a delete", async {
        kv.delete("a").await?;
        Ok(())
    })
    .await?;
    kv.put("b/2", "1").await?;
    kv.put("b/3", "1").await?;
    takes(&ctx, 1, "a delete_tree of three keys", async {
        ensure_eq!(kv.delete_tree("b").await?, 3);
        Ok(())
    })
    .await
}

pub(super) async fn nothing_else_takes_any(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let pair = kv.put("a", "1").await?;
    kv.put("a", "2").await?;
    takes(&ctx, 0, "reading", async {
        kv.get("a").await?;
        kv.list("").await?;
        kv.count("").await?;
        drop(kv.watch_tree("").await?);
        Ok(())
    })
    .await?;
    takes(&ctx, 0, "a refused write", async {
        expect_kind(kv.create("a", "1").await, &ErrorKind::AlreadyExists)?;
        expect_kind(kv.update("absent", "1").await, &ErrorKind::NotFound)?;
        expect_kind(kv.delete("absent").await, &ErrorKind::NotFound)?;
        expect_kind(kv.put("a", "1").if_unchanged(&pair).await, &ErrorKind::Modified)?;
        expect_kind(kv.put("a", "1").if_value("7").await, &ErrorKind::ValueMismatch)?;
        ensure!(!kv.test_and_set("a", "7", "8").await?, "test_and_set of another value");
        expect_kind(kv.put("..", "1").await, &ErrorKind::InvalidArgument)?;
        Ok(())
    })
    .await?;
    takes(&ctx, 0, "deleting an empty directory", async {
        ensure_eq!(kv.delete_tree("nothing").await?, 0);
        Ok(())
    })
    .await?;
    takes(&ctx, 0, "a pure check", async {
        let store = ctx.backend().await?;
        store.commit(&Batch { guards: vec![Guard::Present(ctx.absolute("a"))], ops: Vec::new() }).await?;
        store.commit(&Batch { guards: vec![Guard::Absent(ctx.absolute("a"))], ops: Vec::new() }).await?;
        Ok(())
    })
    .await?;
    if ctx.has(kvdb_core::Capabilities::LEASES) {
        takes(&ctx, 0, "a lease without keys", async {
            let lease = kv.lease(ctx.ttl(Duration::from_secs(30))).await?;
            kv.lease_keep_alive(&lease.id, Default::default()).await?;
            kv.lease_revoke(&lease.id, Default::default()).await?;
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn state(kv: &Handle) -> Proof<Vec<KvPair>> {
    let mut pairs = kv.list("").await?;
    for pair in &mut pairs {
        // How far the answer reaches is the read's own.
        pair.kvdb_index = Revision::ZERO;
    }
    Ok(pairs)
}

pub(super) async fn kept_over_a_restart(ctx: Ctx) -> Proof {
    let mut last = Revision::ZERO;
    for round in 0..3 {
        let kv = ctx.open().await?;
        let found = present(&ctx).await?;
        ensure!(found >= last, "the revision went back from {last} to {found}");
        let after = kv.put("a", round.to_string()).await?.modified_index;
        ensure!(after > last, "revision {after} was used before");
        if ctx.store().counts_exactly() && round > 0 {
            ensure_eq!(after, last.next(), "the first write after a restart");
        }
        kv.create(&format!("keep/{round}"), "1").await?;
        kv.create("gone", "1").await?;
        // The last commit before the restart leaves nothing but its revision.
        last = kv.delete("gone").await?.modified_index;
        let before = state(&kv).await?;
        kv.close().await?;
        ctx.restart().await?;
        let kv = ctx.open().await?;
        ensure_eq!(state(&kv).await?, before, "the pairs after a restart");
        kv.close().await?;
    }
    Ok(())
}
