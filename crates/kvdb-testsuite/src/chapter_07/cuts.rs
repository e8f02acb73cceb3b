use std::collections::BTreeMap;

use kvdb_core::prelude::*;
use kvdb_core::{Kvdb, Options};

use super::writers::{MARKER, Writers, mark};
use crate::help::next_event;
use crate::tap::Tap;
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

/// A handle over the store whose feeds are atomic cuts.
async fn unordered(ctx: &Ctx) -> Proof<Handle> {
    let (kv, _) = Tap::without(ctx.backend().await?, Capabilities::ORDERED_UPDATES).serve(ctx, Options::new())?;
    ensure!(!kv.capabilities().contains(Capabilities::ORDERED_UPDATES), "the store still tells ORDERED_UPDATES");
    Ok(kv)
}

pub(super) async fn series(ctx: Ctx) -> Proof {
    let kv = unordered(&ctx).await?;
    let mut watch = kv.watch_tree("w").await?;
    let writer = kv.clone();
    let writing = tokio::spawn(async move {
        let truth = Writers::start(&writer, 6, 60).finish().await?;
        Ok::<_, Failure>((truth, mark(&writer).await?))
    });
    // Read meanwhile: one that lies behind is told everything in one cut.
    let mut cuts = Cuts::from(watch.revision());
    while !cuts.state.contains_key(MARKER) {
        cuts.take(next_event(&mut watch).await?)?;
    }
    let (truth, marker) = writing.await??;
    ensure!(cuts.count > 10, "only {} cuts, this proves little", cuts.count);
    // The last state of every key has arrived, removed keys included.
    let mut last = BTreeMap::new();
    for write in truth.above(Revision::ZERO, |_| true) {
        last.insert(write.key, write.value);
    }
    last.insert(MARKER.to_owned(), Some(marker.value));
    for (key, value) in last {
        ensure_eq!(cuts.state.get(&key), value.as_ref(), "last state of {key}");
    }
    Ok(())
}

/// Follows a stream of cuts and refuses the first one that breaks a rule of 7.6.
pub(super) struct Cuts {
    /// The last `Progress`.
    pub(super) given: Revision,
    /// The state as of it.
    pub(super) state: BTreeMap<String, Bytes>,
    /// The cuts in which something happened.
    pub(super) count: usize,
    cut: Vec<(bool, KvPair)>,
}

impl Cuts {
    /// A stream from a revision on, where nothing was there.
    pub(super) fn from(given: Revision) -> Self {
        Self { given, state: BTreeMap::new(), count: 0, cut: Vec::new() }
    }

    pub(super) fn take(&mut self, event: Event) -> Proof {
        match event {
            Event::Put(pair) => self.cut.push((false, pair)),
            Event::Delete(pair) | Event::Expire(pair) => self.cut.push((true, pair)),
            Event::Progress(revision) => {
                one_cut(&self.cut, self.given, revision)?;
                self.count += usize::from(!self.cut.is_empty());
                self.given = revision;
                for (gone, pair) in self.cut.drain(..) {
                    match gone {
                        // What came and went within a cut is not told.
                        true => ensure!(self.state.remove(&pair.key).is_some(), "{} deleted while absent", pair.key),
                        // A copy: what is compared later must not keep the stream's own buffers alive.
                        false => drop(self.state.insert(pair.key, Bytes::copy_from_slice(&pair.value))),
                    }
                }
            }
            event => crate::fail!("unasked {event:?}"),
        }
        Ok(())
    }
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

/// A reader that joins while a cut is under way knows a part of it already, by the state that it begins with.
pub(super) async fn joined_within(ctx: Ctx) -> Proof {
    let tap = Tap::without(ctx.backend().await?, Capabilities::ORDERED_UPDATES);
    let (kv, tap) = tap.serve(&ctx, Options::new())?;
    for on_gap in [OnGap::Fail, OnGap::Resync] {
        let other = ctx.open().await?;
        other.delete_tree("").await?;
        other.put("d/a", "1").await?;
        let mut first = kv.watch_tree("d").previous().on_gap(on_gap).await?;
        tap.faults.hold_feeds(true);
        let seen = other.put("d/a", "2").await?;
        other.put("d/fleeting", "1").await?;
        let mut second = kv.watch_tree("d").previous().on_gap(on_gap).await?;
        let mut third = kv.watch_tree("d").previous().on_gap(on_gap).current().await?;
        while !matches!(next_event(&mut third).await?, Event::Synced(_)) {}
        other.delete("d/fleeting").await?;
        let last = other.put("d/b", "1").await?;
        tap.faults.hold_feeds(false);
        for (name, watch) in [("first", &mut first), ("second", &mut second), ("third", &mut third)] {
            let mut told = Vec::new();
            loop {
                match next_event(watch).await? {
                    Event::Put(pair) => {
                        let before = pair.previous.as_ref().and_then(|pair| pair.text()).map(str::to_owned);
                        told.push((pair.key, before));
                    }
                    Event::Delete(pair) => told.push((format!("-{}", pair.key), None)),
                    Event::Progress(revision) if revision >= last.modified_index => break,
                    Event::Progress(_) => {}
                    event => crate::fail!("unasked {event:?}"),
                }
            }
            if name == "first" {
                // A store that was asked before its feed was held may have seen it come.
                told.retain(|(key, _)| !key.ends_with("d/fleeting"));
            }
            let expected = match name {
                "first" => [("d/a", Some("1")), ("d/b", None)],
                _ => [("-d/fleeting", None), ("d/b", None)],
            };
            let expected = expected.map(|(key, before)| (key.to_owned(), before.map(str::to_owned)));
            // One cut or two, as the store saw it: their order is another trial's.
            told.sort();
            ensure_eq!(told, expected, "what the {name} reader is told above {}", seen.modified_index);
        }
    }
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
