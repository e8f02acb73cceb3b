//! Listings: pages of one revision, as users see them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};

use super::Shared;
use super::deadline::Deadline;
use crate::{
    Capabilities, KeyRange, KvAction, KvPair, ListOptions, Operation, Page, Read, Result, Revision, Scan, Target,
};

/// One page of a listing, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListPage {
    /// The pairs; empty for a names-only or count-only listing.
    pub pairs: Vec<KvPair>,
    /// The names of a names-only listing.
    pub names: Vec<String>,
    /// How many keys this page stands for.
    pub count: u64,
    /// The revision that all pages of the listing show.
    pub revision: Revision,
}

/// A whole listing.
pub type Listing = ListPage;

/// A listing as a stream of pages; [`Pages::collect`] makes one list of it. Dropping it ends the listing.
pub struct Pages {
    stream: BoxStream<'static, Result<ListPage>>,
}

impl Pages {
    /// Pages from any stream of them: for wrappers.
    #[must_use]
    pub fn new(stream: BoxStream<'static, Result<ListPage>>) -> Self {
        Self { stream }
    }

    /// The next page.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<ListPage>> {
        self.stream.next().await
    }

    /// All pages as one.
    ///
    /// # Errors
    /// The first failed page's: a listing is whole or an error.
    pub async fn collect(mut self) -> Result<Listing> {
        let mut all = ListPage::default();
        while let Some(page) = self.stream.next().await {
            #[cfg(kvdb_mutant = "error_is_empty_list")]
            let Ok(page) = page else { break };
            #[cfg(not(kvdb_mutant = "error_is_empty_list"))]
            let page = page?;
            all.revision = page.revision;
            all.count += page.count;
            if all.pairs.is_empty() && all.names.is_empty() {
                all.pairs = page.pairs;
                all.names = page.names;
            } else {
                all.pairs.extend(page.pairs);
                all.names.extend(page.names);
            }
        }
        Ok(all)
    }
}

impl Stream for Pages {
    type Item = Result<ListPage>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.poll_next_unpin(context)
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages(..)")
    }
}

impl Shared {
    pub(super) fn list(self: &Arc<Self>, target: Target<'_>, options: ListOptions) -> Result<Pages> {
        self.ensure_open()?;
        if options.at.is_some() {
            self.require(Capabilities::REVISION_READS)?;
        }
        let range = self.target_range(target)?;
        // Counted by name: the store's own count would include what users do not see.
        let names_only = options.keys_only || options.count_only;
        let scan = Scan {
            read: Read { at: options.at, consistency: options.consistency },
            keys_only: names_only,
            reverse: options.reverse,
            limit: options.limit,
            ..Scan::default()
        };
        let deadline = self.deadline(options.timeout);
        let page = deadline.renewed();
        let lister = Lister { pages: self.raw_pages(&range, &scan, deadline), range, scan, page, seen: 0, hidden: 0 };
        let shared = Arc::clone(self);
        let name = target.name().to_owned();
        let count_only = options.count_only;
        let stream = stream::try_unfold(lister, move |mut lister| {
            let shared = Arc::clone(&shared);
            async move {
                let page = lister.next(&shared).await?;
                Ok(page.map(|page| (shared.user_page(page, names_only, count_only), lister)))
            }
        });
        let shared = Arc::clone(self);
        let explained = stream.map(move |page| page.map_err(|error| shared.explain(Operation::List, &name, error)));
        Ok(Pages { stream: Box::pin(explained) })
    }

    /// The backend's pages, each within a deadline of its own, the first tried again while the store is out of reach.
    pub(super) fn raw_pages(
        self: &Arc<Self>,
        range: &KeyRange,
        scan: &Scan,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Page>> {
        let start = (Arc::clone(self), range.clone(), scan.clone(), None::<BoxStream<'static, Result<Page>>>, deadline);
        Box::pin(stream::try_unfold(start, |(shared, range, scan, pages, deadline)| async move {
            let mut page_deadline = deadline.renewed();
            let (page, pages) = match pages {
                // A page that failed ends the listing: only a new one could show one revision again.
                Some(mut pages) => {
                    let next = async { pages.next().await.transpose() };
                    (page_deadline.one(next).await?, pages)
                }
                None => {
                    page_deadline
                        .read(|| {
                            let mut pages = shared.backend.list(&range, &scan);
                            async move { Ok((pages.next().await.transpose()?, pages)) }
                        })
                        .await?
                }
            };
            shared.ensure_open()?;
            if let Some(page) = &page {
                shared.seen.note(page.revision);
            }
            Ok(page.map(|page| (page, (shared, range, scan, Some(pages), deadline))))
        }))
    }

    fn user_page(&self, page: Page, names_only: bool, count_only: bool) -> ListPage {
        let revision = page.revision;
        let mut listed = ListPage { revision, ..ListPage::default() };
        if count_only {
            listed.count = page.names.iter().filter(|key| self.domain.relative(key).is_some()).count() as u64;
        } else if names_only {
            listed.names = page.names.iter().filter_map(|key| self.domain.relative(key)).map(str::to_owned).collect();
            listed.count = listed.names.len() as u64;
        } else {
            listed.pairs.reserve_exact(page.entries.len());
            listed.pairs.extend(page.entries.into_iter().filter_map(|entry| self.pair(entry, KvAction::Get, revision)));
            listed.count = listed.pairs.len() as u64;
        }
        listed
    }
}

/// A listing with a limit: keys that users do not see do not count, so it may have to go on behind them.
struct Lister {
    range: KeyRange,
    scan: Scan,
    pages: BoxStream<'static, Result<Page>>,
    /// The deadline of each page.
    page: Deadline,
    seen: usize,
    hidden: usize,
}

impl Lister {
    async fn next(&mut self, shared: &Arc<Shared>) -> Result<Option<Page>> {
        loop {
            if let Some(page) = self.pages.next().await.transpose()? {
                for key in page.entries.iter().map(|entry| &entry.key).chain(&page.names) {
                    self.seen += 1;
                    self.hidden += usize::from(shared.domain.relative(key).is_none());
                }
                if let Some(last) = page.entries.last().map(|entry| &entry.key).or(page.names.last()) {
                    self.range = self.range.beyond(last.clone(), self.scan.reverse);
                }
                if shared.require(Capabilities::REVISION_READS).is_ok() {
                    self.scan.read.at = Some(page.revision);
                }
                return Ok(Some(page));
            }
            if self.hidden == 0 || self.scan.limit != Some(self.seen) {
                return Ok(None);
            }
            // Hidden keys used up a part of the limit: as many again from the rest of the range, at the same revision.
            self.scan.limit = Some(self.hidden);
            (self.seen, self.hidden) = (0, 0);
            self.pages = shared.raw_pages(&self.range, &self.scan, self.page.renewed());
        }
    }
}
