use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use kvdb_core::{Backend, Error, ErrorKind, KeyRange, Page, Result, Scan};

/// The real store whose listings break off with an error after some pages.
#[derive(Debug)]
pub struct BreakLists {
    inner: Arc<dyn Backend>,
    pages: usize,
    kind: ErrorKind,
}

impl BreakLists {
    /// Every listing breaks off with an error of this kind after so many pages.
    #[must_use]
    pub fn after_pages(inner: Arc<dyn Backend>, pages: usize, kind: ErrorKind) -> Self {
        Self { inner, pages, kind }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for BreakLists {
    fn list(&self, range: &KeyRange, scan: &Scan) -> BoxStream<'static, Result<Page>> {
        let broken = Error::new(self.kind.clone(), "broken off for the trial");
        self.inner.list(range, scan).take(self.pages).chain(stream::iter([Err(broken)])).boxed()
    }

    forward! {
        capabilities limits get commit watch grant keep_alive revoke lease_info compact native_txn get_together pin at_once
        admin details close
    }
}
