use std::ops::Bound::Unbounded;

use kvdb_core::{Batch, DeleteOptions, ErrorKind, Event, Kvdb, KvdbExt, Op, Read, Target};

use crate::help::{expect_kind, expect_next_key, next_event};
use crate::verbs::{KEY_VERBS, LOCK_VERBS, PREFIX_VERBS, with_key, with_lock_name, with_prefix};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

const RESERVED: &[&str] = &["_kvdb", "_kvdb/x", "a/_kvdb", "a/_kvdb/x", "a/b/_kvdb/c/d", "a/_kvdb/_kvdb"];

pub(super) async fn refused(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for key in RESERVED.iter().chain(&["/_kvdb", "//a//_kvdb//", "_kvdb/"]) {
        for verb in KEY_VERBS {
            expect_kind(with_key(&kv, verb, key, "1".into()).await, &ErrorKind::InvalidArgument)
                .map_err(|failure| Failure::new(format_args!("{verb} {key:?}: {failure}")))?;
        }
        for verb in PREFIX_VERBS {
            expect_kind(with_prefix(&kv, verb, key).await, &ErrorKind::InvalidArgument)
                .map_err(|failure| Failure::new(format_args!("{verb} {key:?}: {failure}")))?;
        }
        for verb in LOCK_VERBS {
            expect_kind(with_lock_name(&kv, verb, key).await, &ErrorKind::InvalidArgument)
                .map_err(|failure| Failure::new(format_args!("{verb} {key:?}: {failure}")))?;
        }
    }
    Ok(())
}

/// Writes keys under the reserved segment beside the engine, as the engine's own bookkeeping does.
async fn write_reserved(ctx: &Ctx) -> Proof {
    let store = ctx.backend().await?;
    for key in RESERVED {
        let op = Op::Put { key: ctx.absolute(key), value: "hidden".into(), lease: None, previous: false };
        store.commit(&Batch { guards: Vec::new(), ops: vec![op] }).await?;
    }
    Ok(())
}

pub(super) async fn invisible(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut tree = kv.watch_tree("").await?;
    let mut below = kv.watch_tree("a").await?;
    let mut range = kv.watch_range(Unbounded, Unbounded).await?;
    write_reserved(&ctx).await?;
    ensure_eq!(kv.list("").await?, [], "list of the domain");
    ensure_eq!(kv.list("a").await?, [], "list of a");
    ensure_eq!(kv.list("").reverse().await?, []);
    ensure_eq!(kv.list("").names().await?, [""; 0]);
    ensure_eq!(kv.list_range(Unbounded, Unbounded).await?, [], "list of the unbounded range");
    ensure_eq!(kv.list_range(std::ops::Bound::Included("_"), Unbounded).names().await?, [""; 0]);
    ensure_eq!(kv.count("").await?, 0, "count");
    ensure_eq!(kv.count("a").await?, 0);
    ensure_eq!(kv.keys("").await?, [""; 0], "keys");
    ensure_eq!(kv.keys("a").await?, [""; 0]);
    ensure_eq!(kv.keys("").separator(":").await?, [""; 0], "keys with a separator");
    ensure_eq!(kv.keys("a/").separator(":").await?, [""; 0]);
    let mut current = kv.watch_tree("").current().await?;
    let first = next_event(&mut current).await?;
    ensure!(matches!(first, Event::Synced(_)), "the present state holds {first:?}");
    for key in ["a/a", "a/_a", "a/b/c", "a/c", "_k", "_l"] {
        kv.put(key, "1").await?;
    }
    let visible = ["_k", "_l", "a/_a", "a/a", "a/b/c", "a/c"];
    for limit in 0..=visible.len() + 1 {
        let cut = limit.min(visible.len());
        if limit > 0 {
            ensure_eq!(kv.list("").limit(limit).names().await?, visible[..cut], "the first {limit}");
            let pairs = kv.list("").limit(limit).reverse().await?;
            let keys: Vec<&str> = pairs.iter().map(|pair| pair.key.as_str()).collect();
            let expected: Vec<&str> = visible.iter().rev().take(cut).copied().collect();
            ensure_eq!(keys, expected, "the last {limit}");
        }
    }
    ensure_eq!(kv.count("").await?, visible.len() as u64);
    ensure_eq!(kv.keys("a").await?, ["_a", "a", "b", "c"]);
    for watch in [&mut tree, &mut range, &mut current] {
        expect_next_key(watch, "a/a").await?;
    }
    expect_next_key(&mut below, "a/a").await?;
    Ok(())
}

pub(super) async fn survives_deletion(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    write_reserved(&ctx).await?;
    kv.put("a/b/x", "1").await?;
    kv.put("a/x", "1").await?;
    ensure_eq!(kv.delete_tree("a/b").await?, 1);
    ensure_eq!(kv.delete_tree("a").await?, 1);
    ensure_eq!(kv.delete_tree("").await?, 0);
    kv.put("a/b/x", "1").await?;
    kv.put("z", "1").await?;
    let everything = Target::Range(Unbounded, Unbounded);
    ensure_eq!(kv.delete_opts(everything, DeleteOptions::default()).await?.removed, 2);
    kv.put("a/b/x", "1").await?;
    ensure_eq!(kv.delete_tree("").await?, 1);
    let store = ctx.backend().await?;
    for key in RESERVED {
        let fetched = store.get(&ctx.absolute(key), &Read::default()).await?;
        ensure!(fetched.entry.is_some(), "{key} was deleted");
    }
    Ok(())
}
