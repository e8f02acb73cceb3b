//! The records below a directory, by raw key.

use std::collections::BTreeMap;

use super::PrefixState;
use crate::Revision;

/// What a key's value was decoded to, or why it was not.
pub(super) type Record<K, V> = Result<(K, V), String>;

/// One change, decoded: `None` for a deletion.
pub(super) type Change<K, V> = (String, Revision, Option<Record<K, V>>);

/// The records of the whole directory. Kept by raw key, so that a deletion needs no old value, and two keys that decode
/// to one `K` do not take each other away.
pub(super) struct Records<K, V> {
    records: BTreeMap<String, (Revision, Record<K, V>)>,
    revision: Revision,
}

impl<K, V> Default for Records<K, V> {
    fn default() -> Self {
        Self { records: BTreeMap::new(), revision: Revision::ZERO }
    }
}

impl<K, V> Records<K, V> {
    pub(super) fn apply(&mut self, (key, revision, record): Change<K, V>) {
        self.reach(revision);
        match record {
            Some(record) => drop(self.records.insert(key, (revision, record))),
            None => drop(self.records.remove(&key)),
        }
    }

    /// Every change at or below this revision is in it.
    pub(super) fn reach(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }
}

impl<K: Ord + Clone, V: Clone> Records<K, V> {
    /// A copy for the reader.
    pub(super) fn state(&self, resynced: bool) -> PrefixState<K, V> {
        let mut newest: BTreeMap<&K, (Revision, &V)> = BTreeMap::new();
        let mut invalid = Vec::new();
        for (key, (revision, record)) in &self.records {
            match record {
                Ok((k, v)) => {
                    let place = newest.entry(k).or_insert((*revision, v));
                    if *revision > place.0 {
                        *place = (*revision, v);
                    }
                }
                Err(text) => invalid.push((key.clone(), text.clone())),
            }
        }
        let tree = newest.into_iter().map(|(k, (_, v))| (k.clone(), v.clone())).collect();
        PrefixState { tree, invalid, revision: self.revision, resynced }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_keys_with_one_name_the_last_written_shows_and_deleting_it_shows_the_other() {
        let mut records = Records::default();
        records.apply(("b".to_owned(), 3.into(), Some(Ok(("name", 3)))));
        records.apply(("a".to_owned(), 4.into(), Some(Ok(("name", 4)))));
        assert_eq!(records.state(false).tree, BTreeMap::from([("name", 4)]));
        records.apply(("a".to_owned(), 5.into(), None));
        let state = records.state(true);
        assert_eq!((state.tree, state.revision, state.resynced), (BTreeMap::from([("name", 3)]), 5.into(), true));
    }

    #[test]
    fn a_record_that_does_not_decode_takes_the_place_of_the_one_before() {
        let mut records = Records::default();
        records.apply(("a".to_owned(), 3.into(), Some(Ok(("a", 3)))));
        records.apply(("a".to_owned(), 4.into(), Some(Err("bad".to_owned()))));
        let state = records.state(false);
        assert_eq!((state.tree.len(), state.invalid), (0, vec![("a".to_owned(), "bad".to_owned())]));
        records.apply(("a".to_owned(), 5.into(), None));
        assert!(records.state(false).invalid.is_empty());
    }
}
