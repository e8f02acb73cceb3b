//! The node that deletions set, for its index is theirs: Consul tells none for a deletion itself (contract 2.4).

use std::sync::atomic::{AtomicUsize, Ordering};

use kvdb_core::Key;

const NAME: &str = "_kvdb/deleted";

/// Whether a key is a marker, which nobody but this backend sees.
pub(crate) fn is_marker(key: &[u8]) -> bool {
    key.strip_suffix(NAME.as_bytes()).is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
}

/// In which directory the markers lie: the root, where one node is enough and wakes no watch of a domain, unless the
/// token may not write there; then the first directory on the way to the deleted key where it may.
#[derive(Debug, Default)]
pub(crate) struct Depth(AtomicUsize);

impl Depth {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes that the token may not write at `depth`.
    pub(crate) fn denied(&self, depth: usize) {
        self.0.fetch_max(depth + 1, Ordering::Relaxed);
    }
}

/// The marker of a deletion of `key`, `depth` directories below the root; `None` when the key does not lie so deep or
/// the directory would be the library's own.
pub(crate) fn marker(key: &Key, depth: usize) -> Option<String> {
    if depth == 0 {
        return Some(NAME.to_owned());
    }
    let text = std::str::from_utf8(key.as_bytes()).ok()?;
    let (end, _) = text.match_indices('/').nth(depth - 1)?;
    let directory = text.get(..=end)?;
    (!directory.split('/').any(|segment| segment == "_kvdb")).then(|| format!("{directory}{NAME}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_lies_on_the_way_to_the_key_and_outside_the_librarys_own() {
        let key = Key::from("app/_kvdb/lock/job/x");
        assert_eq!(marker(&key, 0).as_deref(), Some("_kvdb/deleted"));
        assert_eq!(marker(&key, 1).as_deref(), Some("app/_kvdb/deleted"));
        assert_eq!(marker(&key, 2), None);
        assert_eq!(marker(&Key::from("app"), 1), None);
        assert_eq!(marker(&Key::from("a/b/c"), 2).as_deref(), Some("a/b/_kvdb/deleted"));
    }

    #[test]
    fn only_markers_are_markers() {
        for (key, yes) in [
            ("_kvdb/deleted", true),
            ("app/_kvdb/deleted", true),
            ("app_kvdb/deleted", false),
            ("_kvdb/deleted/x", false),
            ("_kvdb/lock", false),
        ] {
            assert_eq!(is_marker(key.as_bytes()), yes, "{key}");
        }
    }
}
