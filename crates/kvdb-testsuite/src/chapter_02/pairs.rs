use std::collections::BTreeMap;

use kvdb_core::{Capabilities, Event, KvAction, KvFlags, KvPair, KvdbExt, Revision};

use crate::help::{next_change, next_pair};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

pub(super) async fn indexes(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let version = |number: u64| ctx.has(Capabilities::KEY_VERSION).then_some(number);
    let version_of = |pair: &KvPair| pair.version.filter(|_| ctx.has(Capabilities::KEY_VERSION));
    for incarnation in 0..2 {
        let made = kv.put("k", "1").await?;
        ensure_eq!(made.action, KvAction::Create);
        ensure_eq!(made.created_index, made.modified_index, "the indexes of incarnation {incarnation}");
        ensure_eq!(version_of(&made), version(1));
        ensure_eq!((made.lease.clone(), made.ttl, made.previous.clone()), (None, None, None));
        let mut last = made.modified_index;
        for write in 2..5 {
            let set = kv.put("k", write.to_string()).await?;
            ensure_eq!(set.action, KvAction::Set);
            ensure_eq!(set.created_index, made.created_index, "the created index after write {write}");
            ensure!(set.modified_index > last, "the modified index does not rise with write {write}");
            ensure_eq!(version_of(&set), version(write), "the version after write {write}");
            last = set.modified_index;
            let read = kv.get("k").await?.ok_or_else(|| Failure::new("the key is absent"))?;
            let listed = kv.list("").await?.pop().ok_or_else(|| Failure::new("the list is empty"))?;
            for (how, seen) in [("get", read), ("list", listed)] {
                ensure_eq!(seen.action, KvAction::Get, "{how}");
                ensure_eq!(seen.created_index, set.created_index, "{how}");
                ensure_eq!(seen.modified_index, set.modified_index, "{how}");
                ensure_eq!(seen.version, set.version, "{how}");
                ensure_eq!(seen.value, set.value, "{how}");
            }
        }
        kv.delete("k").await?;
    }
    Ok(())
}

pub(super) async fn kvdb_index(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let other = ctx.open().await?;
    for round in 0..20 {
        let written = kv.put("k", round.to_string()).await?;
        ensure!(written.kvdb_index >= written.modified_index, "a write's answer does not hold the write itself");
        let read = other.get("k").await?.ok_or_else(|| Failure::new("the key is absent"))?;
        ensure_eq!(read.value, written.value);
        ensure!(read.kvdb_index >= read.modified_index, "{} is read as of {}", read.modified_index, read.kvdb_index);
        let listing = other.list("").listing().await?;
        ensure!(listing.revision >= written.modified_index, "a list as of {} lacks a write", listing.revision);
        for pair in &listing.pairs {
            ensure_eq!(pair.kvdb_index, listing.revision, "the index of a listed pair");
        }
        if ctx.store().counts_exactly() {
            let elsewhere = kv.put("elsewhere", "1").await?.modified_index;
            let read = other.get("k").await?.ok_or_else(|| Failure::new("the key is absent"))?;
            ensure!(read.kvdb_index >= elsewhere, "the store's index is {}, not {elsewhere}", read.kvdb_index);
        }
    }
    Ok(())
}

pub(super) async fn answer_of_a_write(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let first = kv.put("k", "1").previous().await?;
    ensure_eq!(first.previous, None, "the pair before the first write");
    let second = kv.put("k", "2").previous().await?;
    let before = second.previous.as_deref().ok_or_else(|| Failure::new("no previous pair, though asked for"))?;
    ensure_eq!(before.value, first.value);
    ensure_eq!(before.created_index, first.created_index);
    ensure_eq!(before.modified_index, first.modified_index);
    ensure_eq!(before.version, first.version);
    ensure_eq!(before.key, "k");
    ensure_eq!(kv.put("k", "3").await?.previous, None, "a previous pair that was not asked for");
    ensure_eq!(kv.update("k", "4").previous().await?.previous.map(|pair| pair.value), Some("3".into()));
    ensure_eq!(kv.create("new", "1").previous().await?.previous, None);
    kv.delete("k").await?;
    ensure_eq!(kv.put("k", "5").previous().await?.previous, None, "the pair before, after a deletion");
    Ok(())
}

