//! What a store is held to after a run.

use std::collections::BTreeMap;

use kvdb::Capabilities;
use kvdb::prelude::*;
use kvdb_tests::check::{Call, Written, replay};
use kvdb_testsuite::checker::Checker;
use libtest_mimic::Failed;

use crate::client::number;
use crate::watchers::{self, Judge, Watcher};

/// The key that ends the history of a run.
const END: &str = "end";

/// Holds the watches and the calls to what the store shows at the end, and to its history where it keeps one; answers
/// the closing line's part.
pub(crate) async fn all(
    kv: &Handle,
    start: Revision,
    calls: &[Call],
    watchers: Vec<Watcher>,
    broken: &mut Vec<String>,
) -> Result<String, Failed> {
    let ordered = Capabilities::ORDERED_UPDATES | Capabilities::WATCH_RESUME | Capabilities::REVISION_READS;
    if kv.capabilities().contains(ordered) {
        return by_history(kv, start, calls, watchers, broken).await;
    }
    let listed = kv.list("").await?;
    let judges = watchers::finish(watchers, &[], &listed).await;
    Ok(watchers::judge(&judges, &[], Revision::ZERO, broken).to_string())
}

/// The checks against the history that the store itself keeps; answers the closing line's part.
async fn by_history(
    kv: &Handle,
    start: Revision,
    calls: &[Call],
    watchers: Vec<watchers::Watcher>,
    broken: &mut Vec<String>,
) -> Result<String, Failed> {
    let middle = history(kv, start).await?;
    let reached = middle.last().map_or(start, |pair| pair.modified_index);
    let listing = kv.list("").listing().await?;
    let judges = watchers::finish(watchers, &middle, &listing.pairs).await;
    let all = history(kv, start).await?;

    let told = watchers::judge(&judges, &all, reached, broken);
    let mut resumed = 0;
    for judged in judges.iter().filter(|judged| judged.prefix.is_empty()) {
        let Ok(Judge::Changes(checker)) = &judged.judge else { continue };
        resumed += resume(kv, checker, broken).await?;
        state_of(kv, checker, broken).await?;
    }
    // The listing at its revision is the state that the history adds up to.
    let mut state = BTreeMap::new();
    for pair in all.iter().filter(|pair| pair.modified_index <= listing.revision) {
        match pair.action {
            KvAction::Delete => state.remove(pair.key.as_str()),
            _ => state.insert(pair.key.as_str(), (pair.modified_index, &pair.value)),
        };
    }
    let listed: BTreeMap<_, _> =
        listing.pairs.iter().map(|pair| (pair.key.as_str(), (pair.modified_index, &pair.value))).collect();
    if state != listed {
        broken.push(format!("the history adds up to {} keys that are not the {} listed", state.len(), listed.len()));
    }

    let written: Vec<Written> = all.iter().filter(|pair| pair.key != END).filter_map(written).collect();
    let found = replay::check(calls, &written);
    broken.extend(found.explain());
    Ok(format!(
        "{} lost, {} doubled, {} of the unknown stand, {told}, {resumed} told again after a resume",
        found.lost.len(),
        found.doubled.len(),
        found.unknown_stand,
    ))
}

/// Everything that happened in the domain above `start`, up to a mark that is written now.
async fn history(kv: &Handle, start: Revision) -> Result<Vec<KvPair>> {
    let mut watch = kv.watch_tree("").after(start).previous().await?;
    let end = loop {
        match kv.put(END, "0").await {
            Ok(pair) => break pair.modified_index,
            Err(error) if error.retry() == Retry::Ambiguous => {}
            Err(error) => return Err(error),
        }
    };
    let mut pairs = Vec::new();
    while let Some(event) = watch.next().await.transpose()? {
        let Some(pair) = event.pair() else { continue };
        pairs.push(pair.clone());
        if pair.modified_index >= end {
            return Ok(pairs);
        }
    }
    Err(Error::new(ErrorKind::WatchStopped, "the history ended before its own mark"))
}

fn written(pair: &KvPair) -> Option<Written> {
    let gone = pair.action == KvAction::Delete;
    Some(Written {
        key: pair.key.clone(),
        id: if gone { None } else { Some(number(&pair.value)?) },
        created: pair.created_index.get(),
        revision: pair.modified_index.get(),
        version: pair.version,
    })
}

/// A second watch from the middle tells the rest once more.
async fn resume(kv: &Handle, first: &Checker, broken: &mut Vec<String>) -> Result<usize, Failed> {
    let told = first.told();
    let Some(from) = told.get(told.len() / 2).map(|told| told.revision) else { return Ok(0) };
    let mut watch = kv.watch_tree("").after(from).previous().await?;
    let mut second = Checker::from_the_middle("", from).with_previous();
    while second.last() < first.last() {
        match watch.next().await {
            Some(event) => {
                if let Err(why) = second.take(&event?) {
                    broken.push(format!("resumed after {from}: {why}"));
                    return Ok(0);
                }
            }
            None => return Err("a resumed watch ended".into()),
        }
    }
    if let Err(why) = first.resume(&second) {
        broken.push(why);
    }
    Ok(second.told().len())
}

/// The state that a watch's events add up to is what the store lists at that revision.
async fn state_of(kv: &Handle, checker: &Checker, broken: &mut Vec<String>) -> Result<(), Failed> {
    let pairs = kv.list("").at(checker.last()).await?;
    let listed: BTreeMap<_, _> = pairs.into_iter().map(|pair| (pair.key, pair.value)).collect();
    if listed != checker.state() {
        broken.push(format!("the events add up to {:?}, listed is {listed:?}", checker.state()));
    }
    Ok(())
}
