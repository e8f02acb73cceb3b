use std::ops::Bound;

use kvdb::builders::WatchBuilder;
use kvdb::prelude::*;

use super::KVPair;

/// What a watch is about. Its key is without the slashes that no key keeps.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    key: String,
    /// The first text behind all that is below `key`.
    end: String,
    /// Every key below `key`, and not only `key` itself.
    below: bool,
    /// Every event carries all that is watched.
    whole: bool,
}

impl Watched {
    /// One key, with `recursive` every key below it too.
    pub(super) fn key_of(key: String, recursive: bool) -> Self {
        Self::new(key, recursive, false)
    }

    /// Every key below a directory, all of them with each event.
    pub(super) fn tree_of(directory: String) -> Self {
        Self::new(directory, true, true)
    }

    fn new(key: String, below: bool, whole: bool) -> Self {
        // `0` comes right behind `/`.
        Self { end: format!("{key}0"), key, below, whole }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether a key lies in the watched directory.
    pub(super) fn is_below(&self, key: &str) -> bool {
        let inside = || key.strip_prefix(self.key.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.below && (self.key.is_empty() || inside())
    }

    /// Whether a key is watched: between a key and those below it lie others, such as `a-b` between `a` and `a/b`.
    pub(super) fn covers(&self, key: &str) -> bool {
        self.is_below(key) || !self.whole && key == self.key
    }

    /// Whether the key itself is watched with those below it; the root has no value.
    const fn is_range(&self) -> bool {
        self.below && !self.whole && !self.key.is_empty()
    }

    pub(super) fn watch<'a>(&'a self, kv: &'a Handle) -> WatchBuilder<'a, Handle> {
        match self.below {
            true if self.is_range() => kv.watch_range(Bound::Included(&self.key), Bound::Excluded(&self.end)),
            true => kv.watch_tree(&self.key),
            false => kv.watch_key(&self.key),
        }
    }

    /// What is there: at a revision where the store can read a past one, else now.
    pub(super) async fn present(&self, kv: &Handle, at: Revision) -> Result<Vec<KVPair>> {
        let past = kv.capabilities().contains(Capabilities::REVISION_READS);
        if !self.below {
            // One key is no directory: nobody asks what it was.
            return Ok(Vec::new());
        }
        let list = match self.is_range() {
            true => kv.list_range(Bound::Included(&self.key), Bound::Excluded(&self.end)),
            false => kv.list(&self.key),
        };
        let pairs = if past { list.at(at).await? } else { list.await? };
        Ok(pairs.into_iter().filter(|pair| self.covers(&pair.key)).map(KVPair::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_not_watched() {
        let key = |recursive| Watched::key_of("a".to_owned(), recursive);
        for (watched, covered) in [
            (key(false), &["a"][..]),
            (key(true), &["a", "a/b", "a/b/c"]),
            (Watched::tree_of("a".to_owned()), &["a/b", "a/b/c"]),
            (Watched::tree_of(String::new()), &["a", "a-b", "a/b", "a/b/c", "b"]),
            (Watched::key_of(String::new(), true), &["a", "a-b", "a/b", "a/b/c", "b"]),
        ] {
            let found: Vec<_> =
                ["a", "a-b", "a/b", "a/b/c", "b"].into_iter().filter(|key| watched.covers(key)).collect();
            assert_eq!(found, covered, "{watched:?}");
        }
    }
}
