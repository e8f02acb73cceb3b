use std::collections::{BTreeMap, BTreeSet};

use crate::{Change, Changes, Entry, Key, Revision};

/// The last known state of a watched range, by name, to tell the differences where the store tells no more than what is
/// there; with values only if previous entries are asked for.
#[derive(Debug)]
pub struct Known {
    entries: BTreeMap<Key, Entry>,
    values: bool,
}

impl Known {
    /// An empty range.
    #[must_use]
    pub fn new(values: bool) -> Self {
        Self { entries: BTreeMap::new(), values }
    }

    /// Notes that an entry is there.
    pub fn put(&mut self, entry: &Entry) {
        let mut entry = entry.clone();
        if !self.values {
            entry.value = crate::Bytes::new();
        }
        self.entries.insert(entry.key.clone(), entry);
    }

    /// Follows a step of the feed.
    pub(crate) fn follow(&mut self, changes: &Changes) {
        if let Changes::Batch { changes, .. } = changes {
            for change in changes {
                match change {
                    Change::Put { entry, .. } => self.put(entry),
                    Change::Delete { key, .. } => drop(self.entries.remove(key)),
                }
            }
        }
    }

    /// What is left to tell of a cut of everything after `from`, once the state at `at` is known: writes above `at`,
    /// each with what is known before it, then by name the deletions of what is known, also of what came and went
    /// after `from` and so is not named in the cut. Afterwards the state at `revision` is known.
    pub(crate) fn rest(&mut self, cut: &[Change], from: Revision, at: Revision, revision: Revision) -> Vec<Change> {
        let is_newer = |entry: &&Entry| entry.modified > from;
        let mut gone: BTreeSet<Key> = self.entries.values().filter(is_newer).map(|entry| entry.key.clone()).collect();
        let mut rest = Vec::new();
        for change in cut {
            match change {
                Change::Put { entry, .. } => {
                    gone.remove(&entry.key);
                    if entry.modified > at {
                        let previous = self.entries.get(&entry.key).filter(|_| self.values).cloned();
                        rest.push(Change::Put { entry: entry.clone(), previous });
                        self.put(entry);
                    }
                }
                Change::Delete { key, .. } => drop(gone.insert(key.clone())),
            }
        }
        let deleted = gone.into_iter().filter_map(|key| {
            let previous = Some(self.entries.remove(&key)?);
            Some(Change::Delete { key, revision, expired: false, previous })
        });
        rest.extend(deleted);
        rest
    }

    /// The differences between what was known and `present`: writes by modified index, then deletions by name with
    /// `revision` as theirs (contract 7.6). A deleted entry has its value only if values are kept. Afterwards `present`
    /// is what is known.
    pub fn differences(&mut self, present: &[Entry], revision: Revision) -> Vec<Change> {
        let mut before = std::mem::take(&mut self.entries);
        let mut changes = Vec::new();
        for entry in present {
            let old = before.remove(&entry.key);
            self.put(entry);
            if old.as_ref().is_none_or(|old| old.modified != entry.modified) {
                changes.push(Change::Put { entry: entry.clone(), previous: old.filter(|_| self.values) });
            }
        }
        changes.sort_by_key(|change| match change {
            Change::Put { entry, .. } => entry.modified,
            Change::Delete { revision, .. } => *revision,
        });
        if cfg!(kvdb_mutant = "deletes_not_diffed") {
            return changes;
        }
        #[cfg(kvdb_mutant = "delete_named_after_prefix")]
        let before: BTreeMap<Key, Entry> = before
            .into_values()
            .map(|old| {
                let name = String::from_utf8_lossy(old.key.as_bytes()).into_owned();
                (Key::from(name.rsplit_once('/').map_or("", |(prefix, _)| prefix)), old)
            })
            .collect();
        changes.extend(before.into_iter().map(|(key, old)| Change::Delete {
            key,
            revision,
            expired: false,
            previous: Some(old),
        }));
        changes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entry(key: &str, modified: u64) -> Entry {
        let revision = Revision::new(modified);
        Entry {
            key: Key::from(key),
            value: Bytes::from_static(b"v"),
            created: revision,
            modified: revision,
            version: None,
            lease: None,
            ttl: None,
        }
    }

    #[test]
    fn differences_name_every_write_and_every_deletion() {
        let mut known = Known::new(true);
        for (key, revision) in [("a", 2), ("b", 3), ("c", 4)] {
            known.put(&entry(key, revision));
        }
        let present = [entry("b", 3), entry("c", 9), entry("d", 8)];
        let changes = known.differences(&present, Revision::new(10));
        let names: Vec<String> = changes.iter().map(|change| change.key().to_string()).collect();
        assert_eq!(names, ["d", "c", "a"]);
        assert!(matches!(&changes[2], Change::Delete { revision, previous: Some(old), .. }
            if *revision == 10 && old.modified == 2));
        assert!(known.differences(&present, Revision::new(11)).is_empty());
    }

    #[test]
    fn a_deleted_entry_keeps_its_created_index_without_its_value() {
        let mut known = Known::new(false);
        known.put(&entry("a", 2));
        let changes = known.differences(&[], Revision::new(3));
        let [Change::Delete { previous: Some(old), .. }] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!((old.created, old.value.len()), (Revision::new(2), 0));
    }

    #[test]
    fn of_a_cut_that_began_before_only_the_rest_is_told() {
        let put = |key: &str, modified| Change::Put { entry: entry(key, modified), previous: None };
        let delete = |key: &str| Change::Delete {
            key: Key::from(key),
            revision: Revision::new(20),
            expired: false,
            previous: None,
        };
        // The cut is of everything in 5 ..= 20, the state at 10 is known.
        let mut known = Known::new(true);
        for (key, modified) in [("fleeting", 8), ("gone", 3), ("old", 2), ("seen", 7), ("written", 6)] {
            known.put(&entry(key, modified));
        }
        let cut = [put("seen", 7), put("new", 12), put("written", 13), delete("gone"), delete("never")];
        let rest = known.rest(&cut, Revision::new(5), Revision::new(10), Revision::new(20));
        let told = rest.iter().map(|change| match change {
            Change::Put { entry, previous } => (entry.key.to_string(), previous.as_ref().map(|old| old.modified.get())),
            Change::Delete { key, previous, .. } => {
                (format!("-{key}"), previous.as_ref().map(|old| old.modified.get()))
            }
        });
        let expected = [("new", None), ("written", Some(6)), ("-fleeting", Some(8)), ("-gone", Some(3))]
            .map(|(key, old)| (key.to_owned(), old));
        assert_eq!(told.collect::<Vec<_>>(), expected);
        let present = [entry("new", 12), entry("old", 2), entry("seen", 7), entry("written", 13)];
        assert!(known.differences(&present, Revision::new(20)).is_empty());
    }
}
