//! The task behind a watch of a directory: decodes what is told and applies it, whole transactions at a time.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;

use super::Common;
use super::records::{Change, Records};
use crate::recipes::follow::{Follow, Place, Step};
use crate::{Capabilities, Event, Handle, KvPair, Kvdb, Result, Revision};

/// So many changes are collected while more of them lie ready; then what follows waits for the next state. All of one
/// transaction lie ready together, and are never told apart.
const TOGETHER: usize = 1024;

/// What was told and is not applied yet.
struct Told<K, V> {
    /// The present state is being told: it takes the place of all that was known.
    fresh: Option<Records<K, V>>,
    changes: Vec<Change<K, V>>,
    reached: Revision,
}

pub(super) async fn run<K, V, E, F>(kv: Handle, prefix: String, decode: F, common: Arc<Common<K, V>>)
where
    K: Ord + Clone + Send + 'static,
    V: Clone + Send + 'static,
    E: fmt::Display + 'static,
    F: Fn(&KvPair) -> Result<(K, V), E> + Send + 'static,
{
    let cuts = !kv.capabilities().contains(Capabilities::ORDERED_UPDATES);
    let mut follow = Follow::new(&kv, Place::Tree(prefix));
    let mut told = Told { fresh: Some(Records::default()), changes: Vec::new(), reached: Revision::ZERO };
    let error = loop {
        let step = match follow.next().now_or_never() {
            // Cuts are applied where they end, and the present state once it is told.
            None if cuts || told.fresh.is_some() => follow.next().await,
            None => {
                told.apply(&common);
                follow.next().await
            }
            Some(step) => step,
        };
        match step {
            Ok(step) => told.take(step, &decode, cuts, &common),
            Err(error) => break error,
        }
    };
    common.stage().ended = Some(error);
    common.news.send_modify(|count| *count += 1);
}

impl<K, V> Told<K, V> {
    fn take<E: fmt::Display>(
        &mut self,
        step: Step,
        decode: &impl Fn(&KvPair) -> Result<(K, V), E>,
        cuts: bool,
        common: &Common<K, V>,
    ) {
        match step {
            Step::Begin => {
                // What was told before stands until the new state is known.
                self.changes.clear();
                self.fresh = Some(Records::default());
            }
            Step::Event(Event::Put(pair)) => {
                let record = decode(&pair).map_err(|error| error.to_string());
                self.change((pair.key, pair.modified_index, Some(record)), cuts, common);
            }
            Step::Event(Event::Delete(pair) | Event::Expire(pair)) => {
                self.change((pair.key, pair.modified_index, None), cuts, common);
            }
            Step::Event(Event::Synced(revision)) => {
                if let Some(mut fresh) = self.fresh.take() {
                    fresh.reach(revision);
                    let mut stage = common.stage();
                    stage.resynced |= *common.news.borrow() > 0;
                    stage.records = fresh;
                    drop(stage);
                    common.news.send_modify(|count| *count += 1);
                }
            }
            Step::Event(Event::Progress(revision) | Event::Resynced { revision, .. }) => {
                self.reached = self.reached.max(revision);
                self.apply(common);
            }
        }
    }

    fn change(&mut self, change: Change<K, V>, cuts: bool, common: &Common<K, V>) {
        if let Some(fresh) = &mut self.fresh {
            return fresh.apply(change);
        }
        let ends = self.changes.last().is_some_and(|last| last.1 != change.1);
        if !cuts && ends && self.changes.len() >= TOGETHER {
            self.apply(common);
        }
        self.changes.push(change);
    }

    /// Has the reader see what was told.
    fn apply(&mut self, common: &Common<K, V>) {
        if self.fresh.is_some() {
            return;
        }
        let mut stage = common.stage();
        stage.records.reach(self.reached);
        if self.changes.is_empty() {
            return;
        }
        self.changes.drain(..).for_each(|change| stage.records.apply(change));
        drop(stage);
        common.news.send_modify(|count| *count += 1);
    }
}
