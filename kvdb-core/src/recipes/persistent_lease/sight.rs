//! What is known about the key.

use crate::recipes::follow::Step;
use crate::{Event, KvPair, Revision};

/// The key as it was seen last, by the watch or by what our own calls answered.
#[derive(Default)]
pub(super) struct Sight {
    pub(super) pair: Option<KvPair>,
    /// What is older than this was seen before, or was overwritten by what was.
    at: Revision,
    /// The present state was told since the watch began.
    whole: bool,
}

impl Sight {
    /// Whether it is known if the key is there.
    pub(super) const fn is_whole(&self) -> bool {
        self.whole
    }

    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Begin => *self = Self::default(),
            Step::Event(Event::Put(pair)) if pair.modified_index > self.at => self.put(pair),
            // A deletion may be told with the revision of the cut that missed the key, which our own put has at most.
            Step::Event(Event::Delete(pair) | Event::Expire(pair)) if pair.modified_index >= self.at => {
                self.at = pair.modified_index;
                self.pair = None;
            }
            Step::Event(Event::Synced(_)) => self.whole = true,
            Step::Event(_) => {}
        }
    }

    pub(super) fn put(&mut self, pair: KvPair) {
        self.at = pair.modified_index;
        self.pair = Some(pair);
    }

    pub(super) fn read(&mut self, found: Option<KvPair>) {
        match found {
            Some(pair) => self.put(pair),
            None => self.pair = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(revision: u64) -> KvPair {
        KvPair { modified_index: revision.into(), ..KvPair::new("key", revision.to_string()) }
    }

    #[test]
    fn nothing_is_known_before_the_present_state_is_told() {
        let mut sight = Sight::default();
        sight.take(Step::Event(Event::Put(pair(3))));
        assert!(!sight.is_whole());
        sight.take(Step::Event(Event::Synced(3.into())));
        assert!(sight.is_whole());
        sight.take(Step::Begin);
        assert!(!sight.is_whole() && sight.pair.is_none());
    }

    #[test]
    fn what_is_older_than_our_own_put_does_not_undo_it() {
        let mut sight = Sight::default();
        sight.put(pair(7));
        sight.take(Step::Event(Event::Put(pair(6))));
        sight.take(Step::Event(Event::Delete(pair(6))));
        assert_eq!(sight.pair, Some(pair(7)));
        sight.take(Step::Event(Event::Delete(pair(8))));
        assert_eq!(sight.pair, None);
    }
}
