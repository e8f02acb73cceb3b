//! Text keys and absolute keys: the only code that applies the domain.

use std::borrow::Cow;
use std::ops::Bound;

use crate::{Error, Key, KeyRange, Result, Target};

/// The segment that no user key may have; everything of the library's own lies below one.
const RESERVED: &str = "_kvdb";

/// A key prefix under which all keys of a handle lie.
#[derive(Clone, Debug)]
pub(crate) struct Domain {
    /// Empty, or normalised text with a slash at its end.
    prefix: String,
}

impl Domain {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut prefix = normalize(name)?.into_owned();
        if !prefix.is_empty() {
            prefix.push('/');
        }
        Ok(Self { prefix })
    }

    pub(crate) fn name(&self) -> &str {
        self.prefix.strip_suffix('/').unwrap_or_default()
    }

    /// The absolute key of a user's key.
    pub(crate) fn key(&self, text: &str) -> Result<Key> {
        self.named_key(text).map(|(key, _)| key)
    }

    /// The absolute key of a user's key, and the key as users see it.
    pub(crate) fn named_key<'t>(&self, text: &'t str) -> Result<(Key, Cow<'t, str>)> {
        let text = normalize(text)?;
        if text.is_empty() {
            return Err(empty());
        }
        Ok((self.join(&[&text]), text))
    }

    /// The range of a user's target.
    pub(crate) fn range(&self, target: Target<'_>) -> Result<KeyRange> {
        match target {
            Target::Key(key) => self.key(key).map(KeyRange::single),
            Target::Tree(prefix) => self.directory(prefix),
            Target::Range(start, end) => self.bounds(start, end),
        }
    }

    fn directory(&self, prefix: &str) -> Result<KeyRange> {
        let text = normalize(prefix)?;
        if text.is_empty() {
            return Ok(KeyRange::prefix(self.prefix.as_bytes()));
        }
        #[cfg(kvdb_mutant = "app_sees_app2")]
        return Ok(KeyRange::prefix(self.join(&[&text]).as_bytes()));
        #[cfg(not(kvdb_mutant = "app_sees_app2"))]
        Ok(KeyRange::prefix(self.join(&[&text, "/"]).as_bytes()))
    }

    fn bounds(&self, start: Bound<&str>, end: Bound<&str>) -> Result<KeyRange> {
        let bound = |bound: Bound<&str>| -> Result<Bound<Key>> {
            let absolute = |text: &str| {
                let text = text.trim_start_matches('/');
                if text.split('/').any(|segment| segment == RESERVED) {
                    return Err(reserved());
                }
                Ok(self.join(&[text]))
            };
            Ok(match bound {
                Bound::Included(text) => Bound::Included(absolute(text)?),
                Bound::Excluded(text) => Bound::Excluded(absolute(text)?),
                Bound::Unbounded => Bound::Unbounded,
            })
        };
        let whole = KeyRange::prefix(self.prefix.as_bytes());
        Ok(KeyRange {
            start: match bound(start)? {
                Bound::Unbounded => whole.start,
                bound => bound,
            },
            end: match bound(end)? {
                Bound::Unbounded => whole.end,
                bound => bound,
            },
        })
    }

    /// The directory of a lock's waiters: its end cannot be part of another lock's name.
    pub(crate) fn lock_directory(&self, name: &str) -> Result<String> {
        let name = normalize(name)?;
        if name.is_empty() {
            return Err(Error::invalid("the lock's name is empty"));
        }
        Ok(format!("{}{RESERVED}/lock/{name}/{RESERVED}/", self.prefix))
    }

    /// The key in which a recipe remembers something about a directory.
    pub(crate) fn note(&self, recipe: &str, directory: &str) -> Result<Key> {
        let name = normalize(directory)?;
        let slash = if name.is_empty() { "" } else { "/" };
        Ok(self.join(&[RESERVED, "/", recipe, "/", &name, slash, RESERVED]))
    }

    /// How the absolute keys begin that belong to a directory: its own, and those of the locks in it.
    pub(crate) fn places(&self, directory: &str) -> Result<Vec<String>> {
        let name = normalize(directory)?;
        if name.is_empty() {
            return Ok(vec![self.prefix.clone()]);
        }
        Ok(vec![format!("{}{name}/", self.prefix), format!("{}{RESERVED}/lock/{name}/", self.prefix)])
    }

    /// The user's text of an absolute key; `None` for what users do not see.
    pub(crate) fn relative<'k>(&self, key: &'k Key) -> Option<&'k str> {
        let inside = key.as_bytes().strip_prefix(self.prefix.as_bytes())?;
        let text = std::str::from_utf8(inside).ok()?;
        (!is_reserved(text)).then_some(text)
    }

    /// The innermost reserved directory that hides an absolute key inside the domain, if one does.
    pub(crate) fn hiding_directory<'k>(&self, key: &'k Key) -> Option<&'k [u8]> {
        let text = std::str::from_utf8(key.as_bytes()).ok()?;
        let inside = text.strip_prefix(self.prefix.as_str())?;
        let mut end = self.prefix.len();
        for segment in inside.split_inclusive('/') {
            end += segment.len();
            if segment.strip_suffix('/') == Some(RESERVED) {
                return text.as_bytes().get(..end);
            }
        }
        None
    }

    fn join(&self, parts: &[&str]) -> Key {
        let mut text = String::with_capacity(self.prefix.len() + parts.iter().map(|part| part.len()).sum::<usize>());
        text.push_str(&self.prefix);
        for part in parts {
            text.push_str(part);
        }
        Key::from(text)
    }
}

