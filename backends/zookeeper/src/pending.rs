//! What was told to have changed, and what a reading proves of a moment in between.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use kvdb_core::Key;
use zookeeper::{EventType, Stat};

/// A node as it was read; `None` where there is none.
pub(crate) type Node = Option<(Key, Bytes, Stat)>;

/// Leaves that changed since they were read.
#[derive(Default)]
pub(crate) struct Pending {
    pub(crate) leaves: HashMap<String, News>,
    /// The last transaction among all that were told.
    pub(crate) last: i64,
}

/// What was told of a leaf since it was read: the first and the last transaction.
pub(crate) struct News {
    first: i64,
    last: i64,
    /// It was made first, so that it was not there before.
    made: bool,
    /// It was deleted last.
    gone: bool,
}

impl Pending {
    pub(crate) fn note(&mut self, leaf: String, transaction: i64, event: EventType) {
        self.last = self.last.max(transaction);
        let (made, gone) = (event == EventType::NodeCreated, event == EventType::NodeDeleted);
        let news = self.leaves.entry(leaf).or_insert(News { first: transaction, last: transaction, made, gone });
        (news.last, news.gone) = (transaction, gone);
    }

    /// Whether a node that was read is what it was at a moment that is not after the reading.
    fn is_exact(&self, leaf: &str, node: &Node, moment: i64) -> bool {
        let news = self.leaves.get(leaf);
        match node {
            Some((_, _, stat)) => stat.mzxid <= moment,
            None => news.is_none_or(|news| match news.last <= moment {
                true => news.gone,
                false => news.first > moment && news.made,
            }),
        }
    }

    /// The moment to go on from if a reading does not show this one: the last write that it shows, or else the last that
    /// was told of what is not there any more, which may be after the reading.
    pub(crate) fn moved(&self, moment: i64, answers: &HashMap<String, Node>) -> Option<Moved> {
        if answers.iter().all(|(leaf, node)| self.is_exact(leaf, node, moment)) {
            return None;
        }
        let newest = answers.values().flatten().map(|(_, _, stat)| stat.mzxid).max();
        match newest.filter(|newest| *newest > moment) {
            Some(shown) => Some(Moved { to: shown, shown: true }),
            None => {
                let told = answers.keys().filter_map(|leaf| self.leaves.get(leaf)).map(|news| news.last);
                Some(Moved { to: told.max().unwrap_or(moment), shown: false })
            }
        }
    }

    /// Takes what was told up to a moment; answers the leaves of which the reading does not show what they were then.
    pub(crate) fn take_up_to(&mut self, moment: i64, shown: bool, answers: &HashMap<String, Node>) -> HashSet<String> {
        let unread = self.leaves.iter().filter(|(leaf, news)| news.first <= moment && !answers.contains_key(*leaf));
        let mut missing: HashSet<String> = unread.map(|(leaf, _)| leaf.clone()).collect();
        let written_since = |leaf: &String, node: &Node| match (self.leaves.get(leaf), node) {
            (Some(news), Some((_, _, stat))) => news.first <= moment && stat.mzxid < news.last,
            _ => false,
        };
        let inexact = answers
            .iter()
            .filter(|(leaf, node)| !self.is_exact(leaf, node, moment) || (!shown && written_since(leaf, node)));
        missing.extend(inexact.map(|(leaf, _)| leaf.clone()));
        self.leaves.retain(|_, news| news.last > moment);
        for news in self.leaves.values_mut().filter(|news| news.first <= moment) {
            (news.first, news.made) = (moment.saturating_add(1), false);
        }
        missing
    }
}

/// Another moment.
pub(crate) struct Moved {
    pub(crate) to: i64,
    /// The reading was done at it or after it.
    pub(crate) shown: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(mzxid: i64) -> Node {
        let stat = Stat {
            czxid: 1,
            mzxid,
            pzxid: 1,
            ctime: 0,
            mtime: 0,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: 0,
            data_length: 0,
            num_children: 0,
        };
        Some((Key::from("k"), Bytes::new(), stat))
    }

    /// What becomes of moment 10: where it is moved to, and what is to be read then.
    fn step(told: &[(&str, i64, EventType)], answers: &[(&str, Node)]) -> (Option<i64>, Vec<String>, Pending) {
        let mut pending = Pending::default();
        for (leaf, transaction, event) in told {
            pending.note((*leaf).to_owned(), *transaction, *event);
        }
        let answers = answers.iter().map(|(leaf, node)| ((*leaf).to_owned(), node.clone())).collect();
        let moved = pending.moved(10, &answers);
        let (moment, shown) = moved.as_ref().map_or((10, true), |moved| (moved.to, moved.shown));
        let mut missing: Vec<String> = pending.take_up_to(moment, shown, &answers).into_iter().collect();
        missing.sort_unstable();
        (moved.map(|moved| moved.to), missing, pending)
    }

    #[test]
    fn what_was_not_written_since_completes_the_moment_however_much_else_happens() {
        use EventType::{NodeCreated, NodeDataChanged};
        let (moved, missing, pending) =
            step(&[("new", 12, NodeCreated), ("a", 13, NodeDataChanged)], &[("a", node(9)), ("b", None)]);
        assert_eq!((moved, missing.len(), pending.leaves.len()), (None, 0, 2));
    }

    #[test]
    fn the_rest_of_a_transaction_of_which_a_part_was_told_is_read_too() {
        let (moved, missing, pending) = step(&[("b", 10, EventType::NodeDeleted)], &[("a", None)]);
        assert_eq!((moved, missing, pending.leaves.len()), (None, vec!["b".to_owned()], 0));
    }

    #[test]
    fn a_key_that_is_written_all_the_time_moves_the_moment_to_what_was_read() {
        use EventType::NodeDataChanged as Changed;
        // Told again after the reading; another one was written before it and is to be read.
        let (moved, missing, pending) =
            step(&[("a", 11, Changed), ("a", 12, Changed), ("b", 11, Changed), ("a", 14, Changed)], &[("a", node(12))]);
        assert_eq!((moved, missing), (Some(12), vec!["b".to_owned()]));
        assert_eq!(
            pending.leaves.into_iter().map(|(leaf, news)| (leaf, news.first)).collect::<Vec<_>>(),
            [("a".to_owned(), 13)]
        );
    }

    #[test]
    fn what_is_not_there_is_as_it_was_if_it_was_made_or_deleted_on_the_right_side() {
        use EventType::{NodeCreated, NodeDeleted};
        assert_eq!(step(&[("a", 9, NodeDeleted)], &[("a", None)]).0, None);
        // Made after the reading.
        assert_eq!(step(&[("a", 12, NodeCreated)], &[("a", None)]).0, None);
        // It was there at the moment, and nobody knows what.
        let (moved, missing, _) = step(&[("a", 12, NodeDeleted)], &[("a", None), ("b", node(5))]);
        assert_eq!((moved, missing.len()), (Some(12), 0));
        // And is there again by now, perhaps since before the moment that is left.
        let (moved, missing, _) = step(&[("a", 12, NodeDeleted), ("a", 13, NodeCreated)], &[("a", None)]);
        assert_eq!((moved, missing), (Some(13), vec!["a".to_owned()]));
    }
}
