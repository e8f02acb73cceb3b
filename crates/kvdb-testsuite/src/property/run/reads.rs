//! The steps that only read.

use kvdb_core::{Capabilities, ErrorKind, Event, KvAction, KvPair, KvdbExt, Revision};

use super::{Check, Run, Stop, pairs, same};
use crate::help::next_event;
use crate::property::model::{Known, Model};
use crate::property::step::Step;

impl Run<'_> {
    pub(super) async fn read(&mut self, step: Step) -> Check {
        match step {
            Step::Get { key } => {
                let pair = self.kv.get(key).await?;
                let known = self.model.keys.get(key).cloned();
                self.shares.not_found += usize::from(known.is_none());
                self.got(pair, key, known)
            }
            Step::GetAt { key, back } => {
                let at = self.back(back);
                let pair = self.kv.get(key).at(at).await?;
                let known = self.model.at(at).get(key).cloned();
                self.got(pair, key, known)
            }
            Step::GetAhead { key } => {
                let ahead = self.model.revision + 1_000_000_000;
                match self.kv.get(key).at(ahead).await {
                    Err(error) if matches!(error.kind(), ErrorKind::FutureRevision { .. }) => Ok(()),
                    answer => Err(Stop::Wrong(format!("a read of the future answers {answer:?}"))),
                }
            }
            Step::List { prefix, limit, reverse } => {
                let mut list = self.kv.list(prefix);
                if let Some(limit) = limit {
                    list = list.limit(limit);
                }
                if reverse {
                    list = list.reverse();
                }
                let listing = list.listing().await?;
                let mut expected = Model::below(&self.model.keys, prefix);
                if reverse {
                    expected.reverse();
                }
                expected.truncate(limit.unwrap_or(usize::MAX));
                self.revision_of_listing(listing.revision, self.model.revision)?;
                self.listed(&listing.pairs, &expected)
            }
            Step::ListAt { prefix, back } => {
                let at = self.back(back);
                let listing = self.kv.list(prefix).at(at).listing().await?;
                let expected = Model::below(&self.model.at(at), prefix);
                self.listed(&listing.pairs, &expected)
            }
            Step::Count { prefix } => {
                let count = self.kv.count(prefix).await?;
                same!(count, Model::below(&self.model.keys, prefix).len() as u64, "count of {prefix:?}");
                Ok(())
            }
            Step::Keys { prefix } => {
                let names = self.kv.keys(prefix).await?;
                same!(names, self.model.names(prefix), "keys of {prefix:?}");
                Ok(())
            }
            Step::Replay { back } => {
                let after = self.back(back);
                self.replay(after).await
            }
            step => Err(Stop::Wrong(format!("{step:?} is no read"))),
        }
    }

    /// The revision so far back, but not before the program began.
    fn back(&self, back: u64) -> u64 {
        let states = self.model.revision.saturating_sub(self.base).min(back);
        self.model.revision - states
    }

    pub(super) fn got(&self, pair: Option<KvPair>, key: &str, known: Option<Known>) -> Check {
        match (pair, known) {
            (None, None) => Ok(()),
            (Some(pair), Some(known)) => {
                same!(pair.action, KvAction::Get, "action of a read of {key}");
                self.compare(&pair, key, &known)
            }
            (pair, known) => Err(Stop::Wrong(format!("get {key}: {pair:?}, the model says {known:?}"))),
        }
    }

    pub(super) fn listed(&self, pairs: &[KvPair], expected: &[(String, Known)]) -> Check {
        let names: Vec<_> = pairs.iter().map(|pair| pair.key.as_str()).collect();
        let expected_names: Vec<_> = expected.iter().map(|(key, _)| key.as_str()).collect();
        same!(names, expected_names, "listed keys");
        for (pair, (key, known)) in pairs.iter().zip(expected) {
            self.got(Some(pair.clone()), key, Some(known.clone()))?;
        }
        Ok(())
    }

    fn revision_of_listing(&self, found: Revision, expected: u64) -> Check {
        if self.exact {
            same!(found.get(), expected, "revision of a listing");
        } else if found < expected {
            return Err(Stop::Wrong(format!("a listing at {found}, behind the answered write {expected}")));
        }
        Ok(())
    }

    /// Reads all history above a revision anew.
    pub(super) async fn replay(&mut self, after: u64) -> Check {
        let happened = self.model.since(after);
        let mut watch = self.kv.watch_tree("").previous().after(after).await?;
        let events = pairs(&mut watch, happened.len()).await?;
        self.compare_events(&events, &happened)
    }

    /// A watch that begins with the present state tells exactly that.
    pub(super) async fn present_state(&mut self) -> Check {
        let mut watch = self.kv.watch_tree("").current().await?;
        let mut present = Vec::new();
        loop {
            match next_event(&mut watch).await? {
                Event::Put(pair) => present.push(pair),
                Event::Synced(_) => break,
                event => return Err(Stop::Wrong(format!("{event:?} before Synced"))),
            }
        }
        present.sort_by(|a, b| a.key.cmp(&b.key));
        let expected = Model::below(&self.model.keys, "");
        same!(present.len(), expected.len(), "present keys of a watch");
        for (pair, (key, known)) in present.iter().zip(&expected) {
            self.compare(pair, key, known)?;
        }
        Ok(())
    }

    pub(super) fn has(&self, capability: Capabilities) -> bool {
        self.can.contains(capability)
    }
}
