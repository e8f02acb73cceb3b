//! Which file is which key.

use std::path::{Component, Path, PathBuf};

use kvdb::Limits;

use super::VALUE_FILE;

/// The segment that is the library's own.
const RESERVED: &str = "_kvdb";

/// The key of a file by its path below the root of a tree.
pub(super) fn key_of(path: &Path) -> Result<String, String> {
    let mut segments = Vec::new();
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        segments.push(name.to_str().ok_or("its name is not UTF-8")?);
    }
    if segments.last() == Some(&VALUE_FILE) {
        segments.pop();
    }
    if segments.is_empty() {
        return Err(format!("the `{VALUE_FILE}` of the whole tree has no key"));
    }
    let key = segments.join("/");
    refused_text(&key).map_or(Ok(key), Err)
}

/// The file of a key below the root of a tree; a key that has `children` is a directory.
pub(super) fn path_of(key: &str, children: bool) -> PathBuf {
    let path = PathBuf::from(key);
    // A key that is named like a value file would be read back as its parent.
    let inside = children || key.rsplit('/').next() == Some(VALUE_FILE);
    if inside { path.join(VALUE_FILE) } else { path }
}

/// Why no store takes a key and a value of so many bytes, if so.
pub(crate) fn refusal(key: &str, bytes: u64, limits: &Limits, domain: &str) -> Option<String> {
    let key_bytes = if domain.is_empty() { key.len() } else { domain.len() + 1 + key.len() };
    let value_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if let Some(refused) = refused_text(key) {
        return Some(refused);
    }
    if key_bytes > limits.key_bytes {
        return Some(format!("its name has {key_bytes} bytes, the store takes {}", limits.key_bytes));
    }
    let most = limits.value_bytes.min(limits.batch_bytes.saturating_sub(key_bytes));
    (value_bytes > most).then(|| format!("it has {bytes} bytes, the store takes {most}"))
}

/// Why no key has this text, if so.
fn refused_text(key: &str) -> Option<String> {
    if let Some(control) = key.chars().find(|c| c.is_control()) {
        return Some(format!("its name has the control character U+{:04X}", u32::from(control)));
    }
    let mut segments = key.split('/').filter(|segment| !segment.is_empty()).peekable();
    if segments.peek().is_none() {
        return Some("its name is empty".to_owned());
    }
    segments.find_map(|segment| match segment {
        "." | ".." => Some(format!("`{segment}` is no part of a key")),
        RESERVED => Some(format!("`{RESERVED}` is the store's own")),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kvdb::prelude::*;

    use super::*;

    #[test]
    fn a_key_and_its_file_lead_to_each_other() {
        for (key, children, path) in [
            ("a", false, "a"),
            ("a", true, "a/.value"),
            ("a/b", false, "a/b"),
            ("a/.value", false, "a/.value/.value"),
            ("a/.value", true, "a/.value/.value"),
            (".value", false, ".value/.value"),
            ("a/.value/b", false, "a/.value/b"),
        ] {
            assert_eq!(path_of(key, children), Path::new(path));
            assert_eq!(key_of(Path::new(path)).as_deref(), Ok(key));
        }
        assert!(key_of(Path::new(".value")).is_err());
    }

    #[tokio::test]
    async fn exactly_what_the_store_refuses_is_refused() {
        let kv =
            kvdb::connect_with("mem:", Options::new().set("max_value_bytes", 100).set("domain", "app")).await.unwrap();
        let limits = kv.limits();
        let long = "k".repeat(limits.key_bytes - 4);
        let longer = "k".repeat(limits.key_bytes - 3);
        for key in [
            "a",
            "a b",
            "ü/é",
            "",
            "/",
            "/a//b/",
            "a\nb",
            "a\u{7f}",
            "a\u{9f}",
            ".",
            "a/..",
            "_kvdb",
            "a/_kvdb/b",
            "_kvdb2",
            &long,
            &longer,
        ] {
            for size in [0, 100, 101] {
                let refused = refusal(key, size as u64, &limits, &kv.info().domain);
                let put = kv.put(key, vec![0; size]).timeout(Duration::from_secs(60)).await;
                assert_eq!(refused.is_some(), put.is_err(), "{key:?} {size}: {refused:?} {put:?}");
            }
        }
    }
}
