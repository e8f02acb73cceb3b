//! A listing that goes on where it broke off, and two of them side by side.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Bound;

use crate::{ErrorKind, KvPair, Kvdb, ListOptions, Pages, Result, Retry, Revision, Target};

/// The keys below a directory in order, page by page, so that memory stays small whatever there is.
pub(super) struct Sorted<'a> {
    kv: &'a dyn Kvdb,
    /// The bounds of the directory as raw text; `None` is the end of the domain.
    start: String,
    end: Option<String>,
    /// The last key that was handed over, behind which a new listing begins.
    after: Option<String>,
    /// The revision to read at; else each new listing shows its own present.
    at: Option<Revision>,
    pages: Option<Pages>,
    queue: VecDeque<KvPair>,
    ended: bool,
    /// Of the page that was read last.
    revision: Revision,
}

impl<'a> Sorted<'a> {
    /// Below `prefix`, behind `after`, at a revision or now.
    pub(super) fn new(kv: &'a dyn Kvdb, prefix: &str, after: Option<String>, at: Option<Revision>) -> Result<Self> {
        let (start, end) = match crate::engine::normalize(prefix)?.as_ref() {
            "" => (String::new(), None),
            // `0` comes right after `/`.
            name => (format!("{name}/"), Some(format!("{name}0"))),
        };
        let (queue, revision) = (VecDeque::new(), Revision::ZERO);
        Ok(Self { kv, start, end, after, at, pages: None, queue, ended: false, revision })
    }

    /// The revision that the listing shows, once something was asked for.
    pub(super) fn revision(&self) -> Revision {
        self.at.unwrap_or(self.revision)
    }

    /// Has what is still to be listed show the revision that the first page showed.
    pub(super) fn pin(&mut self) {
        self.at = Some(self.revision());
    }

    /// The next pair without taking it.
    pub(super) async fn peek(&mut self) -> Result<Option<&KvPair>> {
        while self.queue.is_empty() && !self.ended {
            self.read().await?;
        }
        Ok(self.queue.front())
    }

    /// Takes the pair that [`Sorted::peek`] showed.
    pub(super) fn take(&mut self) -> Option<KvPair> {
        let pair = self.queue.pop_front()?;
        if self.queue.is_empty() {
            self.after = Some(pair.key.clone());
        }
        Some(pair)
    }

    /// Reads a page. A listing has a bounded life at some stores, and a connection may break: then a new one goes on
    /// behind the last key, as long as each brings at least a page.
    async fn read(&mut self) -> Result<()> {
        let begun = self.pages.is_some();
        match self.page().await {
            Err(error) if begun && may_go_on(error.kind(), error.retry()) => {
                self.pages = None;
                self.page().await
            }
            read => read,
        }
    }

    /// What a new listing lists.
    fn rest(&self) -> Target<'_> {
        let end = self.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        match (&self.after, self.start.as_str()) {
            (Some(after), _) => Target::Range(Bound::Excluded(after), end),
            (None, "") => Target::Tree(""),
            (None, start) => Target::Range(Bound::Included(start), end),
        }
    }

    /// How many keys there are behind the place where it begins.
    pub(super) async fn count(&mut self) -> Result<u64> {
        let options = ListOptions { at: self.at, count_only: true, ..ListOptions::default() };
        Ok(self.kv.list_opts(self.rest(), options).await?.collect().await?.count)
    }

    async fn page(&mut self) -> Result<()> {
        let pages = match &mut self.pages {
            Some(pages) => pages,
            None => {
                let options = ListOptions { at: self.at, ..ListOptions::default() };
                self.pages.insert(self.kv.list_opts(self.rest(), options).await?)
            }
        };
        match pages.next().await.transpose()? {
            Some(page) => {
                self.revision = page.revision;
                self.queue.extend(page.pairs);
            }
            None => self.ended = true,
        }
        Ok(())
    }
}

fn may_go_on(kind: &ErrorKind, retry: Retry) -> bool {
    retry == Retry::Safe || matches!(kind, ErrorKind::Compacted { .. } | ErrorKind::Timeout)
}

/// A key of one of two sorted listings, or of both.
#[derive(Debug)]
pub(super) enum Side {
    Left(KvPair),
    Right(KvPair),
    Both(KvPair, KvPair),
}

/// The next key of two listings.
pub(super) async fn next(left: &mut Sorted<'_>, right: &mut Sorted<'_>) -> Result<Option<Side>> {
    let order = match (left.peek().await?, right.peek().await?) {
        (Some(left), Some(right)) => left.key.as_bytes().cmp(right.key.as_bytes()),
        (Some(_), None) => Ordering::Less,
        (None, _) => Ordering::Greater,
    };
    Ok(match order {
        Ordering::Less => left.take().map(Side::Left),
        Ordering::Greater => right.take().map(Side::Right),
        Ordering::Equal => left.take().zip(right.take()).map(|(left, right)| Side::Both(left, right)),
    })
}
