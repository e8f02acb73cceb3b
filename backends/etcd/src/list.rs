//! Listings: pages of about equal size, all at one revision, the next one asked for while this one is looked at.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use etcd_client::proto::PbRangeResponse;
use etcd_client::{GetOptions, SortOrder, SortTarget};
use futures_core::stream::BoxStream;
use futures_util::{poll, stream};
use kvdb_core::{Key, KeyRange, Page, Result, Revision, Scan};

use crate::backend::Shared;
use crate::convert::{entry, shown};
use crate::error::{Call, error};
use crate::read::{Moment, explain};
use crate::span::{Span, probe_key};

/// Keys of the first page, whose sizes nobody knows: most lists are no longer, and with the largest values it is still
/// an answer that a server can make.
const FIRST: usize = 256;
/// By how much a page may have more keys than the one before: what is behind small values may be large. For each page
/// etcd counts all that is left of the range, so that few large ones are faster than many.
const GROWTH: usize = 64;
/// How much fewer keys a page is asked for than one that came out too large.
const SHRINK: usize = 8;
/// What an answer may have beyond the bytes that were aimed at before it is asked for anew in smaller pieces.
const SLACK: usize = 4;
/// What etcd adds to a key and value, about.
const ROW_BYTES: usize = 32;

/// How a page is asked for, apart from when and how many: as one page, for a transaction.
pub(crate) fn scan_options(scan: &Scan) -> GetOptions {
    let mut options = GetOptions::new();
    if let Some(at) = scan.read.at {
        options = options.with_revision(crate::convert::number(at).max(1));
    }
    shape(options, scan, scan.limit)
}

fn shape(mut options: GetOptions, scan: &Scan, limit: Option<usize>) -> GetOptions {
    // etcd reads a limit of 0 as none.
    if scan.count_only || limit == Some(0) {
        return options.with_count_only();
    }
    if scan.keys_only {
        options = options.with_keys_only();
    }
    if scan.reverse {
        // etcd sorts what it has read: the whole of what is left, whatever the limit.
        options = options.with_sort(SortTarget::Key, SortOrder::Descend);
    }
    options.with_limit(limit.map_or(0, |limit| i64::try_from(limit).unwrap_or(i64::MAX)))
}

/// An answer as a page.
pub(crate) fn page_of(answer: PbRangeResponse, scan: &Scan, revision: Revision) -> Page {
    let count = (scan.total || scan.count_only).then_some(u64::try_from(answer.count).unwrap_or_default());
    let mut page = Page { count, revision, ..Page::default() };
    if scan.keys_only {
        page.names = answer.kvs.into_iter().map(|kv| Key::new(kv.key)).collect();
    } else {
        page.entries = answer.kvs.into_iter().map(entry).collect();
    }
    page
}

/// Lists a range.
pub(crate) fn list(shared: &Arc<Shared>, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
    let lister = Lister {
        shared: Arc::clone(shared),
        probe: probe_key(range),
        scan: scan.clone(),
        left: scan.limit.unwrap_or(usize::MAX),
        count: None,
        next: None,
    };
    let first = Span::of(range).map(|span| lister.ask(span, Moment::of(&scan.read), FIRST));
    Box::pin(stream::unfold(Some((lister, first)), |state| async {
        let (mut lister, first) = state?;
        match lister.next(first).await {
            Ok(page) => {
                let more = lister.next.is_some();
                Some((Ok(page), more.then_some((lister, None))))
            }
            Err(error) => Some((Err(error), None)),
        }
    }))
}

/// A page that was asked for.
type Asked = Pin<Box<dyn Future<Output = Result<Answer>> + Send>>;

struct Answer {
    answer: PbRangeResponse,
    /// What is left of the range if there is more.
    span: Span,
    /// The keys that were asked for.
    asked: usize,
}

struct Lister {
    shared: Arc<Shared>,
    /// Stands for the range where no key of it can be asked for.
    probe: Vec<u8>,
    scan: Scan,
    left: usize,
    /// The size of the whole range, as of the first page.
    count: Option<u64>,
    next: Option<Asked>,
}

impl Lister {
    /// The next page; what comes behind it is then asked for already.
    async fn next(&mut self, first: Option<Asked>) -> Result<Page> {
        let asked = match self.next.take().or(first) {
            Some(asked) => asked.await?,
            None => return self.nothing().await,
        };
        self.shared.client()?;
        let Answer { answer, span, asked } = asked;
        let more = answer.more && !answer.kvs.is_empty();
        let revision = match self.scan.read.at {
            Some(at) => at,
            None => shown(answer.header.as_ref())?,
        };
        self.left = self.left.saturating_sub(answer.kvs.len());
        let rows = answer.kvs.len().max(1);
        let size: usize = answer.kvs.iter().map(|kv| kv.key.len() + kv.value.len() + ROW_BYTES).sum();
        let mut page = page_of(answer, &self.scan, revision);
        page.count = page.count.map(|count| *self.count.get_or_insert(count));
        let last = page.entries.last().map(|entry| &entry.key).or(page.names.last());
        let rest = last.filter(|_| more && self.left > 0).and_then(|last| span.beyond(last, self.scan.reverse));
        // All further pages show what this one did.
        self.scan.read.at = Some(revision);
        if let Some(rest) = rest {
            let fitting = self.scan.page_bytes.max(1) / (size / rows).max(1);
            let keys = fitting.clamp(1, asked.saturating_mul(GROWTH));
            let mut next = self.ask(rest, Moment::pinned(revision), keys);
            // Polled once it is on its way. What it answers by then is taken when its turn comes.
            self.next = Some(match poll!(&mut next) {
                std::task::Poll::Ready(answer) => Box::pin(std::future::ready(answer)),
                std::task::Poll::Pending => next,
            });
        }
        Ok(page)
    }

    /// The page of a range in which no key can lie: only its revision is asked for.
    async fn nothing(&mut self) -> Result<Page> {
        let client = self.shared.client()?;
        let revision = crate::read::get(&client, &Key::new(self.probe.clone()), &self.scan.read).await?.revision;
        Ok(page_of(PbRangeResponse::default(), &self.scan, revision))
    }

    /// Asks for at most so many keys of a span, in smaller pieces if they are much larger than was to be expected.
    fn ask(&self, span: Span, mut moment: Moment, keys: usize) -> Asked {
        let (shared, scan, left) = (Arc::clone(&self.shared), self.scan.clone(), self.left);
        let bytes = scan.page_bytes.saturating_mul(SLACK).max(4 << 20);
        Box::pin(async move {
            let mut asked = keys.min(left);
            loop {
                let client = shared.client()?;
                let options = shape(moment.options(), &scan, Some(asked)).with_range(span.end.clone());
                let bound = if asked > 1 { bytes } else { usize::MAX };
                let mut kv = client.kv().max_decoding_message_size(bound);
                match kv.get(span.key.clone(), Some(options)).await {
                    Ok(answer) => return Ok(Answer { answer: answer.0, span, asked }),
                    Err(source) if asked > 1 && is_too_long(&source) => asked = (asked / SHRINK).max(1),
                    Err(source) => {
                        let failed = error(Call::Read, source);
                        if !moment.freshen(&failed) {
                            return Err(explain(&client, span.key, scan.read.at, failed).await);
                        }
                    }
                }
            }
        })
    }
}

/// Whether the client refused an answer by its size, before it took it in. Its text is all that tells it from a
/// refusal by etcd.
fn is_too_long(source: &etcd_client::Error) -> bool {
    matches!(source, etcd_client::Error::GRpcStatus(status) if status.message().contains("message length too large"))
}