/// Writers and deleters race on one key. In the order of their revisions each previous pair must be what the write
/// before left; a read after the write would sooner or later answer somebody else's.
pub(super) async fn previous_under_race(ctx: Ctx) -> Proof {
    const TASKS: usize = 8;
    let kv = ctx.open().await?;
    kv.put("k", "start").await?;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let kv = kv.clone();
            tokio::spawn(async move {
                let mut steps: Vec<(Revision, Option<KvPair>, Option<KvPair>)> = Vec::new();
                for write in 0..20 {
                    if task == 0 && write % 3 == 0 {
                        match kv.delete("k").await {
                            Ok(gone) => steps.push((gone.modified_index, Some(gone), None)),
                            Err(error) if *error.kind() == kvdb_core::ErrorKind::NotFound => {}
                            Err(error) => return Err(error),
                        }
                        continue;
                    }
                    let value = format!("{task}-{write}");
                    let mut left = kv.put("k", value.as_str()).previous().await?;
                    if left.value != value {
                        return Err(kvdb_core::Error::invalid(format!("a put of {value} answers {:?}", left.value)));
                    }
                    let before = left.previous.take().map(|pair| *pair);
                    steps.push((left.modified_index, before, Some(left)));
                }
                Ok::<_, kvdb_core::Error>(steps)
            })
        })
        .collect();
    let mut history = BTreeMap::new();
    for task in tasks {
        for (revision, before, after) in task.await?? {
            ensure!(history.insert(revision, (before, after)).is_none(), "revision {revision} was given twice");
        }
    }
    let mut state = Some("start".into());
    for (revision, (before, after)) in history {
        ensure_eq!(before.map(|pair| pair.value), state, "the previous value of the write at {revision}");
        state = after.map(|pair| pair.value);
    }
    ensure_eq!(kv.get("k").await?.map(|pair| pair.value), state, "the last value");
    Ok(())
}

pub(super) async fn previous_of_compare_verbs(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let first = kv.put("k", "1").await?;
    let mut wanted = first.clone();
    wanted.value = "2".into();
    let set = kv.compare_and_set(&wanted, KvFlags::MODIFIED_INDEX, None).await?;
    let before = set.previous.as_deref().ok_or_else(|| Failure::new("compare_and_set answers no previous pair"))?;
    ensure_eq!((before.value.clone(), before.modified_index), (first.value.clone(), first.modified_index));
    let set = kv.compare_and_set(&wanted, KvFlags::PREV_EXISTS, Some("2".into())).await?;
    ensure_eq!(set.previous.as_ref().map(|pair| pair.value.clone()), Some("2".into()));
    let gone = kv.compare_and_delete(&set, KvFlags::MODIFIED_INDEX).await?;
    ensure_eq!((gone.value, gone.created_index), (set.value, first.created_index));
    Ok(())
}

pub(super) async fn deleted(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let ordered = ctx.has(Capabilities::ORDERED_UPDATES);
    let mut watches = [kv.watch_tree("").await?, kv.watch_tree("").previous().await?];
    for how in ["delete", "compare_and_delete", "delete_tree"] {
        kv.put("d/k", "1").await?;
        let last = kv.put("d/k", how).await?;
        for watch in &mut watches {
            while next_pair(watch).await?.modified_index < last.modified_index {}
        }
        let gone = match how {
            "delete" => Some(kv.delete("d/k").await?),
            "compare_and_delete" => Some(kv.compare_and_delete(&last, KvFlags::empty()).await?),
            _ => {
                kv.delete_tree("d").await?;
                None
            }
        };
        let mut pairs: Vec<KvPair> = gone.into_iter().collect();
        for watch in &mut watches {
            let event = next_change(watch).await?;
            let Event::Delete(told) = event else { crate::fail!("{how} is told as {event:?}") };
            // Who tells cuts has the revision of the cut (7.6).
            if let Some(gone) = pairs.first() {
                let same = gone.modified_index == told.modified_index;
                ensure!(
                    same || !ordered && gone.modified_index < told.modified_index,
                    "{how}: {gone:?}, told {told:?}"
                );
            }
            pairs.push(told);
        }
        let after = kv.put("after", "1").await?.modified_index;
        for (at, pair) in pairs.iter().rev().enumerate() {
            ensure_eq!(pair.key, "d/k");
            ensure_eq!(pair.action, KvAction::Delete, "the action of {how}");
            // Who tells cuts keeps values on request alone (7.1): the plain watch is the last but one.
            ensure!(pair.value == last.value || at == 1 && !ordered, "the value of {how} is {:?}", pair.value);
            ensure_eq!(pair.created_index, last.created_index, "the created index of {how}");
            ensure!(pair.modified_index > last.modified_index, "{how} has the revision of the last write");
            ensure!(pair.modified_index < after, "{how} has a revision from after it");
        }
        for watch in &mut watches {
            ensure_eq!(next_pair(watch).await?.key, "after");
        }
    }
    Ok(())
}

pub(super) async fn equal_value(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut watch = kv.watch_key("k").await?;
    let mut last = kv.put("k", "same").await?;
    ensure_eq!(next_pair(&mut watch).await?.modified_index, last.modified_index);
    for round in 0..5 {
        let again = match round % 3 {
            0 => kv.put("k", "same").await?,
            1 => kv.update("k", "same").await?,
            _ => kv.compare_and_set(&last, KvFlags::MODIFIED_INDEX, None).await?,
        };
        ensure!(again.modified_index > last.modified_index, "an equal value took no revision");
        ensure_eq!(again.created_index, last.created_index);
        let event = next_pair(&mut watch).await?;
        ensure_eq!(event.modified_index, again.modified_index, "the event of an equal value");
        last = again;
    }
    Ok(())
}
