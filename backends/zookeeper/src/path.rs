//! Where a key is stored. The value of key `a/b` is the znode `/a/b=`; `/a` is a directory, whose data is nobody's.
//!
//! What is written here is the format of what is stored: it never changes.

use kvdb_core::Key;

/// How many generation nodes a first directory has.
const GENERATIONS: u64 = 64;

/// ZooKeeper's own node below the root.
const SYSTEM: &str = "zookeeper";

/// The path of a key's value. Every key has one, whatever its bytes.
pub(crate) fn leaf(key: &[u8]) -> String {
    let (directory, name) = match key.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (key.get(..slash), key.get(slash + 1..).unwrap_or_default()),
        None => (None, key),
    };
    let mut path = String::with_capacity(key.len() + 2);
    for (index, segment) in
        directory.into_iter().flat_map(|directory| directory.split(|byte| *byte == b'/')).enumerate()
    {
        path.push('/');
        push_directory(&mut path, segment, index == 0);
    }
    path.push('/');
    push_encoded(&mut path, name);
    path.push('=');
    path
}

/// The path of the directory of all keys that begin with `prefix`, which is cut behind its last slash.
pub(crate) fn directory(prefix: &[u8]) -> String {
    let Some(slash) = prefix.iter().rposition(|byte| *byte == b'/') else { return "/".to_owned() };
    let mut path = String::with_capacity(prefix.len() + 1);
    for (index, segment) in prefix.get(..slash).unwrap_or_default().split(|byte| *byte == b'/').enumerate() {
        path.push('/');
        push_directory(&mut path, segment, index == 0);
    }
    path
}

/// The key whose value is at this path; `None` for directories, the library's own nodes and names that nobody here
/// writes.
pub(crate) fn key(path: &str) -> Option<Key> {
    let path = path.strip_prefix('/')?;
    let (directories, name) = path.rsplit_once('/').map_or((None, path), |(before, name)| (Some(before), name));
    let mut bytes = Vec::with_capacity(path.len());
    for segment in directories.into_iter().flat_map(|directories| directories.split('/')) {
        if segment != "%" {
            push_decoded(&mut bytes, segment)?;
        }
        bytes.push(b'/');
    }
    push_decoded(&mut bytes, name.strip_suffix('=')?)?;
    // Another way to write a name is somebody else's node.
    (leaf(&bytes).get(1..) == Some(path)).then(|| Key::new(bytes))
}

/// How the keys of a directory begin, by its path.
pub(crate) fn prefix(directory: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(directory.len() + 1);
    for segment in directory.split('/').filter(|segment| !segment.is_empty()) {
        if segment != "%" {
            push_decoded(&mut bytes, segment)?;
        }
        bytes.push(b'/');
    }
    Some(bytes)
}

/// Whether a node of this name is the value of a key.
pub(crate) fn is_leaf(name: &str) -> bool {
    name.ends_with('=')
}

/// The path of a child.
pub(crate) fn child(directory: &str, name: &str) -> String {
    match directory {
        "/" => format!("/{name}"),
        _ => format!("{directory}/{name}"),
    }
}

/// The path of the directory that a node lies in.
pub(crate) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((parent, _)) => parent,
    }
}

/// Whether a directory can hold keys: the generations and ZooKeeper's own nodes cannot.
pub(crate) fn holds_keys(directory: &str) -> bool {
    let mut segments = directory.split('/').skip(1);
    let found = [segments.next(), segments.next(), segments.next(), segments.next()];
    !matches!(
        found,
        [Some(SYSTEM), None, ..] | [Some("_kvdb"), Some("gen"), None, _] | [Some(_), Some("_kvdb"), Some("gen"), None]
    )
}

/// The node that every creation and every deletion of a key sets, with 63 others below the first directory of the key:
/// while it has the same version, the key is the same incarnation.
pub(crate) fn generation(key: &[u8]) -> String {
    // FNV-1a.
    let hash = key
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{}/gen/{}", reserved(key), hash % GENERATIONS)
}

/// The node that strict reads set.
pub(crate) fn barrier(key: &[u8]) -> String {
    format!("{}/strict", reserved(key))
}

/// The library's own directory for a key.
fn reserved(key: &[u8]) -> String {
    let mut path = String::new();
    if let Some(slash) = key.iter().position(|byte| *byte == b'/') {
        path.push('/');
        push_directory(&mut path, key.get(..slash).unwrap_or_default(), true);
    }
    path.push_str("/_kvdb");
    path
}

