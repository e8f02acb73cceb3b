use kvdb_core::{Capabilities, ErrorKind, Handle, KvPair, Kvdb, KvdbExt, Revision};

use crate::chapter_03::fill;
use crate::help::{expect_error, expect_kind};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

pub(super) async fn limit_and_reverse(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    fill(&ctx, "d", 600, &[b'x'; 8000]).await?;
    let all = kv.list("d").names().await?;
    let keys = |pairs: Vec<KvPair>| pairs.into_iter().map(|pair| pair.key).collect::<Vec<_>>();
    let mut backwards = all.clone();
    backwards.reverse();
    ensure_eq!(keys(kv.list("d").reverse().await?), backwards);
    // Below, at and above a page's megabyte, and above all there is.
    for limit in [1, 2, 130, 131, 132, 599, 600, 601, usize::MAX] {
        let cut = limit.min(all.len());
        ensure_eq!(keys(kv.list("d").limit(limit).await?), all[..cut], "the first {limit}");
        ensure_eq!(keys(kv.list("d").limit(limit).reverse().await?), backwards[..cut], "the last {limit}");
        ensure_eq!(kv.list("d").limit(limit).names().await?, all[..cut], "the first {limit} names");
        ensure_eq!(kv.list("d").limit(limit).reverse().names().await?, backwards[..cut], "the last {limit} names");
    }
    ensure_eq!(kv.list("d").limit(0).await?.len(), 0, "the first none");
    ensure_eq!(kv.list("d").limit(0).names().await?.len(), 0);
    Ok(())
}

pub(super) async fn names_and_count(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    fill(&ctx, "d", 2500, b"1").await?;
    kv.put("e", "1").await?;
    let listing = kv.list("d").listing().await?;
    ensure_eq!((listing.pairs.len(), listing.names.len(), listing.count), (2500, 0, 2500), "a list of pairs");
    let names = kv.list("d").names().await?;
    let keys: Vec<String> = listing.pairs.into_iter().map(|pair| pair.key).collect();
    ensure_eq!(names, keys, "the names are those of the pairs");
    ensure_eq!(kv.list("d").count().await?, 2500);
    ensure_eq!(kv.count("d").await?, 2500);
    ensure_eq!(kv.count("").await?, 2501);
    ensure_eq!(kv.count("e").await?, 0);
    Ok(())
}

/// What every read at a revision must say of the small world that `history` writes.
async fn check_at(kv: &Handle, at: Revision, expected: &[(&str, &str)]) -> Proof {
    let pairs = kv.list("h").at(at).await?;
    let shown: Vec<(&str, &str)> =
        pairs.iter().map(|pair| (pair.key.as_str(), pair.text().unwrap_or_default())).collect();
    ensure_eq!(shown, expected, "the list at {at}");
    let names: Vec<&str> = expected.iter().map(|(key, _)| *key).collect();
    ensure_eq!(kv.list("h").at(at).names().await?, names, "the names at {at}");
    ensure_eq!(kv.list("h").at(at).count().await?, expected.len() as u64, "the count at {at}");
    let reversed = kv.list("h").at(at).reverse().limit(1).await?;
    ensure_eq!(reversed.first().map(|pair| pair.key.as_str()), names.last().copied(), "the last key at {at}");
    ensure_eq!(kv.list("h").at(at).listing().await?.revision, at, "the revision of the list at {at}");
    for key in ["h/a", "h/b"] {
        let found = kv.get(key).at(at).await?;
        let value = found.as_ref().map(|pair| pair.text().unwrap_or_default());
        let then = expected.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        ensure_eq!(value, then, "{key} at {at}");
        ensure!(found.is_none_or(|pair| pair.modified_index <= at), "{key} at {at} is of a later revision");
    }
    Ok(())
}

/// A small world: its states, each with the revision of the write that led to it.
async fn history(kv: &Handle) -> Proof<Vec<(Revision, Vec<(&'static str, &'static str)>)>> {
    let mut states = vec![(kv.put("other", "0").await?.modified_index, vec![])];
    states.push((kv.put("h/a", "1").await?.modified_index, vec![("h/a", "1")]));
    states.push((kv.put("h/b", "2").await?.modified_index, vec![("h/a", "1"), ("h/b", "2")]));
    states.push((kv.put("h/a", "3").await?.modified_index, vec![("h/a", "3"), ("h/b", "2")]));
    states.push((kv.delete("h/a").await?.modified_index, vec![("h/b", "2")]));
    states.push((kv.create("h/a", "4").await?.modified_index, vec![("h/a", "4"), ("h/b", "2")]));
    states.push((kv.put("other", "1").await?.modified_index, vec![("h/a", "4"), ("h/b", "2")]));
    kv.delete_tree("h").await?;
    states.push((kv.put("other", "2").await?.modified_index, vec![]));
    Ok(states)
}

