use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::ops::Bound;
use std::time::Duration;

use super::Boxed;
use crate::{Consistency, KvPair, Kvdb, ListOptions, Listing, Pages, Result, Revision, Target};

/// Lists pairs.
#[must_use = "a builder does nothing until it is awaited"]
pub struct List<'a, K: ?Sized> {
    kv: &'a K,
    target: Target<'a>,
    pub(super) options: ListOptions,
}

impl<'a, K: Kvdb + ?Sized> List<'a, K> {
    pub(in crate::ext) fn new(kv: &'a K, target: Target<'a>) -> Self {
        Self { kv, target, options: ListOptions::default() }
    }

    /// At most this many pairs.
    pub fn limit(mut self, limit: usize) -> Self {
        self.options.limit = Some(limit);
        self
    }

    /// From the last key to the first.
    pub fn reverse(mut self) -> Self {
        self.options.reverse = true;
        self
    }

    freshness!();
    timeout!();

    /// The pairs as a stream of pages instead of one list.
    ///
    /// # Errors
    /// As [`Kvdb::list_opts`].
    pub async fn pages(self) -> Result<Pages> {
        self.kv.list_opts(self.target, self.options).await
    }

    /// The pairs with the revision they show.
    ///
    /// # Errors
    /// As [`Kvdb::list_opts`].
    pub async fn listing(self) -> Result<Listing> {
        self.pages().await?.collect().await
    }

    /// The names only.
    ///
    /// # Errors
    /// As [`Kvdb::list_opts`].
    pub async fn names(mut self) -> Result<Vec<String>> {
        self.options.keys_only = true;
        Ok(self.listing().await?.names)
    }

    /// The number only.
    ///
    /// # Errors
    /// As [`Kvdb::list_opts`].
    pub async fn count(mut self) -> Result<u64> {
        self.options.count_only = true;
        Ok(self.listing().await?.count)
    }
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for List<'a, K> {
    type Output = Result<Vec<KvPair>>;
    type IntoFuture = Boxed<'a, Vec<KvPair>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.listing().await?.pairs) })
    }
}

/// Lists first-level names.
#[must_use = "a builder does nothing until it is awaited"]
pub struct Keys<'a, K: ?Sized> {
    kv: &'a K,
    prefix: &'a str,
    separator: &'a str,
    pub(super) options: ListOptions,
}

impl<'a, K: Kvdb + ?Sized> Keys<'a, K> {
    pub(in crate::ext) fn new(kv: &'a K, prefix: &'a str) -> Self {
        Self { kv, prefix, separator: "/", options: ListOptions { keys_only: true, ..ListOptions::default() } }
    }

    /// Cuts names at this text instead of `/`; the prefix is then raw text, not a directory. Empty means `/`.
    pub fn separator(mut self, separator: &'a str) -> Self {
        self.separator = if separator.is_empty() { "/" } else { separator };
        self
    }

    freshness!();
    timeout!();

    async fn names(self) -> Result<Vec<String>> {
        let (names, cut) = if self.separator == "/" {
            let listing = self.kv.list_opts(Target::Tree(self.prefix), self.options).await?.collect().await?;
            let cut = crate::engine::directory_len(self.prefix);
            (listing.names, cut)
        } else {
            let mut start = self.prefix.to_owned();
            if !start.is_empty() && !start.ends_with(self.separator) {
                start.push_str(self.separator);
            }
            let end = after_prefix(&start);
            let target = Target::Range(
                if start.is_empty() { Bound::Unbounded } else { Bound::Included(&start) },
                end.as_deref().map_or(Bound::Unbounded, Bound::Excluded),
            );
            let names = self.kv.list_opts(target, self.options).await?.collect().await?.names;
            (names, start.len())
        };
        let first_level: BTreeSet<&str> = names
            .iter()
            .filter_map(|name| name.get(cut..))
            .map(|rest| rest.split_once(self.separator).map_or(rest, |(first, _)| first))
            .filter(|first| !first.is_empty())
            .collect();
        Ok(first_level.into_iter().map(str::to_owned).collect())
    }
}

/// The first text behind every text that begins with `prefix`.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // Surrogates are no characters: the one behind U+D7FF is U+E000, as in byte order.
        let next = (last as u32 + 1..=char::MAX as u32).find_map(char::from_u32);
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for Keys<'a, K> {
    type Output = Result<Vec<String>>;
    type IntoFuture = Boxed<'a, Vec<String>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.names())
    }
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn the_text_behind_a_prefix_is_above_all_its_texts() {
        assert_eq!(after_prefix("a:").as_deref(), Some("a;"));
        assert_eq!(after_prefix("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(after_prefix("\u{D7FF}").as_deref(), Some("\u{E000}"));
        assert_eq!(after_prefix(""), None);
    }
}
