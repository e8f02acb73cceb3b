//! A directory tree as keys.

use std::fs::File;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::load::{Item, Source};
use super::name::key_of;
use crate::failure::Failure;

/// What cannot be a key, and why.
#[derive(Debug)]
pub(crate) struct Bad {
    /// The file, or the key of a dump.
    pub(crate) name: String,
    pub(crate) why: String,
}

/// Every file below a directory, sorted, links followed; and what cannot be a key. Values are not read yet.
///
/// # Errors
/// When the directory itself cannot be read.
pub(crate) fn scan(root: &Path) -> Result<(Vec<Item>, Vec<Bad>), Failure> {
    std::fs::read_dir(root).map_err(|error| Failure::Io(format!("cannot read {}", root.display()), error))?;
    let (mut items, mut bad) = (Vec::new(), Vec::new());
    let mut walk = WalkDir::new(root).follow_links(true).min_depth(1).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let name = error.path().unwrap_or(root).display().to_string();
                bad.push(Bad { name, why: why(&error) });
                continue;
            }
        };
        match look(&entry, root) {
            Ok(item) => items.extend(item),
            Err(why) => {
                bad.push(Bad { name: entry.path().display().to_string(), why });
                if entry.file_type().is_dir() {
                    // Named once, not for every file below it.
                    walk.skip_current_dir();
                }
            }
        }
    }
    Ok((items, bad))
}

/// The key of an entry; `None` for a directory.
fn look(entry: &DirEntry, root: &Path) -> Result<Option<Item>, String> {
    let path: PathBuf = entry.path().to_owned();
    let below = path.strip_prefix(root).unwrap_or(&path);
    let kind = entry.file_type();
    if kind.is_dir() {
        // Its own name only: `.value` may be a directory's.
        return key_of(&below.join("x")).map(|_| None);
    }
    if !kind.is_file() {
        return Err("it is neither a file nor a directory".to_owned());
    }
    let key = key_of(below)?;
    let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
    let bytes = File::open(&path).and_then(|file| file.metadata()).map_err(unreadable)?.len();
    Ok(Some(Item { key, bytes, source: Source::File(path) }))
}

fn why(error: &walkdir::Error) -> String {
    match (error.loop_ancestor(), error.io_error()) {
        (Some(ancestor), _) => format!("the link leads back to {}", ancestor.display()),
        (None, Some(error)) => format!("it cannot be read: {error}"),
        (None, None) => error.to_string(),
    }
}
