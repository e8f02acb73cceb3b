use std::borrow::Borrow;
use std::fmt;
use std::ops::{Bound, RangeBounds};

use bytes::Bytes;

/// An absolute key as a backend sees it: opaque bytes, the domain included.
///
/// Text rules (contract 1.1, 1.2) are the engine's alone; a backend compares, stores and returns bytes.
/// Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// Wraps bytes without looking at them.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// Copies `bytes` into a key.
    #[must_use]
    pub fn copy_from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The shared buffer behind the key.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the key has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::copy_from(text.as_bytes())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

/// Shows text as text, other bytes escaped.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) => f.write_str(text),
            Err(_) => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// A contiguous range of absolute keys in byte order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// Where the range begins.
    pub start: Bound<Key>,
    /// Where it ends.
    pub end: Bound<Key>,
}

impl KeyRange {
    /// Every key of the store.
    #[must_use]
    pub const fn all() -> Self {
        Self { start: Bound::Unbounded, end: Bound::Unbounded }
    }

    /// Just this key.
    #[must_use]
    pub fn single(key: Key) -> Self {
        Self { start: Bound::Included(key.clone()), end: Bound::Included(key) }
    }

    /// Every key that begins with `prefix`; with an empty prefix every key.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        if prefix.is_empty() {
            return Self::all();
        }
        Self { start: Bound::Included(Key::copy_from(prefix)), end: prefix_end(prefix) }
    }

    /// The one key of a range made by [`KeyRange::single`].
    #[must_use]
    pub fn as_single(&self) -> Option<&Key> {
        match (&self.start, &self.end) {
            (Bound::Included(a), Bound::Included(b)) if a == b => Some(a),
            _ => None,
        }
    }

    /// Whether `key` lies in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        (match &self.start {
            Bound::Included(start) => key >= start.as_bytes(),
            Bound::Excluded(start) => key > start.as_bytes(),
            Bound::Unbounded => true,
        }) && (match &self.end {
            Bound::Included(end) => key <= end.as_bytes(),
            Bound::Excluded(end) => key < end.as_bytes(),
            Bound::Unbounded => true,
        })
    }

    /// Whether no key can lie in the range, so that the standard ordered maps would refuse its bounds.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Included(a), Bound::Included(b)) => a > b,
            (Bound::Included(a), Bound::Excluded(b)) | (Bound::Excluded(a), Bound::Included(b)) => a >= b,
            (Bound::Excluded(a), Bound::Excluded(b)) => a >= b,
            _ => false,
        }
    }

    /// The part of this range that lies after `key`, or before it when `reverse`.
    #[must_use]
    pub fn beyond(&self, key: Key, reverse: bool) -> Self {
        let mut rest = self.clone();
        if reverse {
            rest.end = Bound::Excluded(key);
        } else {
            rest.start = Bound::Excluded(key);
        }
        rest
    }

    /// What is left of this range without every key that begins with `prefix`: at most two ranges, in order.
    #[must_use]
    pub fn without_prefix(&self, prefix: &[u8]) -> Vec<Self> {
        let hole_start = Key::copy_from(prefix);
        let mut rest = Vec::with_capacity(2);
        let left = Self { start: self.start.clone(), end: min_end(&self.end, Bound::Excluded(hole_start)) };
        if !left.is_empty() {
            rest.push(left);
        }
        if let Bound::Excluded(after) = prefix_end(prefix) {
            let right = Self { start: max_start(&self.start, Bound::Included(after)), end: self.end.clone() };
            if !right.is_empty() {
                rest.push(right);
            }
        }
        rest
    }
}

/// The first bound behind every key that begins with `prefix`.
fn prefix_end(prefix: &[u8]) -> Bound<Key> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return Bound::Excluded(Key::new(end));
        }
        end.pop();
    }
    Bound::Unbounded
}

fn min_end(a: &Bound<Key>, b: Bound<Key>) -> Bound<Key> {
    match (a, &b) {
        (Bound::Unbounded, _) => b,
        (Bound::Included(x), Bound::Excluded(y)) if x >= y => b,
        (Bound::Excluded(x), Bound::Excluded(y)) if x > y => b,
        _ => a.clone(),
    }
}

fn max_start(a: &Bound<Key>, b: Bound<Key>) -> Bound<Key> {
    match (a, &b) {
        (Bound::Unbounded, _) => b,
        (Bound::Included(x) | Bound::Excluded(x), Bound::Included(y)) if x < y => b,
        _ => a.clone(),
    }
}

impl RangeBounds<[u8]> for KeyRange {
    fn start_bound(&self) -> Bound<&[u8]> {
        self.start.as_ref().map(Key::as_bytes)
    }

    fn end_bound(&self) -> Bound<&[u8]> {
        self.end.as_ref().map(Key::as_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_range_holds_exactly_the_keys_that_begin_with_it() {
        let range = KeyRange::prefix(b"a/");
        assert!(range.contains(b"a/") && range.contains(b"a/\xff\xff"));
        assert!(!range.contains(b"a") && !range.contains(b"a0") && !range.contains(b"b"));
        assert!(KeyRange::prefix(b"\xff").contains(b"\xff\xff\xff"));
    }

    #[test]
    fn a_hole_leaves_both_sides() {
        let rest = KeyRange::prefix(b"a/").without_prefix(b"a/k/");
        assert_eq!(rest.len(), 2);
        let covered = |key: &[u8]| rest.iter().any(|range| range.contains(key));
        assert!(covered(b"a/a") && covered(b"a/k") && covered(b"a/k0") && covered(b"a/z"));
        assert!(!covered(b"a/k/") && !covered(b"a/k/x") && !covered(b"b"));
        assert_eq!(KeyRange::prefix(b"b/").without_prefix(b"a/k/"), vec![KeyRange::prefix(b"b/")]);
        assert_eq!(KeyRange::prefix(b"a/k/x").without_prefix(b"a/k/"), vec![]);
    }
}
