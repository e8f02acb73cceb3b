use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use futures_core::stream::BoxStream;
use futures_util::stream;

use super::gate::Gate;
use super::index::Found;
use super::mvcc::Payload;
use super::pins::Pin;
use super::store::{Store, load};
use crate::{Key, KeyRange, Page, Result, Revision, Scan};

/// Rows between two moments at which others get the lock and the executor its turn.
const ROWS: usize = 256;

/// Rows that a look has room for at first: most lists are short.
const FIRST_ROWS: usize = 32;

/// Lists a range in pages that all show one revision, which they hold in history while the stream lives, for at most
/// [`Store::list_life`].
///
/// The stream ends with `Compacted` or `FutureRevision` when its revision cannot be read (any more), with `Closed`
/// when the handle is closed.
pub fn list<S: Store>(
    store: Arc<S>,
    gate: Arc<Gate>,
    range: &KeyRange,
    scan: &Scan,
) -> BoxStream<'static, Result<Page>> {
    let listing = Listing {
        store,
        gate,
        range: range.clone(),
        rest: Some(range.clone()),
        left: scan.limit.unwrap_or(usize::MAX),
        // A page holds one entry at least, however few bytes it may have.
        scan: Scan { page_bytes: scan.page_bytes.max(1), ..scan.clone() },
        at: None,
        count: None,
    };
    Box::pin(stream::unfold(Some(listing), |listing| async {
        let mut listing = listing?;
        match listing.next().await {
            Ok(page) => Some((Ok(page), (!listing.done()).then_some(listing))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

struct Listing<S> {
    store: Arc<S>,
    gate: Arc<Gate>,
    range: KeyRange,
    /// What is still to be listed.
    rest: Option<KeyRange>,
    left: usize,
    scan: Scan,
    /// The revision of all pages, held in history once there is more than one look at the index.
    at: Option<(Revision, Option<Pin>)>,
    count: Option<u64>,
}

/// What one look at the index brought.
struct Look<V, W> {
    found: VecDeque<Found<V>>,
    view: W,
    revision: Revision,
    rest: Option<KeyRange>,
    pin: Option<Pin>,
}

impl<S: Store> Listing<S> {
    fn done(&self) -> bool {
        self.rest.is_none() || self.left == 0
    }

    async fn next(&mut self) -> Result<Page> {
        self.gate.check()?;
        if self.count.is_none() && (self.scan.total || self.scan.count_only) {
            self.count = Some(self.count().await?);
        }
        let mut page = Page { count: self.count, ..Page::default() };
        if self.scan.count_only || self.left == 0 {
            self.rest = None;
            page.revision = self.revision()?;
            return Ok(page);
        }
        let mut size = 0;
        while size < self.scan.page_bytes && !self.done() {
            if size > 0 {
                tokio::task::yield_now().await;
            }
            let look = self.look(self.scan.page_bytes - size)?;
            page.revision = look.revision;
            self.rest = look.rest;
            self.left -= look.found.len();
            page.entries.reserve(if self.scan.keys_only { 0 } else { look.found.len() });
            for found in look.found {
                size += found.key.len() + found.value.size();
                if self.scan.keys_only {
                    page.names.push(found.key);
                } else {
                    page.entries.push(load(&*self.store, &look.view, found)?);
                }
            }
            // A page of empty values under an empty key must not be taken for one without rows.
            size = size.max(1);
            if look.pin.is_some() {
                self.at = Some((look.revision, look.pin));
            }
        }
        Ok(page)
    }

    /// The revision of a listing that shows no rows.
    fn revision(&self) -> Result<Revision> {
        match &self.at {
            Some((revision, _)) => Ok(*revision),
            None => self.store.read(|index, _| {
                let revision = self.scan.read.at.unwrap_or(index.mvcc.revision());
                index.mvcc.check_readable(revision).map(|()| revision)
            })?,
        }
    }

    /// Some rows of what is left, at most [`ROWS`] and about `bytes` of them.
    fn look(&self, bytes: usize) -> Result<Look<S::Value, S::View>> {
        let Some(range) = &self.rest else { return Err(crate::Error::invalid("the listing is over")) };
        let now = self.store.clock().now();
        self.store.read(|index, view| {
            let mvcc = &index.mvcc;
            let revision = self.shown(mvcc.revision());
            let floor_allows = matches!(&self.at, Some((_, Some(_)))) && mvcc.holds(revision);
            if !floor_allows {
                mvcc.check_readable(revision)?;
            }
            let rows = ROWS.min(self.left);
            let mut found = VecDeque::with_capacity(rows.min(FIRST_ROWS));
            let mut size = 0;
            let stopped = mvcc.scan(range, revision, self.scan.reverse, |key, version| {
                if found.len() >= rows || (size >= bytes && !found.is_empty()) {
                    return ControlFlow::Break(());
                }
                if let Some(row) = index.found(key, version) {
                    size += row.key.len() + row.value.size();
                    found.push_back(row);
                }
                ControlFlow::Continue(())
            });
            let last: Option<&Found<S::Value>> = found.back();
            let rest = match (stopped, last) {
                (ControlFlow::Break(()), Some(last)) => Some(range.beyond(last.key.clone(), self.scan.reverse)),
                _ => None,
            };
            let more = rest.is_some() && found.len() < self.left && self.at.is_none();
            let pin = more.then(|| mvcc.pins().hold(revision, now.saturating_add(self.store.list_life())));
            Ok(Look { found, view: S::keep(view), revision, rest, pin })
        })?
    }

    fn shown(&self, present: Revision) -> Revision {
        if cfg!(kvdb_mutant = "list_pages_at_different_revisions") {
            return self.scan.read.at.unwrap_or(present);
        }
        self.at.as_ref().map_or(self.scan.read.at.unwrap_or(present), |(revision, _)| *revision)
    }

    /// Counts the whole range at the revision that the pages will show.
    async fn count(&mut self) -> Result<u64> {
        let now = self.store.clock().now();
        let life = self.store.list_life();
        let at = self.scan.read.at;
        self.at = Some(self.store.read(|index, _| {
            let revision = at.unwrap_or(index.mvcc.revision());
            index.mvcc.check_readable(revision)?;
            Ok::<_, crate::Error>((revision, Some(index.mvcc.pins().hold(revision, now.saturating_add(life)))))
        })??);
        let revision = self.revision()?;
        let mut rest = Some(self.range.clone());
        let mut count = 0;
        while let Some(range) = rest {
            let (seen, last) = self.store.read(|index, _| {
                if !index.mvcc.holds(revision) {
                    index.mvcc.check_readable(revision)?;
                }
                let mut seen = 0;
                let last: ControlFlow<Key> = index.mvcc.scan(&range, revision, false, |key, _| {
                    seen += 1;
                    // Counting looks at no value: ten times the rows take the time of a page.
                    if seen >= 10 * ROWS as u64 { ControlFlow::Break(key.clone()) } else { ControlFlow::Continue(()) }
                });
                Ok::<_, crate::Error>((seen, last.break_value()))
            })??;
            count += seen;
            rest = last.map(|key| range.beyond(key, false));
            if rest.is_some() {
                tokio::task::yield_now().await;
                self.gate.check()?;
            }
        }
        Ok(count)
    }
}
