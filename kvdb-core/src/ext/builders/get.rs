use std::future::IntoFuture;
use std::time::Duration;

use super::Boxed;
use crate::{Consistency, GetOptions, KvPair, Kvdb, Result, Revision};

/// Reads a key.
#[must_use = "a builder does nothing until it is awaited"]
pub struct Get<'a, K: ?Sized> {
    kv: &'a K,
    key: &'a str,
    pub(super) options: GetOptions,
}

impl<'a, K: Kvdb + ?Sized> Get<'a, K> {
    pub(in crate::ext) fn new(kv: &'a K, key: &'a str) -> Self {
        Self { kv, key, options: GetOptions::default() }
    }

    freshness!();
    timeout!();
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for Get<'a, K> {
    type Output = Result<Option<KvPair>>;
    type IntoFuture = Boxed<'a, Option<KvPair>>;

    fn into_future(self) -> Self::IntoFuture {
        self.kv.get_opts(self.key, self.options)
    }
}