/// The number of bytes that a directory's name and slash take at the start of its keys.
pub(crate) fn directory_len(prefix: &str) -> usize {
    match normalize(prefix).map_or(0, |text| text.len()) {
        0 => 0,
        len => len + 1,
    }
}

fn is_reserved(text: &str) -> bool {
    // Without an early end, so that the compiler can look at many bytes at once.
    let underscore = text.bytes().fold(false, |found, byte| found | (byte == b'_'));
    underscore && text.split('/').any(|segment| segment == RESERVED)
}

fn empty() -> Error {
    Error::invalid("the key is empty; a key is text with segments joined by `/`")
}

fn reserved() -> Error {
    Error::invalid("the segment `_kvdb` is the library's own; choose another name")
}

/// Whether a key surely needs no change and no refusal, by one pass over its bytes: no control character, no empty
/// segment, none that begins with a dot or an underscore.
fn is_plain(text: &str) -> bool {
    let mut before = b'/';
    for byte in text.bytes() {
        let suspicious = byte < b' '
            || byte == 0x7f
            // U+0080 to U+009F begin with this byte.
            || byte == 0xc2
            || (before == b'/' && matches!(byte, b'/' | b'.' | b'_'));
        if suspicious {
            return false;
        }
        before = byte;
    }
    before != b'/'
}

/// Removes leading, trailing and repeated slashes and refuses what no key may hold (contract 1.1, 1.2, 1.6).
pub(crate) fn normalize(text: &str) -> Result<Cow<'_, str>> {
    if is_plain(text) {
        return Ok(Cow::Borrowed(text));
    }
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        return Err(Error::invalid(format!("the key holds the control character U+{:04X}", u32::from(control))));
    }
    let mut clean = true;
    for segment in text.split('/') {
        match segment {
            "" => clean = false,
            "." | ".." => return Err(Error::invalid("a key's segment cannot be `.` or `..`")),
            RESERVED => return Err(reserved()),
            _ => {}
        }
    }
    if clean || text.is_empty() {
        return Ok(Cow::Borrowed(text));
    }
    let segments: Vec<&str> = text.split('/').filter(|segment| !segment.is_empty()).collect();
    Ok(Cow::Owned(segments.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_are_normalised_and_the_domain_is_applied_once() {
        let domain = Domain::new("/app//x/").unwrap();
        assert_eq!(domain.name(), "app/x");
        let key = domain.key("///create//foo/").unwrap();
        assert_eq!(key.as_bytes(), b"app/x/create/foo");
        assert_eq!(domain.relative(&key), Some("create/foo"));
        assert_eq!(directory_len("/a//b/"), 4);
        assert_eq!(directory_len("//"), 0);
    }

    #[test]
    fn reserved_segments_are_refused_and_hidden_at_every_depth() {
        let domain = Domain::new("app").unwrap();
        for text in ["_kvdb", "_kvdb/a", "a/_kvdb/b", "a/_kvdb"] {
            assert!(domain.key(text).is_err(), "{text}");
            assert_eq!(domain.relative(&Key::from(format!("app/{text}"))), None, "{text}");
        }
        assert!(domain.key("a_kvdb/_kvdb2").is_ok());
        assert_eq!(domain.hiding_directory(&Key::from("app/a/_kvdb/b")), Some(&b"app/a/_kvdb/"[..]));
    }

    #[test]
    fn the_places_of_a_directory_hold_its_keys_and_its_locks_and_nothing_beside_them() {
        let domain = Domain::new("app").unwrap();
        let inside = |key: &str| domain.places("/a//b/").unwrap().iter().any(|place| key.starts_with(place.as_str()));
        assert!(inside(&domain.key("a/b/c").unwrap().to_string()));
        assert!(inside(&domain.lock_directory("a/b").unwrap()));
        assert!(inside(&domain.lock_directory("a/b/c").unwrap()));
        for beside in ["a/b", "a/bc", "a/c"] {
            assert!(!inside(&domain.key(beside).unwrap().to_string()), "{beside}");
        }
        assert!(!inside(&domain.lock_directory("a").unwrap()));
        assert!(!inside(&domain.lock_directory("a/bc").unwrap()));
        assert_eq!(domain.places("").unwrap(), ["app/"]);
        assert_eq!(Domain::new("").unwrap().places("").unwrap(), [""]);
        assert!(domain.places("a/../b").is_err());
    }

    #[test]
    fn hostile_keys_are_refused() {
        let domain = Domain::new("").unwrap();
        for text in ["", "/", "a/./b", "..", "a\0b", "a\u{7f}", "a\u{9f}b", "a\nb"] {
            assert!(domain.key(text).is_err(), "{text:?}");
        }
    }
}
