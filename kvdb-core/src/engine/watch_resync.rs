//! What a reader knows of a range, to tell the differences when the store cannot.

use std::collections::BTreeMap;

use crate::{Change, Changes, Entry, Key, Revision};

/// The last known state of a watched range, by name; with values only if the reader asked for previous pairs.
#[derive(Debug)]
pub(super) struct Known {
    entries: BTreeMap<Key, Entry>,
    values: bool,
}

impl Known {
    pub(super) fn new(values: bool) -> Self {
        Self { entries: BTreeMap::new(), values }
    }

    pub(super) fn put(&mut self, entry: &Entry) {
        let mut entry = entry.clone();
        if !self.values {
            entry.value = crate::Bytes::new();
        }
        self.entries.insert(entry.key.clone(), entry);
    }

    /// Follows a step of the feed.
    pub(super) fn follow(&mut self, changes: &Changes) {
        if let Changes::Batch { changes, .. } = changes {
            for change in changes {
                match change {
                    Change::Put { entry, .. } => self.put(entry),
                    Change::Delete { key, .. } => drop(self.entries.remove(key)),
                }
            }
        }
    }

    /// The differences between what was known and `present`: writes by modified index, then deletions by name with
    /// `revision` as theirs (contract 7.6). Afterwards `present` is what is known.
    pub(super) fn differences(&mut self, present: &[Entry], revision: Revision) -> Vec<Change> {
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
            previous: self.values.then_some(old),
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
}
