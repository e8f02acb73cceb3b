//! Listings in pages.

use std::sync::Arc;

use futures_core::stream::BoxStream;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kvdb_core::{Entry, Key, KeyRange, Page, Result, Scan};

use crate::backend::Shared;

enum Row {
    Name(Key),
    Entry(Entry),
}

impl Shared {
    /// One cut of the whole range, in pages.
    pub(crate) async fn pages(self: &Arc<Self>, range: &KeyRange, scan: &Scan) -> Result<Vec<Page>> {
        let values = !scan.keys_only && !scan.count_only;
        let cut = self.cut(range, &scan.read, values).await?;
        let mut rows: Vec<Row> = match values {
            true => cut.entries.into_iter().map(Row::Entry).collect(),
            false => cut.names.into_iter().map(Row::Name).collect(),
        };
        let count = (scan.total || scan.count_only).then_some(rows.len() as u64);
        let blank = Page { count, revision: cut.revision, ..Page::default() };
        if scan.count_only {
            return Ok(vec![blank]);
        }
        if scan.reverse {
            rows.reverse();
        }
        rows.truncate(scan.limit.unwrap_or(usize::MAX));
        let (mut pages, mut page, mut size) = (Vec::new(), blank.clone(), 0);
        for row in rows {
            if size >= scan.page_bytes.max(1) {
                pages.push(std::mem::replace(&mut page, blank.clone()));
                size = 0;
            }
            // One more than there are bytes, so that a page of one empty entry has a size.
            match row {
                Row::Name(name) => {
                    size += name.len() + 1;
                    page.names.push(name);
                }
                Row::Entry(entry) => {
                    size += entry.key.len() + entry.value.len() + 1;
                    page.entries.push(entry);
                }
            }
        }
        pages.push(page);
        Ok(pages)
    }
}

/// The pages as a stream that begins with its first poll.
pub(crate) fn list(
    pages: impl Future<Output = Result<Vec<Page>>> + Send + 'static,
) -> BoxStream<'static, Result<Page>> {
    stream::once(pages).map_ok(|pages| stream::iter(pages).map(Ok)).try_flatten().boxed()
}
