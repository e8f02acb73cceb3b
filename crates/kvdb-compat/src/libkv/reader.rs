//! A watch as the Go package tells it: the state first, then changes, each with its data.

use std::collections::{BTreeMap, VecDeque};

use futures_util::{FutureExt, stream};
use kvdb::prelude::{Bytes, Handle, KvPair, OnGap, Result, Revision, Watch};
use kvdb::{Error, ErrorKind};

use super::watched::Watched;
use super::{Action, Event, Events, KVPair};

struct Reader {
    kv: Handle,
    watched: Watched,
    watch: Watch,
    /// Begun after a revision: a gap in the history ends the watch, and it begins anew.
    resumed: bool,
    /// The state, while it is being read.
    init: Option<Vec<KVPair>>,
    /// What is watched as the last change left it; its values for a tree alone.
    present: BTreeMap<String, KVPair>,
    /// What was read already, to learn whether more of the same revision comes.
    ahead: Option<Result<kvdb::Event>>,
    queue: VecDeque<Event>,
    ended: bool,
}

/// The events of `watched`, with the present state first or after a revision.
pub(super) async fn events(kv: &Handle, watched: Watched, after: Revision) -> Result<Events> {
    let reader = match after {
        Revision::ZERO => Reader::whole(kv.clone(), watched).await?,
        after => Reader::resumed(kv.clone(), watched, after).await?,
    };
    // Boxed, for the stream holds a reader several times over.
    let events = stream::unfold(Box::new(reader), |mut reader| async { Some((reader.next().await?, reader)) });
    Ok(Events::new(Box::pin(events)))
}

impl Reader {
    async fn whole(kv: Handle, watched: Watched) -> Result<Self> {
        let watch = watched.watch(&kv).current().on_gap(OnGap::Resync).await?;
        Ok(Self::new(kv, watched, watch, false))
    }

    async fn resumed(kv: Handle, watched: Watched, after: Revision) -> Result<Self> {
        let begun = async {
            // Where the state at a past revision cannot be read, nothing may have changed since: then it is this one.
            let present = watched.present(&kv, after).await?;
            Ok((present, watched.watch(&kv).after(after).on_gap(OnGap::Fail).await?))
        };
        match begun.await {
            Ok((present, watch)) => {
                let mut reader = Self::new(kv, watched, watch, true);
                present.into_iter().for_each(|pair| reader.put(pair));
                reader.init = None;
                Ok(reader)
            }
            Err(error) if is_gap(&error) => Self::whole(kv, watched).await,
            Err(error) => Err(error),
        }
    }

    fn new(kv: Handle, watched: Watched, watch: Watch, resumed: bool) -> Self {
        let (init, present, queue) = (Some(Vec::new()), BTreeMap::new(), VecDeque::new());
        Self { kv, watched, watch, resumed, init, present, ahead: None, queue, ended: false }
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let heard = match self.ahead.take() {
                Some(heard) => Some(heard),
                None => self.watch.next().await,
            };
            match heard {
                Some(Ok(change)) => self.follow(change),
                Some(Err(error)) if self.resumed && is_gap(&error) => {
                    match Self::whole(self.kv.clone(), self.watched.clone()).await {
                        Ok(anew) => *self = anew,
                        Err(error) => self.fail(&error),
                    }
                }
                Some(Err(error)) => self.fail(&error),
                None => self.ended = true,
            }
        }
    }

    fn fail(&mut self, error: &Error) {
        self.queue.push_back(Event::of_error(self.watched.key(), error));
        self.ended = true;
    }

    fn follow(&mut self, change: kvdb::Event) {
        match change {
            kvdb::Event::Put(pair) if self.watched.covers(&pair.key) => {
                let pair = KVPair::from(pair);
                self.put(pair.clone());
                match &mut self.init {
                    Some(init) => init.push(pair),
                    None => self.tell(Action::Update, pair),
                }
            }
            kvdb::Event::Delete(pair) | kvdb::Event::Expire(pair) if self.watched.covers(&pair.key) => {
                self.delete(pair)
            }
            kvdb::Event::Synced(revision) => {
                if let Some(data) = self.init.take() {
                    let (action, key) = (Action::Init, self.watched.key().to_owned());
                    self.queue.push_back(Event { action, key, modified_index: revision.get(), data });
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, mut pair: KVPair) {
        if !self.watched.is_whole() {
            pair.value = Bytes::new();
        }
        self.present.insert(pair.key.clone(), pair);
    }

    fn delete(&mut self, pair: KvPair) {
        let revision = pair.modified_index;
        let is_below = self.watched.is_below(&pair.key);
        self.present.remove(&pair.key);
        self.tell(Action::Delete, KVPair { key: pair.key, value: Bytes::new(), last_index: revision.get() });
        let empty = !self.present.keys().any(|key| self.watched.is_below(key));
        if is_below && empty && !self.is_refilled(revision) {
            let (action, key) = (Action::Delete, self.watched.key().to_owned());
            self.queue.push_back(Event { action, key, modified_index: revision.get(), data: Vec::new() });
            self.ended = true;
        }
    }

    /// Whether the same transaction that emptied the directory puts a key there. All its changes lie ready together.
    fn is_refilled(&mut self, revision: Revision) -> bool {
        self.ahead = self.watch.next().now_or_never().flatten();
        matches!(&self.ahead, Some(Ok(kvdb::Event::Put(pair)))
            if pair.modified_index == revision && self.watched.is_below(&pair.key))
    }

    /// Queues a change with its data.
    fn tell(&mut self, action: Action, pair: KVPair) {
        let (key, modified_index) = (pair.key.clone(), pair.last_index);
        let data = if self.watched.is_whole() { self.present.values().cloned().collect() } else { vec![pair] };
        self.queue.push_back(Event { action, key, modified_index, data });
    }
}

fn is_gap(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Compacted { .. })
}
