//! Listings: a directory and all below it as it was at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use kvdb_core::{Consistency, Entry, Fetched, Key, KeyRange, Read, Result, Revision};
use zookeeper::{Client, Stat};

use crate::backend::Shared;
use crate::read::{Look, Sight, look};
use crate::{follow, path};

/// How often all is read anew because something was made meanwhile that was not known.
const ROUNDS: usize = 4;

/// A range as it was at one moment.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    /// Every write to the range at or below is in it.
    pub(crate) revision: Revision,
    /// In key order; empty if only names were asked for.
    pub(crate) entries: Vec<Entry>,
    /// In order.
    pub(crate) names: Vec<Key>,
}

/// What is known of a range's nodes.
#[derive(Default)]
pub(crate) struct Known {
    directories: BTreeSet<String>,
    /// By leaf.
    leaves: BTreeMap<String, Key>,
}

/// What one reading of them found.
#[derive(Default)]
pub(crate) struct Reading {
    /// By leaf, if values were read.
    pub(crate) nodes: BTreeMap<String, (Key, Bytes, Stat)>,
    leaves: BTreeSet<String>,
    /// The greatest transaction that any node shows.
    pub(crate) newest: i64,
    /// There were directories or leaves that were not known.
    unknown: bool,
}

impl Known {
    /// Whether the topmost directory is there.
    pub(crate) fn is_there(&self) -> bool {
        !self.directories.is_empty()
    }

    pub(crate) fn below(root: &str) -> Self {
        Self { directories: BTreeSet::from([root.to_owned()]), leaves: BTreeMap::new() }
    }

    /// Takes up the children of a directory; says whether there was anything new among them.
    fn take_up(&mut self, range: &KeyRange, directory: &str, children: &[String]) -> bool {
        let mut new = false;
        for name in children {
            let child = path::child(directory, name);
            if path::is_leaf(name) {
                if !self.leaves.contains_key(&child)
                    && let Some(key) = path::key(&child)
                    && range.contains(key.as_bytes())
                {
                    self.leaves.insert(child, key);
                    new = true;
                }
            } else if !self.directories.contains(&child) && may_hold(range, &child) {
                self.directories.insert(child);
                new = true;
            }
        }
        new
    }
}

/// Whether keys of a range can lie below a directory.
fn may_hold(range: &KeyRange, directory: &str) -> bool {
    let Some(prefix) = path::prefix(directory).filter(|_| path::holds_keys(directory)) else { return false };
    let inside = KeyRange::prefix(&prefix);
    let both = |start: &KeyRange, end: &KeyRange| KeyRange { start: start.start.clone(), end: end.end.clone() };
    !both(&inside, range).is_empty() && !both(range, &inside).is_empty()
}

/// The directory under which all keys of a range lie.
pub(crate) fn root(range: &KeyRange) -> String {
    use std::ops::Bound;
    let bytes = |bound: &Bound<Key>| match bound {
        Bound::Included(key) | Bound::Excluded(key) => key.as_bytes().to_vec(),
        Bound::Unbounded => Vec::new(),
    };
    let (start, end) = (bytes(&range.start), bytes(&range.end));
    let mut common = start.iter().zip(&end).take_while(|(one, other)| one == other).count();
    // A range that ends right behind a prefix, such as [`a/`, `a0`), is that prefix.
    if let (Some(first), [last], Bound::Excluded(_)) =
        (start.get(common), end.get(common..).unwrap_or_default(), &range.end)
        && first.checked_add(1) == Some(*last)
    {
        common += 1;
    }
    path::directory(start.get(..common).unwrap_or_default())
}

/// Finds all directories of a range, one level after the other.
pub(crate) async fn explore(client: &Client, range: &KeyRange, known: &mut Known, sync: bool) -> Result<()> {
    let mut frontier: Vec<String> = known.directories.iter().cloned().collect();
    let mut sync = sync;
    while !frontier.is_empty() {
        let looks: Vec<Look> = frontier.iter().cloned().map(Look::Children).collect();
        let sights = look(client, &looks, std::mem::take(&mut sync)).await?;
        let before = known.directories.clone();
        for (directory, sight) in frontier.iter().zip(sights.found) {
            if let Sight::Children(children) = sight {
                known.take_up(range, directory, &children);
            }
        }
        frontier = known.directories.difference(&before).cloned().collect();
    }
    Ok(())
}