fn push_directory(path: &mut String, segment: &[u8], first: bool) {
    match segment {
        b"" => path.push('%'),
        b"." => path.push_str("%2E"),
        b".." => path.push_str("%2E%2E"),
        b"zookeeper" if first => path.push_str("%7Aookeeper"),
        _ => push_encoded(path, segment),
    }
}

fn push_encoded(path: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if is_plain(char) {
                path.push(char);
            } else {
                push_escaped(path, char.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        push_escaped(path, chunk.invalid());
    }
}

fn push_escaped(path: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        path.push('%');
        for digit in [byte >> 4, byte & 15] {
            path.extend(DIGITS.get(usize::from(digit)).map(|digit| char::from(*digit)));
        }
    }
}

/// Whether a character stands for itself: not ours, and not one that ZooKeeper refuses, whose strings are UTF-16.
fn is_plain(char: char) -> bool {
    !matches!(char, '%' | '=' | '/' | '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{d7ff}'..='\u{f8ff}' | '\u{fff0}'..)
}

fn push_decoded(bytes: &mut Vec<u8>, segment: &str) -> Option<()> {
    let mut rest = segment.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = tail;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_leaf_and_its_directories() {
        for (name, path) in [
            ("a", "/a="),
            ("a/b", "/a/b="),
            ("a=b/c%/d=", "/a%3Db/c%25/d%3D="),
            ("ü/日本", "/ü/日本="),
            ("😀", "/%F0%9F%98%80="),
            ("\u{e000}\u{ffff}\u{85}", "/%EE%80%80%EF%BF%BF%C2%85="),
            ("./..", "/%2E/..="),
            ("../.", "/%2E%2E/.="),
            ("zookeeper/zookeeper/zookeeper", "/%7Aookeeper/zookeeper/zookeeper="),
            ("", "/="),
            ("/", "/%/="),
            ("a//", "/a/%/="),
        ] {
            assert_eq!(leaf(name.as_bytes()), path);
            assert_eq!(key(path), Some(Key::from(name)), "{path}");
        }
        let binary = [b'a', 0xff, b'/', 0xc3];
        assert_eq!(leaf(&binary), "/a%FF/%C3=");
        assert_eq!(key("/a%FF/%C3="), Some(Key::copy_from(&binary)));
    }

    #[test]
    fn what_nobody_here_writes_is_no_key() {
        for path in ["/a", "/", "/a=/b", "/%41=", "/%4=", "/%zz=", "/a%3d=", "/zookeeper/a=", "/a==", "/./a="] {
            assert_eq!(key(path), None, "{path}");
        }
    }

    #[test]
    fn a_directory_is_that_of_its_keys() {
        for (prefix, path) in [("", "/"), ("a", "/"), ("a/", "/a"), ("a/b/c", "/a/b"), ("//", "/%/%")] {
            assert_eq!(directory(prefix.as_bytes()), path);
        }
        assert_eq!(prefix("/"), Some(vec![]));
        assert_eq!(prefix("/a%3D/%"), Some(b"a=//".to_vec()));
        assert_eq!((parent("/a/b="), parent("/a="), parent("/")), ("/a", "/", "/"));
        assert_eq!((child("/", "a"), child("/a", "b=")), ("/a".to_owned(), "/a/b=".to_owned()));
    }

    #[test]
    fn generations_lie_below_the_first_directory_and_hold_no_keys() {
        assert_eq!(generation(b"a"), generation(b"a"));
        assert!(generation(b"a").starts_with("/_kvdb/gen/"));
        assert!(generation(b"a/b/c").starts_with("/a/_kvdb/gen/"));
        assert!(barrier(b"zookeeper/b").starts_with("/%7Aookeeper/_kvdb/"));
        let all: std::collections::HashSet<String> = (0..2000).map(|n| generation(n.to_string().as_bytes())).collect();
        assert_eq!(all.len(), 64);
        for (path, holds) in [
            ("/", true),
            ("/zookeeper", false),
            ("/a/zookeeper", true),
            ("/_kvdb", true),
            ("/_kvdb/gen", false),
            ("/a/_kvdb/gen", false),
            ("/a/_kvdb/lock", true),
            ("/a/b/_kvdb/gen", true),
        ] {
            assert_eq!(holds_keys(path), holds, "{path}");
        }
    }
}