pub(super) async fn at_a_past_revision(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let states = history(&kv).await?;
    for (at, expected) in &states {
        check_at(&kv, *at, expected).await?;
    }
    let incarnation = kv.get("h/a").at(states[3].0).await?.ok_or_else(|| Failure::new("h/a is absent then"))?;
    ensure_eq!(incarnation.created_index, states[1].0, "the created index then");
    ensure_eq!(incarnation.modified_index, states[3].0, "the modified index then");
    if ctx.has(Capabilities::KEY_VERSION) {
        ensure_eq!(incarnation.version, Some(2), "the version then");
    }
    Ok(())
}

pub(super) async fn future(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let now = kv.put("h/a", "1").await?.modified_index;
    let is_future = |kind: &ErrorKind| matches!(kind, ErrorKind::FutureRevision { current } if *current >= now);
    for above in [now.get() + 1_000_000, u64::MAX >> 1, u64::MAX] {
        expect_error(kv.get("h/a").at(above).await, "FutureRevision", is_future)?;
        expect_error(kv.get("absent").at(above).await, "FutureRevision", is_future)?;
        expect_error(kv.list("h").at(above).await, "FutureRevision", is_future)?;
        expect_error(kv.list("h").at(above).names().await, "FutureRevision", is_future)?;
        expect_error(kv.list("h").at(above).count().await, "FutureRevision", is_future)?;
        expect_error(kv.keys("h").at(above).await, "FutureRevision", is_future)?;
    }
    if ctx.store().counts_exactly() {
        let exactly = ErrorKind::FutureRevision { current: now };
        expect_kind(kv.get("h/a").at(now.next()).await, &exactly)?;
        expect_kind(kv.list("h").at(now.next()).await, &exactly)?;
    }
    check_at(&kv, now, &[("h/a", "1")]).await
}

/// Compacts before the state at `kept` and wants it and all later ones readable, the earlier ones refused.
async fn compact_and_check(kv: &Handle, states: &[(Revision, Vec<(&str, &str)>)], kept: usize) -> Proof {
    let oldest = states[kept].0;
    kv.compact(oldest).await?;
    check_compacted(kv, states, kept).await
}

async fn check_compacted(kv: &Handle, states: &[(Revision, Vec<(&str, &str)>)], kept: usize) -> Proof {
    let oldest = states[kept].0;
    let compacted = ErrorKind::Compacted { oldest };
    for (at, expected) in &states[kept..] {
        check_at(kv, *at, expected).await?;
    }
    for (at, _) in &states[..kept] {
        expect_kind(kv.get("h/a").at(*at).await, &compacted)?;
        expect_kind(kv.get("absent").at(*at).await, &compacted)?;
        expect_kind(kv.list("h").at(*at).await, &compacted)?;
        expect_kind(kv.list("h").at(*at).names().await, &compacted)?;
        expect_kind(kv.list("h").at(*at).count().await, &compacted)?;
        expect_kind(kv.keys("h").at(*at).await, &compacted)?;
    }
    Ok(())
}

pub(super) async fn compacted(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let states = history(&kv).await?;
    // State 4 is a deletion's: a read there still works, and shows the key absent.
    for kept in [1, 3, 4, 5, states.len() - 1] {
        compact_and_check(&kv, &states, kept).await?;
    }
    ensure_eq!(kv.get("other").await?.map(|pair| pair.value), Some("2".into()), "what is live after compaction");
    Ok(())
}

pub(super) async fn over_a_restart(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let states = history(&kv).await?;
    kv.close().await?;
    ctx.restart().await?;
    let kv = ctx.open().await?;
    for (at, expected) in &states {
        check_at(&kv, *at, expected).await?;
    }
    Ok(())
}

pub(super) async fn compaction_over_a_restart(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let states = history(&kv).await?;
    compact_and_check(&kv, &states, 4).await?;
    kv.close().await?;
    ctx.restart().await?;
    let kv = ctx.open().await?;
    check_compacted(&kv, &states, 4).await?;
    let after = kv.put("other", "3").await?.modified_index;
    ensure!(after > states[states.len() - 1].0, "a revision was used twice");
    Ok(())
}

pub(super) async fn at_unsupported(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let at = kv.put("h/a", "1").await?.modified_index;
    let lacking = ErrorKind::Unsupported(Capabilities::REVISION_READS);
    expect_kind(kv.get("h/a").at(at).await, &lacking)?;
    expect_kind(kv.list("h").at(at).await, &lacking)?;
    expect_kind(kv.list("h").at(at).names().await, &lacking)?;
    expect_kind(kv.list("h").at(at).count().await, &lacking)?;
    let error = expect_kind(kv.keys("h").at(at).await, &lacking)?;
    ensure!(error.to_string().contains("REVISION_READS"), "the capability is not named: {error}");
    ensure_eq!(kv.list("h").await?.len(), 1, "reading the present state needs no history");
    Ok(())
}