/// Reads everything that is known once more; says whether that was one step, which takes that one request holds it.
pub(crate) async fn read(
    client: &Client,
    range: &KeyRange,
    known: &mut Known,
    values: bool,
) -> Result<(Reading, bool)> {
    let directories: Vec<String> = known.directories.iter().cloned().collect();
    let leaves: Vec<(String, Key)> = match values {
        true => known.leaves.iter().map(|(leaf, key)| (leaf.clone(), key.clone())).collect(),
        false => Vec::new(),
    };
    let mut looks: Vec<Look> = Vec::with_capacity(2 * directories.len() + leaves.len());
    for directory in &directories {
        looks.push(Look::Data(directory.clone()));
        looks.push(Look::Children(directory.clone()));
    }
    looks.extend(leaves.iter().map(|(leaf, _)| Look::Data(leaf.clone())));
    let sights = look(client, &looks, false).await?;
    let mut found = sights.found.into_iter();
    let mut reading = Reading::default();
    for directory in &directories {
        let (data, children) = (found.next(), found.next());
        let (Some(Sight::Data(_, stat)), Some(Sight::Children(children))) = (data, children) else {
            known.directories.remove(directory);
            continue;
        };
        reading.newest = reading.newest.max(stat.pzxid);
        reading.unknown |= known.take_up(range, directory, &children);
        let listed = children.iter().filter(|name| path::is_leaf(name));
        reading.leaves.extend(listed.map(|name| path::child(directory, name)));
    }
    for ((leaf, key), sight) in leaves.into_iter().zip(found) {
        if let Some((value, stat)) = sight.data() {
            reading.newest = reading.newest.max(stat.mzxid);
            reading.nodes.insert(leaf, (key, value, stat));
        }
    }
    known.leaves.retain(|leaf, _| reading.leaves.contains(leaf));
    Ok((reading, sights.at_once))
}

/// The last transaction that can have made or deleted something at a path that is not there: that of the nearest
/// directory above.
pub(crate) async fn last_change_above(client: &Client, path: &str) -> Result<i64> {
    let mut directory = path;
    while directory != "/" {
        directory = path::parent(directory);
        let found = look(client, &[Look::Data(directory.to_owned())], false).await?.found.into_iter().next();
        if let Some((_, stat)) = found.and_then(Sight::data) {
            return Ok(stat.pzxid);
        }
    }
    Ok(0)
}

impl Shared {
    /// A range at one moment: by one request that reads all of it, or with the help of a watch where that does not fit
    /// one or new keys keep coming.
    pub(crate) async fn cut(self: &Arc<Self>, range: &KeyRange, how: &Read, values: bool) -> Result<Cut> {
        if range.is_empty() {
            return Ok(Cut { revision: Revision::new(self.sessions.seen().cast_unsigned()), ..Cut::default() });
        }
        if let Some(key) = range.as_single() {
            let Fetched { entry, revision } = self.get(key, how).await?;
            let names = entry.iter().map(|entry| entry.key.clone()).collect();
            return Ok(Cut { revision, entries: entry.into_iter().collect(), names });
        }
        let client = self.sessions.client().await?;
        let root = root(range);
        let mut shown = self.sessions.seen();
        if how.consistency == Consistency::Strict {
            let below = path::prefix(&root).unwrap_or_default();
            shown = shown.max(self.pass_barrier(&client, &below).await?);
        }
        let sync = how.consistency != Consistency::Stale;
        if !sync {
            shown = 1;
        }
        let mut known = Known::below(&root);
        explore(&client, range, &mut known, sync).await?;
        for _ in 0..ROUNDS {
            let (reading, at_once) = read(&client, range, &mut known, values).await?;
            if !reading.unknown && at_once {
                self.sessions.note(reading.newest);
                let revision = Revision::new(shown.max(reading.newest).cast_unsigned());
                let mut names: Vec<Key> = known.leaves.into_values().collect();
                names.sort_unstable();
                return Ok(Cut { revision, entries: self.entries(reading.nodes), names });
            }
            if !at_once {
                break;
            }
            explore(&client, range, &mut known, false).await?;
        }
        let (nodes, last) = follow::whole(self, range).await?;
        let entries = self.entries(nodes.into_iter().filter_map(|(leaf, node)| Some((leaf, node?))));
        let names = entries.iter().map(|entry| entry.key.clone()).collect();
        Ok(Cut { revision: Revision::new(shown.max(last).cast_unsigned()), entries, names })
    }

    /// In key order.
    pub(crate) fn entries(&self, nodes: impl IntoIterator<Item = (String, (Key, Bytes, Stat))>) -> Vec<Entry> {
        let nodes = nodes.into_iter();
        let mut entries: Vec<Entry> =
            nodes.map(|(leaf, (key, value, stat))| self.entry(key, &leaf, value, &stat)).collect();
        // A walk gives `a, a/b, a-b`, byte order is `a, a-b, a/b`.
        entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        entries
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;

    fn range(start: &str, end: &str) -> KeyRange {
        KeyRange { start: Bound::Included(start.into()), end: Bound::Excluded(end.into()) }
    }

    #[test]
    fn a_range_lies_below_the_directory_of_its_common_prefix() {
        for (range, path) in [
            (KeyRange::prefix(b"app/x/"), "/app/x"),
            (KeyRange::all(), "/"),
            (KeyRange::prefix(b"app"), "/"),
            (range("app/m", "app0"), "/app"),
            (range("app/a", "app/b"), "/app"),
            (range("app/a/1", "b"), "/"),
        ] {
            assert_eq!(root(&range), path, "{range:?}");
        }
    }

    #[test]
    fn only_directories_that_can_hold_a_key_are_looked_into() {
        let inside = range("app/b", "app/d/5");
        for (path, may) in [
            ("/app/a", false),
            ("/app/b", true),
            ("/app/c", true),
            ("/app/d", true),
            ("/app/e", false),
            ("/app/_kvdb/gen", false),
        ] {
            assert_eq!(may_hold(&inside, path), may, "{path}");
        }
        assert!(!may_hold(&KeyRange::all(), "/zookeeper"));
    }
}
