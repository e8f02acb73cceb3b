//! Keys in paths: what may stand there, how it is written, and which prefix covers a range.

use std::fmt::Write;
use std::ops::Bound;

use kvdb_core::{Error, Key, KeyRange, Result};

/// The text of a key.
///
/// # Errors
/// `InvalidArgument`: Consul's keys are text.
pub(crate) fn text(key: &Key) -> Result<&str> {
    std::str::from_utf8(key.as_bytes())
        .map_err(|source| Error::invalid("Consul's keys are UTF-8 text").with_key(key.to_string()).with_source(source))
}

/// Percent-encodes every byte of a key but slashes and RFC 3986's unreserved ones.
pub(crate) fn encoded(key: &str) -> String {
    let mut path = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

/// The longest start of a key or prefix that may stand in a path.
///
/// The agent refuses paths with characters that its Go release does not call printable, and redirects those with
/// empty, `.` and `..` segments (both measured on 1.8.7). Such keys are read by `/v1/txn`, such prefixes are cut short.
pub(crate) fn plain_part(text: &str) -> &str {
    let end = text.char_indices().find(|(_, char)| !is_plain_char(*char)).map_or(text.len(), |(at, _)| at);
    let plain = text.get(..end).unwrap_or_default();
    let mut at = 0;
    for segment in plain.split('/') {
        if matches!(segment, "." | "..") || (segment.is_empty() && at < plain.len()) {
            return plain.get(..at).unwrap_or_default();
        }
        at += segment.len() + 1;
    }
    plain
}

/// Whether a key may stand in a path.
pub(crate) fn is_plain(key: &str) -> bool {
    plain_part(key).len() == key.len()
}

/// Printable by every release of Go: ASCII, and letters that Unicode has had for long.
fn is_plain_char(char: char) -> bool {
    matches!(char, ' '..='~')
        || (char.is_alphanumeric()
            && matches!(char, '\u{c0}'..='\u{52f}' | '\u{3041}'..='\u{3096}' | '\u{4e00}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7a3}'))
}

/// A prefix of every key of the range, as long as its bounds tell.
pub(crate) fn common_prefix(range: &KeyRange) -> String {
    let (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) =
        (&range.start, &range.end)
    else {
        return String::new();
    };
    let (start, bytes) = (start.as_bytes(), end.as_bytes());
    let mut common = start.iter().zip(bytes).take_while(|(one, other)| one == other).count();
    // Up to, and without, the next byte: all keys share one byte more, as those of a directory do.
    if let (Some(first), [last], Bound::Excluded(_)) =
        (start.get(common), bytes.get(common..).unwrap_or_default(), &range.end)
        && first.checked_add(1) == Some(*last)
    {
        common += 1;
    }
    let prefix = start.get(..common).unwrap_or_default();
    match std::str::from_utf8(prefix) {
        Ok(prefix) => prefix.to_owned(),
        Err(cut) => String::from_utf8_lossy(prefix.get(..cut.valid_up_to()).unwrap_or_default()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_is_not_unreserved_is_encoded() {
        assert_eq!(encoded("a/b c?d=%2F#ü+"), "a/b%20c%3Fd%3D%252F%23%C3%BC%2B");
    }

    #[test]
    fn a_path_is_cut_before_what_the_agent_would_refuse_or_redirect() {
        for (text, plain) in [
            ("", ""),
            ("a/b", "a/b"),
            ("a/b/", "a/b/"),
            ("a//b", "a/"),
            ("/a", ""),
            ("a/../b", "a/"),
            ("a/.", "a/"),
            ("a/.b..", "a/.b.."),
            ("ä/日本", "ä/日本"),
            ("a\u{2028}b", "a"),
            ("x/\u{ad}", "x/"),
            ("😀", ""),
            ("a b", "a b"),
        ] {
            assert_eq!(plain_part(text), plain, "{text:?}");
            assert_eq!(is_plain(text), text == plain, "{text:?}");
        }
    }

    #[test]
    fn a_range_is_read_by_the_longest_prefix_of_its_keys() {
        let range = |start: &str, end: &str| KeyRange {
            start: Bound::Included(start.into()),
            end: Bound::Excluded(end.into()),
        };
        assert_eq!(common_prefix(&KeyRange::prefix(b"app/x/")), "app/x/");
        assert_eq!(common_prefix(&range("app/m", "app0")), "app/");
        assert_eq!(common_prefix(&range("app/a", "app/b")), "app/a");
        assert_eq!(common_prefix(&range("app/a", "app/c")), "app/");
        assert_eq!(common_prefix(&KeyRange::single("k".into())), "k");
        assert_eq!(common_prefix(&KeyRange::all()), "");
        assert_eq!(common_prefix(&range("ä", "å")), "ä");
        assert_eq!(common_prefix(&range("ä", "ç")), "");
        assert_eq!(common_prefix(&range("b", "a")), "");
    }
}
