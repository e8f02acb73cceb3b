use std::collections::BTreeMap;

use kvdb_core::prelude::*;
use kvdb_core::{Kvdb, Options};

use super::writers::{MARKER, Writers, mark};
use crate::help::next_event;
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

/// A handle over the store whose feeds are atomic cuts.
async fn unordered(ctx: &Ctx) -> Proof<Handle> {
    let (kv, _) = Tap::without(ctx.backend().await?, Capabilities::ORDERED_UPDATES).serve(ctx, Options::new())?;
    ensure!(!kv.capabilities().contains(Capabilities::ORDERED_UPDATES), "the store still tells ORDERED_UPDATES");
    Ok(kv)
}

pub(super) async fn series(ctx: Ctx) -> Proof {
    let kv = unordered(&ctx).await?;
    let mut watch = kv.watch_tree("w").await?;
    let mut told: BTreeMap<String, (Revision, Option<Bytes>)> = BTreeMap::new();
    let truth = Writers::start(&kv, 6, 60).finish().await?;
    let marker = mark(&kv).await?;
    let mut given = watch.revision();
    let mut cut: Vec<(bool, KvPair)> = Vec::new();
    let mut cuts = 0;
    loop {
        match next_event(&mut watch).await? {
            Event::Put(pair) => cut.push((false, pair)),
            Event::Delete(pair) | Event::Expire(pair) => cut.push((true, pair)),
            Event::Progress(revision) => {
                one_cut(&cut, given, revision)?;
                cuts += usize::from(!cut.is_empty());
                given = revision;
                for (gone, pair) in cut.drain(..) {
                    told.insert(pair.key, (pair.modified_index, (!gone).then_some(pair.value)));
                }
                if given >= marker.modified_index {
                    break;
                }
            }
            event => crate::fail!("unasked {event:?}"),
        }
    }
    ensure!(cuts > 10, "only {cuts} cuts, this proves little");
    // The last state of every key has arrived, removed keys included.
    let mut last = BTreeMap::new();
    for write in truth.above(Revision::ZERO, |_| true) {
        last.insert(write.key, write.value);
    }
    last.insert(MARKER.to_owned(), Some(marker.value));
    for (key, value) in last {
        let arrived = told.get(&key).and_then(|(_, value)| value.clone());
        ensure_eq!(arrived, value, "last state of {key}");
    }
    Ok(())
}

/// Puts by modified index, then deletions with the cut's revision; everything above what was given and up to it.
fn one_cut(cut: &[(bool, KvPair)], given: Revision, revision: Revision) -> Proof {
    ensure!(revision >= given, "Progress({revision}) after Progress({given})");
    ensure!(cut.is_sorted_by_key(|(gone, pair)| (*gone, pair.modified_index)), "not in order: {cut:?}");
    for (gone, pair) in cut {
        ensure!(pair.modified_index > given, "{} at {} after Progress({given})", pair.key, pair.modified_index);
        ensure!(pair.modified_index <= revision, "{} at {} before Progress({revision})", pair.key, pair.modified_index);
        ensure!(!*gone || pair.modified_index == revision, "{} deleted at {}", pair.key, pair.modified_index);
    }
    let mut names: Vec<_> = cut.iter().map(|(_, pair)| &pair.key).collect();
    names.sort();
    names.dedup();
    ensure_eq!(names.len(), cut.len(), "a key is told twice in one cut");
    Ok(())
}

pub(super) async fn last_states(ctx: Ctx) -> Proof {
    let kv = unordered(&ctx).await?;
    let first = kv.put("d/recreated", "1").await?;
    kv.put("d/gone", "1").await?;
    let mut watch = kv.watch_tree("d").await?;
    for n in 0..200 {
        kv.put("d/often", format!("{n}")).await?;
    }
    kv.delete("d/recreated").await?;
    let second = kv.put("d/recreated", "2").await?;
    kv.delete("d/gone").await?;
    let end = kv.put("d/~end", "1").await?;
    let mut last = BTreeMap::new();
    loop {
        match next_event(&mut watch).await? {
            Event::Put(pair) => drop(last.insert(pair.key.clone(), Some(pair))),
            Event::Delete(pair) => drop(last.insert(pair.key, None)),
            Event::Progress(revision) if revision >= end.modified_index => break,
            Event::Progress(_) => {}
            event => crate::fail!("unasked {event:?}"),
        }
    }
    ensure_eq!(last.get("d/often").and_then(|pair| pair.as_ref()?.text()), Some("199"));
    ensure_eq!(last.get("d/gone"), Some(&None));
    let recreated = last.get("d/recreated").cloned().flatten();
    ensure_eq!(recreated.map(|pair| pair.created_index), Some(second.created_index));
    ensure!(second.created_index > first.created_index, "re-created at {}", second.created_index);
    Ok(())
}
