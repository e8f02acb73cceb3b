use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use kvdb_core::{Backend, Change, Changes, Error, ErrorKind, Feed, Key, Result, Revision, WatchSpec};

use super::record::Held;
use super::{Faults, Record};

/// A feed that ends with `Unavailable` or holds back when the faults say so, and is counted while it is open.
pub(super) fn breakable(feed: Feed, faults: &Faults, record: &Record) -> Feed {
    let state = Some((feed.changes, faults.on_break(), faults.on_hold(), record.feed_opened()));
    let changes = stream::unfold(state, |state| async move {
        let (mut changes, mut broken, mut held, open) = state?;
        let next = async {
            // The one that holds is there as long as its feeds are read.
            let _ = held.wait_for(|held| !*held).await;
            changes.next().await
        };
        tokio::select! {
            biased;
            _ = broken.changed() => {
                Some((Err(Error::new(ErrorKind::Unavailable, "the connection is cut")), None))
            }
            item = next => item.map(|item| (item, Some((changes, broken, held, open)))),
        }
    });
    Feed { revision: feed.revision, changes: changes.boxed() }
}

/// The feed of a store without history: a watch from a past revision is granted only if nothing has changed since.
pub(super) async fn forgetful(store: &Arc<dyn Backend>, spec: &WatchSpec) -> Result<Feed> {
    let feed = store.watch(&WatchSpec::new(spec.range.clone(), None, spec.previous)).await?;
    let Some(after) = spec.after else {
        return Ok(feed);
    };
    let oldest = feed.revision;
    if oldest > after {
        return Err(Error::new(ErrorKind::Compacted { oldest }, "this store keeps no history"));
    }
    let progress = stream::once(std::future::ready(Ok(Changes::Progress(oldest))));
    Ok(Feed { revision: oldest, changes: progress.chain(feed.changes).boxed() })
}

/// Steps of the feed that one cut takes in, at most.
const CUT: usize = 4;

/// The feed of a store without ordered updates: what is there at one look is told as one atomic cut, the last state of
/// every key, deletions last and by name.
pub(super) fn cutting(feed: Feed) -> Feed {
    let cuts = feed.changes.ready_chunks(CUT).flat_map(|steps| stream::iter(cut(steps)));
    Feed { revision: feed.revision, changes: cuts.boxed() }
}

fn cut(steps: Vec<Result<Changes>>) -> Vec<Result<Changes>> {
    let mut out = Vec::new();
    let mut last: BTreeMap<Key, Change> = BTreeMap::new();
    let mut made: BTreeSet<Key> = BTreeSet::new();
    let mut at = Revision::ZERO;
    for step in steps {
        match step {
            Ok(Changes::Batch { revision, changes }) => {
                at = revision;
                for change in changes {
                    let key = change.key().clone();
                    let is_made = matches!(&change, Change::Put { entry, .. } if entry.created == entry.modified);
                    if is_made && !last.contains_key(&key) {
                        made.insert(key.clone());
                    }
                    // What came and went within a cut leaves no trace.
                    match change {
                        Change::Delete { .. } if made.remove(&key) => drop(last.remove(&key)),
                        change => drop(last.insert(key, change)),
                    }
                }
            }
            other => {
                out.extend(one_cut(std::mem::take(&mut last), at));
                made.clear();
                out.push(other);
            }
        }
    }
    out.extend(one_cut(last, at));
    out
}

fn one_cut(last: BTreeMap<Key, Change>, at: Revision) -> Option<Result<Changes>> {
    let mut changes: Vec<Change> = last
        .into_values()
        .map(|change| match change {
            Change::Delete { key, previous, expired: _, revision: _ } => {
                Change::Delete { key, previous, expired: false, revision: at }
            }
            put => put,
        })
        .collect();
    changes.sort_by_key(|change| match change {
        Change::Put { entry, .. } => (false, entry.modified),
        Change::Delete { revision, .. } => (true, *revision),
    });
    (!changes.is_empty()).then_some(Ok(Changes::Batch { revision: at, changes }))
}

/// A feed whose values are counted while anybody holds them.
pub(super) fn counted(feed: Feed, held: &Held) -> Feed {
    let held = held.clone();
    let changes = feed.changes.map(move |step| {
        let mut step = step?;
        if let Changes::Batch { changes, .. } = &mut step {
            for change in changes {
                if let Change::Put { entry, .. } = change {
                    entry.value = held.count(&entry.value);
                }
            }
        }
        Ok(step)
    });
    Feed { revision: feed.revision, changes: changes.boxed() }
}
