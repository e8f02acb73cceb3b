use std::collections::BTreeMap;

use kvdb::{Event, Revision};

/// Follows one watch of a store without ordered updates and refuses the first event that breaks a rule: cuts go forward
/// (contract 7.6), and what they add up to is the state.
#[derive(Debug, Default)]
pub struct Cuts {
    prefix: String,
    bookmark: Revision,
    state: BTreeMap<String, Revision>,
    told: usize,
}

impl Cuts {
    /// A stream of the keys that begin with `prefix`, where nothing was there.
    #[must_use]
    pub fn of(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..Self::default() }
    }

    /// The changes that were told.
    #[must_use]
    pub fn told(&self) -> usize {
        self.told
    }

    /// The keys that are there, each with its last write.
    #[must_use]
    pub fn state(&self) -> &BTreeMap<String, Revision> {
        &self.state
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn take(&mut self, event: &Event) -> Result<(), String> {
        if let Event::Progress(revision) = event {
            self.bookmark = self.bookmark.max(*revision);
        }
        // Differences that restored the state came before it, as events of their own.
        let Some(pair) = event.pair() else { return Ok(()) };
        self.told += 1;
        if !pair.key.starts_with(&self.prefix) {
            return Err(format!("filter: {} is not below {}", pair.key, self.prefix));
        }
        if pair.modified_index <= self.bookmark {
            return Err(format!("bookmarkable: {} at {} after {}", pair.key, pair.modified_index, self.bookmark));
        }
        let before = match event {
            Event::Put(_) => self.state.insert(pair.key.clone(), pair.modified_index),
            _ => self.state.remove(&pair.key),
        };
        match before {
            None if !matches!(event, Event::Put(_)) => Err(format!("unique: {} was deleted while absent", pair.key)),
            Some(before) if before >= pair.modified_index => {
                Err(format!("ordered: {} at {} after {before}", pair.key, pair.modified_index))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use kvdb::KvPair;

    use super::*;

    fn pair(key: &str, revision: u64) -> KvPair {
        let mut pair = KvPair::new(key, "");
        pair.modified_index = revision.into();
        pair
    }

    fn refused(events: &[Event]) -> String {
        let mut cuts = Cuts::of("a/");
        events.iter().find_map(|event| cuts.take(event).err()).unwrap_or_default()
    }

    #[test]
    fn each_rule_bites() {
        let (put, gone) = (|key, at| Event::Put(pair(key, at)), |key, at| Event::Delete(pair(key, at)));
        let progress = |at: u64| Event::Progress(at.into());
        assert!(refused(&[put("ab", 3)]).starts_with("filter"));
        assert!(refused(&[put("a/x", 3), progress(5), put("a/x", 5)]).starts_with("bookmarkable"));
        assert!(refused(&[put("a/x", 3), put("a/x", 3)]).starts_with("ordered"));
        assert!(refused(&[gone("a/x", 3)]).starts_with("unique"));
        assert_eq!(refused(&[put("a/y", 4), put("a/x", 3), progress(4), gone("a/x", 6), progress(6)]), "");
    }

    #[test]
    fn the_state_is_what_the_events_add_up_to() {
        let mut cuts = Cuts::of("");
        for event in [Event::Put(pair("x", 2)), Event::Put(pair("y", 3)), Event::Delete(pair("x", 4))] {
            cuts.take(&event).unwrap();
        }
        assert_eq!(*cuts.state(), BTreeMap::from([("y".to_owned(), Revision::new(3))]));
        assert_eq!(cuts.told(), 3);
    }
}
