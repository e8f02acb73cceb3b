//! Keys as a directory tree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use kvdb::ListOptions;
use kvdb::prelude::*;

use super::name::path_of;
use super::stage::Stage;
use crate::failure::Failure;

/// Writes every key of a snapshot as a file below `root`; answers how many keys and bytes. All of them appear in the
/// end, or none.
///
/// # Errors
/// The first place that is taken, by name, before anything is written; keys that cannot be files beside each other.
pub(crate) async fn write_tree(
    snapshot: &Snapshot,
    root: &Path,
    force: bool,
    progress: &ProgressBar,
) -> Result<(u64, u64), Failure> {
    let mut options = ListOptions::default();
    options.keys_only = true;
    let names = snapshot.list_opts(Target::Tree(""), options).await?.collect().await?.names;
    let above: BTreeSet<&str> = names.iter().flat_map(|name| parents(name)).collect();
    let place = |key: &str| path_of(key, above.contains(key));

    let mut stage = Stage::new(force);
    let mut directories: BTreeSet<PathBuf> = BTreeSet::new();
    let places: Vec<PathBuf> = names.iter().map(|name| place(name)).collect();
    for path in &places {
        directories.extend(path.ancestors().skip(1).map(Path::to_owned));
    }
    for (path, name) in places.iter().zip(&names) {
        if directories.contains(path) {
            return Err(no_room(name, path));
        }
        stage.check(&root.join(path))?;
    }
    drop(places);
    if !root.is_dir() {
        stage.directory(root)?;
    }
    for directory in directories.iter().filter(|directory| !directory.as_os_str().is_empty()) {
        stage.directory(&root.join(directory))?;
    }

    progress.set_length(names.len() as u64);
    let (mut keys, mut bytes) = (0, 0);
    let mut pages = snapshot.list_opts(Target::Tree(""), ListOptions::default()).await?;
    while let Some(page) = pages.next().await {
        for pair in page?.pairs {
            stage.file(&root.join(place(&pair.key)), &pair.value)?;
            keys += 1;
            bytes += pair.value.len() as u64;
            progress.inc(1);
        }
        // Ctrl-C is heard between pages.
        tokio::task::yield_now().await;
    }
    stage.publish()?;
    Ok((keys, bytes))
}

/// The directories that a key lies in.
fn parents(key: &str) -> impl Iterator<Item = &str> {
    key.match_indices('/').filter_map(|(end, _)| key.get(..end))
}

fn no_room(key: &str, path: &Path) -> Failure {
    let message = format!(
        "the key {} cannot be a file: {} is the directory of other keys; export to a JSON file instead",
        key.escape_debug(),
        path.display()
    );
    Failure::Refused { kind: "BadNames", message }
}
