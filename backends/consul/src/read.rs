//! Reads of one key and of ranges.

use std::time::Duration;

use futures_core::stream::BoxStream;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kvdb_core::{Consistency, Entry, Error, ErrorKind, Fetched, Key, KeyRange, Page, Read, Result, Revision, Scan};

use crate::backend::Shared;
use crate::client::{Reply, Request};
use crate::error::operation_refused;
use crate::marker::is_marker;
use crate::plan::{State, lesson};
use crate::url::{common_prefix, encoded, is_plain, plain_part, text};
use crate::wire::{Item, KvOp, TxnAnswer, TxnOp};

const STALE: &str = "stale";

/// The consistency mode of a read, as a query names it.
fn mode(read: &Read) -> &'static str {
    match read.consistency {
        Consistency::Stale => STALE,
        _ => "consistent",
    }
}

/// A range as it was at one index.
pub(crate) struct Cut {
    /// The index that a query waits by: that of the last change below the prefix.
    pub(crate) index: u64,
    pub(crate) revision: Revision,
    /// In key order.
    pub(crate) entries: Vec<Entry>,
}

/// Waits for a change above an index, at most so long.
pub(crate) struct Hold {
    pub(crate) index: u64,
    pub(crate) wait: Duration,
}

impl Shared {
    pub(crate) async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        let (item, revision) = self.item(key, mode(read)).await?;
        let entry = item.map(Item::entry);
        match &entry {
            Some(entry) => self.seen.note(entry),
            None => self.seen.forget(key),
        }
        Ok(Fetched { entry, revision })
    }

    /// A stored key, and a revision up to which its writes are in the answer.
    pub(crate) async fn item(&self, key: &Key, mode: &str) -> Result<(Option<Item>, Revision)> {
        let name = text(key)?;
        if name.is_empty() || !is_plain(name) {
            return self.item_by_txn(name, mode).await;
        }
        let before = self.highest.get();
        let reply = self.client.send(&Request::get(format!("/v1/kv/{}?{mode}", encoded(name)))).await?;
        Ok((items(&reply)?.into_iter().next(), self.revision(mode, before, reply.index)))
    }

    /// The revision of an answer with this index to a request that was sent when `before` was the highest seen.
    fn revision(&self, mode: &str, before: u64, index: u64) -> Revision {
        self.highest.saw(index);
        Revision::new(if mode == STALE { index } else { index.max(before) })
    }

    /// For names that no path takes. Transactions tell no index: if none was seen yet, it is asked for near the key.
    async fn item_by_txn(&self, name: &str, mode: &str) -> Result<(Option<Item>, Revision)> {
        let mut index = if mode == STALE { 0 } else { self.highest.get() };
        if index == 0 {
            let near = plain_part(name);
            let near = if near.is_empty() { "_kvdb/deleted" } else { near };
            index = match self.client.send(&Request::get(format!("/v1/kv/{}?{mode}", encoded(near)))).await {
                Ok(reply) => reply.index,
                // Who may read the key need not be allowed to read what is near it.
                Err(error) if *error.kind() == ErrorKind::PermissionDenied => 0,
                Err(error) => return Err(error),
            };
        }
        let op = TxnOp { kv: KvOp { verb: "get", key: name, ..KvOp::default() } };
        let body = serde_json::to_vec(&[op])
            .map_err(|source| Error::new(ErrorKind::Internal, "a read has no JSON form").with_source(source))?;
        let reply = self.client.send(&Request::put(format!("/v1/txn?{mode}"), body).repeatable()).await?;
        let answer: TxnAnswer = reply.json()?;
        if let Some(result) = answer.results.unwrap_or_default().into_iter().next() {
            let revision = Revision::new(index.max(result.kv.modify_index));
            return Ok((Some(result.kv), revision));
        }
        let refusals = answer.errors.unwrap_or_default();
        match refusals.first() {
            Some(refusal) if lesson(&refusal.what) == Some(State::Absent) => Ok((None, Revision::new(index))),
            Some(refusal) => {
                Err(operation_refused(&refusal.what).unwrap_or_else(|| Error::invalid("no such key can be")))
            }
            // What may not be read vanishes from the results.
            None => Err(Error::new(ErrorKind::PermissionDenied, "the token may not read the key")),
        }
    }

    /// Every entry of a range, at one index.
    pub(crate) async fn cut(&self, range: &KeyRange, mode: &str, hold: Option<&Hold>) -> Result<Cut> {
        let single = range.as_single().and_then(|key| text(key).ok()).filter(|key| !key.is_empty() && is_plain(key));
        let mut path = match single {
            Some(key) => format!("/v1/kv/{}?{mode}", encoded(key)),
            None => format!("/v1/kv/{}?recurse&{mode}", encoded(plain_part(&common_prefix(range)))),
        };
        if let Some(Hold { index, wait }) = hold {
            path.push_str(&format!("&index={index}&wait={}ms", wait.as_millis()));
        }
        let request = Request::get(path);
        let before = self.highest.get();
        let reply = match hold {
            Some(hold) => self.client.send(&request.held(hold.wait)).await?,
            None => self.client.send(&request).await?,
        };
        let shown = |item: &Item| range.contains(item.key.as_bytes()) && !is_marker(item.key.as_bytes());
        let mut entries: Vec<Entry> = items(&reply)?.into_iter().filter(shown).map(Item::entry).collect();
        if !entries.is_sorted_by(|one, other| one.key < other.key) {
            entries.sort_by(|one, other| one.key.cmp(&other.key));
        }
        Ok(Cut { index: reply.index, revision: self.revision(mode, before, reply.index), entries })
    }

    /// An empty listing may be one that the token is not shown: a plain read tells, where a path can name the prefix.
    ///
    /// # Errors
    /// `PermissionDenied` when the token may not read below the range's prefix.
    pub(crate) async fn check_readable(&self, range: &KeyRange) -> Result<()> {
        let prefix = common_prefix(range);
        if !is_plain(&prefix) {
            return Ok(());
        }
        let near = if prefix.is_empty() { "_kvdb/deleted" } else { &prefix };
        self.client.send(&Request::get(format!("/v1/kv/{}?stale", encoded(near)))).await.map(drop)
    }

    /// The names of a range, at one index.
    async fn names(&self, range: &KeyRange, mode: &str) -> Result<(Vec<Key>, Revision)> {
        let prefix = common_prefix(range);
        let path = format!("/v1/kv/{}?keys&{mode}", encoded(plain_part(&prefix)));
        let before = self.highest.get();
        let reply = self.client.send(&Request::get(path)).await?;
        let names: Vec<String> = if reply.status == 404 { Vec::new() } else { reply.json()? };
        let shown = |name: &String| range.contains(name.as_bytes()) && !is_marker(name.as_bytes());
        let mut names: Vec<Key> = names.into_iter().filter(shown).map(Key::from).collect();
        names.sort();
        Ok((names, self.revision(mode, before, reply.index)))
    }

    /// One read of the whole range, cut into pages.
    pub(crate) async fn pages(&self, range: &KeyRange, scan: &Scan) -> Result<Vec<Page>> {
        let mode = mode(&scan.read);
        let names_only = scan.keys_only || scan.count_only;
        let (mut rows, revision) = match names_only {
            true => {
                let (names, revision) = self.names(range, mode).await?;
                (names.into_iter().map(Row::Name).collect::<Vec<_>>(), revision)
            }
            false => {
                let cut = self.cut(range, mode, None).await?;
                (cut.entries.into_iter().map(Row::Entry).collect(), cut.revision)
            }
        };
        if rows.is_empty() {
            self.check_readable(range).await?;
        }
        let count = (scan.total || scan.count_only).then_some(rows.len() as u64);
        let blank = Page { count, revision, ..Page::default() };
        if scan.count_only {
            return Ok(vec![blank]);
        }
        if scan.reverse {
            rows.reverse();
        }
        rows.truncate(scan.limit.unwrap_or(usize::MAX));
        let mut pages = vec![blank.clone()];
        let mut size = 0;
        for row in rows {
            if size >= scan.page_bytes.max(1) {
                pages.push(blank.clone());
                size = 0;
            }
            let Some(page) = pages.last_mut() else { break };
            // A key has one byte at least, so that a page of one entry has a size.
            match row {
                Row::Name(name) => {
                    size += name.len();
                    page.names.push(name);
                }
                Row::Entry(entry) => {
                    size += entry.key.len() + entry.value.len();
                    page.entries.push(entry);
                }
            }
        }
        Ok(pages)
    }
}

enum Row {
    Name(Key),
    Entry(Entry),
}

fn items(reply: &Reply) -> Result<Vec<Item>> {
    if reply.status == 404 { Ok(Vec::new()) } else { reply.json() }
}

/// The pages as a stream that begins with its first poll.
pub(crate) fn list(
    pages: impl Future<Output = Result<Vec<Page>>> + Send + 'static,
) -> BoxStream<'static, Result<Page>> {
    Box::pin(stream::once(pages).map_ok(|pages| stream::iter(pages).map(Ok)).try_flatten())
}
