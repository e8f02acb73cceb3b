//! One client: random calls on few keys, each recorded with what it was answered.

use std::collections::HashMap;
use std::sync::Arc;

use kvdb::prelude::*;
use kvdb::{Capabilities, TxnReply, absent, get, put, value};
use kvdb_tests::check::{Answer, Call, Effect, Moment, Part, Refusal, Seen, When};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::load::{self, Load};

/// A client with a handle of its own.
pub(crate) struct Client {
    number: usize,
    kv: Handle,
    load: Arc<Load>,
    rng: StdRng,
    written: u64,
    /// The pairs it was shown last: what its conditions name.
    known: HashMap<String, KvPair>,
}

/// The number in a value: it names the write.
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A pair as the checkers take it.
pub(crate) fn seen(pair: &KvPair) -> Option<Seen> {
    Some(Seen {
        id: number(&pair.value)?,
        created: pair.created_index.get(),
        modified: pair.modified_index.get(),
        version: pair.version,
    })
}

/// How a refused or failed call ended, or `None` if it must not fail so.
fn failed(error: &Error, writes: bool) -> Option<Answer> {
    Some(match (error.retry(), error.kind()) {
        (Retry::Ambiguous, _) if writes => Answer::Unknown,
        (Retry::Ambiguous, _) => return None,
        (_, ErrorKind::NotFound) => Answer::Refused(Refusal::Absent),
        (_, ErrorKind::AlreadyExists) => Answer::Refused(Refusal::Present),
        (_, ErrorKind::Modified | ErrorKind::ValueMismatch) => Answer::Refused(Refusal::Other),
        (_, ErrorKind::Unavailable | ErrorKind::NoQuorum | ErrorKind::Timeout | ErrorKind::Contention) => {
            Answer::Failed
        }
        _ => return None,
    })
}

impl Client {
    pub(crate) fn new(number: usize, kv: Handle, load: Arc<Load>, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
        Self { number, kv, load, rng, written: 0, known: HashMap::new() }
    }

    /// Calls until the run is stopped.
    pub(crate) async fn run(mut self) {
        while !self.load.is_stopped() {
            self.call().await;
        }
    }

    async fn call(&mut self) {
        let directory = self.load.directory();
        let n = self.rng.random_range(0..64);
        let key = load::key(directory, n);
        let known = self.known.get(&key).cloned();
        match (self.rng.random_range(0..100), known) {
            (0..30, _) => self.get(key).await,
            (30..34, _) => self.list(directory).await,
            (34..42, known) => self.txn(key, load::key(directory, n + 1 + n / 16), known).await,
            (42..52, None) | (42..46, Some(_)) => self.put(key, "create", When::Absent).await,
            (52..64, _) => self.put(key, "put", When::Any).await,
            (64..70, _) => self.put(key, "update", When::Present).await,
            (70..75, _) => self.delete(key, "delete", None).await,
            (75..80, Some(known)) => self.delete(key, "delete by index", Some((known, true))).await,
            (80..83, Some(known)) => self.delete(key, "delete by value", Some((known, false))).await,
            (83..90, Some(known)) => self.swap(key, "set by value", &known, false).await,
            (_, Some(known)) => self.swap(key, "set by index", &known, true).await,
            (_, None) => self.get(key).await,
        }
    }

    /// Whether a plain read may be stale, which no order explains (contract 3.3).
    fn wants_strict(&self) -> bool {
        !self.kv.capabilities().contains(Capabilities::LINEARIZABLE_READS)
    }

    fn fresh(&mut self) -> u64 {
        self.written += 1;
        (self.number as u64 + 1) << 32 | self.written
    }

    /// The pair of an answer: known from now on.
    fn shown(&mut self, pair: &KvPair) -> Option<Seen> {
        self.known.insert(pair.key.clone(), pair.clone());
        let seen = seen(pair);
        if seen.is_none() {
            self.load.found(format!("a value that nobody wrote: {pair:?}"));
        }
        seen
    }

    fn failed(&mut self, verb: &'static str, error: &Error, writes: bool) -> Answer {
        failed(error, writes).unwrap_or_else(|| {
            self.load.found(format!("{verb} may not fail so: {error:?}"));
            if writes { Answer::Unknown } else { Answer::Failed }
        })
    }

    fn note(&self, verb: &'static str, invoked: Moment, parts: Vec<Part>, revision: Option<Revision>) {
        let (client, returned) = (self.number, self.load.history.now());
        self.load.note(Call { client, verb, invoked, returned, parts, revision: revision.map(Revision::get) });
    }

    async fn get(&mut self, key: String) {
        let invoked = self.load.history.now();
        let read = self.kv.get(&key);
        let result = if self.wants_strict() { read.strict() } else { read }.await;
        let revision = result.as_ref().ok().and_then(|pair| pair.as_ref().map(|pair| pair.kvdb_index));
        let answer = match result {
            Ok(Some(pair)) => Answer::Done(self.shown(&pair)),
            Ok(None) => Answer::Done(None),
            Err(error) => self.failed("get", &error, false),
        };
        self.note("get", invoked, vec![Part { key, when: When::Any, effect: Effect::Read, answer }], revision);
    }

