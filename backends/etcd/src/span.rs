//! Key ranges as etcd writes them.

use std::ops::Bound;

use kvdb_core::{Key, KeyRange};

/// A range that can hold a key: from `key` (inclusive) to `end` (exclusive). An empty `end` names the one key, `\0`
/// everything from `key` on. No key of etcd is empty: the first one is `\0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) key: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

impl Span {
    /// `None` for a range in which no key can lie.
    pub(crate) fn of(range: &KeyRange) -> Option<Self> {
        let key = match &range.start {
            Bound::Included(key) if key.is_empty() => vec![0],
            Bound::Included(key) => key.as_bytes().to_vec(),
            Bound::Excluded(key) => behind(key.as_bytes()),
            Bound::Unbounded => vec![0],
        };
        let end = match &range.end {
            Bound::Included(end) => behind(end.as_bytes()),
            Bound::Excluded(end) => end.as_bytes().to_vec(),
            Bound::Unbounded => return Some(Self { key, end: vec![0] }),
        };
        if end <= key {
            return None;
        }
        let single = end.strip_prefix(key.as_slice()) == Some(&[0]);
        Some(Self { key, end: if single { Vec::new() } else { end } })
    }

    /// Whether a key lies in both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let begins_before_the_end_of = |one: &Self, of: &Self| match of.end.as_slice() {
            [] => one.key <= of.key,
            [0] => true,
            end => one.key.as_slice() < end,
        };
        begins_before_the_end_of(self, other) && begins_before_the_end_of(other, self)
    }

    /// The part behind `last`, or before it when `reverse`. `last` lies in the span, so that a single key leaves none.
    pub(crate) fn beyond(mut self, last: &Key, reverse: bool) -> Option<Self> {
        if self.end.is_empty() {
            return None;
        }
        let open = self.end == [0] && !reverse;
        if reverse {
            self.end = last.as_bytes().to_vec();
        } else {
            self.key = behind(last.as_bytes());
        }
        (open || self.key < self.end).then_some(self)
    }
}

/// A key of etcd that stands for the range in a question about nothing but the store's revision.
pub(crate) fn probe_key(range: &KeyRange) -> Vec<u8> {
    match &range.start {
        Bound::Included(key) | Bound::Excluded(key) if !key.is_empty() => key.as_bytes().to_vec(),
        _ => vec![0],
    }
}

/// The first key after this one.
fn behind(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: Bound<&str>, end: Bound<&str>) -> Option<(Vec<u8>, Vec<u8>)> {
        let range = KeyRange { start: start.map(Key::from), end: end.map(Key::from) };
        Span::of(&range).map(|span| (span.key, span.end))
    }

    fn bytes(key: &str, end: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        Some((key.as_bytes().to_vec(), end.as_bytes().to_vec()))
    }

    #[test]
    fn bounds_become_a_start_and_an_end() {
        use Bound::{Excluded, Included, Unbounded};
        assert_eq!(span(Included("a"), Excluded("c")), bytes("a", "c"));
        assert_eq!(span(Excluded("a"), Included("c")), bytes("a\0", "c\0"));
        assert_eq!(span(Included("a"), Included("a")), bytes("a", ""));
        assert_eq!(span(Included("a"), Excluded("a\0")), bytes("a", ""));
        assert_eq!(span(Included("a"), Unbounded), bytes("a", "\0"));
        assert_eq!(span(Unbounded, Unbounded), bytes("\0", "\0"));
        assert_eq!(span(Unbounded, Excluded("a")), bytes("\0", "a"));
        assert_eq!(span(Unbounded, Included("\0")), bytes("\0", ""));
    }

    #[test]
    fn ranges_without_room_are_none() {
        use Bound::{Excluded, Included, Unbounded};
        for (start, end) in [
            (Included("b"), Included("a")),
            (Included("a"), Excluded("a")),
            (Excluded("a"), Included("a")),
            (Excluded("a"), Excluded("a\0")),
            (Included(""), Included("")),
            (Unbounded, Excluded("")),
            (Unbounded, Excluded("\0")),
        ] {
            assert_eq!(span(start, end), None, "{start:?} {end:?}");
        }
    }

    #[test]
    fn what_lies_beyond_a_key_ends_with_the_span() {
        let whole = Span::of(&KeyRange::prefix(b"a/")).unwrap();
        let rest = whole.clone().beyond(&"a/x".into(), false).unwrap();
        assert_eq!((rest.key.as_slice(), rest.end.as_slice()), (&b"a/x\0"[..], &b"a0"[..]));
        let rest = whole.clone().beyond(&"a/x".into(), true).unwrap();
        assert_eq!((rest.key.as_slice(), rest.end.as_slice()), (&b"a/"[..], &b"a/x"[..]));
        assert_eq!(whole.beyond(&"a/".into(), true), None);
        assert_eq!(Span::of(&KeyRange::single("a".into())).unwrap().beyond(&"a".into(), false), None);
        let all = Span::of(&KeyRange::all()).unwrap();
        assert_eq!(all.clone().beyond(&"z".into(), false).unwrap().end, [0]);
        assert_eq!(all.beyond(&"\0".into(), true), None);
    }
}