    /// Reads a whole directory.
    pub(crate) async fn list(&mut self, directory: usize) {
        let invoked = self.load.history.now();
        let prefix = format!("d{directory:04}");
        let list = self.kv.list(&prefix);
        let result = if self.wants_strict() { list.strict() } else { list }.listing().await;
        let read = |key, answer| Part { key, when: When::Any, effect: Effect::Read, answer };
        let (parts, revision) = match result {
            Ok(listing) => {
                let mut found: HashMap<String, Answer> = HashMap::new();
                for pair in &listing.pairs {
                    let answer = Answer::Done(self.shown(pair));
                    if found.insert(pair.key.clone(), answer).is_some() {
                        self.load.found(format!("a listing has {} twice", pair.key));
                    }
                }
                let mut part = |key: String| {
                    let answer = found.remove(&key).unwrap_or(Answer::Done(None));
                    read(key, answer)
                };
                let parts = load::keys(directory).map(&mut part).collect();
                if !found.is_empty() {
                    self.load.found(format!("a listing has keys that nobody wrote: {:?}", found.keys()));
                }
                (parts, Some(listing.revision))
            }
            Err(error) => {
                let answer = self.failed("list", &error, false);
                (load::keys(directory).map(|key| read(key, answer)).collect(), None)
            }
        };
        self.note("list", invoked, parts, revision);
    }

    async fn put(&mut self, key: String, verb: &'static str, when: When) {
        let id = self.fresh();
        let invoked = self.load.history.now();
        let result = match when {
            When::Absent => self.kv.create(&key, id.to_string()).await,
            When::Present => self.kv.update(&key, id.to_string()).await,
            _ => self.kv.put(&key, id.to_string()).await,
        };
        self.wrote(verb, key, when, id, invoked, result);
    }

    async fn swap(&mut self, key: String, verb: &'static str, known: &KvPair, by_index: bool) {
        let id = self.fresh();
        let invoked = self.load.history.now();
        let put = self.kv.put(&key, id.to_string());
        let put = if by_index { put.if_unchanged(known) } else { put.if_value(known.value.clone()) };
        let result = put.await;
        self.wrote(verb, key, is(known), id, invoked, result);
    }

    fn wrote(&mut self, verb: &'static str, key: String, when: When, id: u64, invoked: Moment, result: Result<KvPair>) {
        let revision = result.as_ref().ok().map(|pair| pair.modified_index);
        let answer = match result {
            Ok(pair) => Answer::Done(self.shown(&pair)),
            Err(error) => self.failed(verb, &error, true),
        };
        self.note(verb, invoked, vec![Part { key, when, effect: Effect::Put(id), answer }], revision);
    }

    async fn delete(&mut self, key: String, verb: &'static str, known: Option<(KvPair, bool)>) {
        let when = known.as_ref().map_or(When::Present, |(known, _)| is(known));
        let invoked = self.load.history.now();
        let delete = self.kv.delete(&key);
        let result = match &known {
            None => delete.await,
            Some((known, true)) => delete.if_unchanged(known).await,
            Some((known, false)) => delete.if_value(known.value.clone()).await,
        };
        let revision = result.as_ref().ok().map(|pair| pair.modified_index);
        let answer = match result {
            Ok(pair) => Answer::Done(self.shown(&pair)),
            Err(error) => self.failed(verb, &error, true),
        };
        self.known.remove(&key);
        self.note(verb, invoked, vec![Part { key, when, effect: Effect::Delete, answer }], revision);
    }

    /// If one key is as it was, both are written, else both are read.
    async fn txn(&mut self, one: String, other: String, known: Option<KvPair>) {
        if one == other {
            return self.get(one).await;
        }
        let ids = (self.fresh(), self.fresh());
        let invoked = self.load.history.now();
        let txn = match &known {
            Some(known) => self.kv.txn().when(value(&one).eq(known.value.clone())),
            None => self.kv.txn().when(absent(&one)),
        };
        let result = txn
            .then(put(&one, ids.0.to_string()))
            .then(put(&other, ids.1.to_string()))
            .otherwise(get(&one))
            .otherwise(get(&other))
            .await;
        let when = known.as_ref().map_or(When::Absent, is);
        let part = |key: &str, when, effect, answer| Part { key: key.to_owned(), when, effect, answer };
        let (parts, revision) = match result {
            Ok(TxnReply { succeeded, revision, results, .. }) => {
                let shown: Vec<_> =
                    results.iter().map(|result| result.pair().and_then(|pair| self.shown(pair))).collect();
                let [first, second] = shown[..] else {
                    return self.load.found(format!("a transaction of two operations answers {results:?}"));
                };
                let parts = if succeeded {
                    vec![
                        part(&one, when, Effect::Put(ids.0), Answer::Done(first)),
                        part(&other, When::Any, Effect::Put(ids.1), Answer::Done(second)),
                    ]
                } else {
                    let refusal = match (when, first) {
                        (When::Absent, _) => Refusal::Present,
                        (_, None) => Refusal::Absent,
                        _ => Refusal::Other,
                    };
                    vec![
                        part(&one, when, Effect::Put(ids.0), Answer::Refused(refusal)),
                        part(&one, When::Any, Effect::Read, Answer::Done(first)),
                        part(&other, When::Any, Effect::Read, Answer::Done(second)),
                    ]
                };
                (parts, Some(revision))
            }
            Err(error) => {
                let answer = self.failed("txn", &error, true);
                let parts = vec![
                    part(&one, when, Effect::Put(ids.0), answer),
                    part(&other, When::Any, Effect::Put(ids.1), answer),
                ];
                (parts, None)
            }
        };
        self.note("txn", invoked, parts, revision);
    }
}

/// The condition that the key is as this pair shows it.
fn is(known: &KvPair) -> When {
    number(&known.value).map_or(When::Any, When::Is)
}
