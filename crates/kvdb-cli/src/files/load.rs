//! Writing many keys.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use kvdb::prelude::*;

use super::scan::scan;
use crate::failure::Failure;

/// The most keys that are read before they are written: as many as an import puts into one transaction.
const KEYS: usize = 1_000;
/// The most bytes likewise, so that memory stays small.
const BYTES: usize = 8 << 20;

/// A key to be written.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) bytes: u64,
    pub(crate) source: Source,
}

/// Where its value is.
#[derive(Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Value(Bytes),
}

impl Item {
    /// What somebody knows it by.
    pub(crate) fn name(&self) -> String {
        match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Value(_) => self.key.clone(),
        }
    }

    fn read(self) -> Result<KvPair, Failure> {
        let value = match self.source {
            Source::Value(value) => value,
            Source::File(path) => match std::fs::read(&path) {
                Ok(value) => value.into(),
                Err(error) => return Err(Failure::Io(format!("cannot read {}", path.display()), error)),
            },
        };
        Ok(KvPair::new(self.key, value))
    }
}

/// Writes all of them, many in a transaction; answers how many keys and bytes.
///
/// # Errors
/// That of a file or of a transaction; the transactions before it stand.
pub(crate) async fn load<K: Kvdb + ?Sized>(
    kv: &K,
    items: Vec<Item>,
    progress: &ProgressBar,
) -> Result<(u64, u64), Failure> {
    let most = BYTES.min(kv.limits().batch_bytes / 2);
    let (mut keys, mut bytes) = (0, 0);
    let mut batch: Vec<KvPair> = Vec::new();
    let mut size = 0;
    for item in items {
        let pair = item.read()?;
        if batch.len() == KEYS || (size + pair.value.len() > most && !batch.is_empty()) {
            keys += write(kv, &mut batch, progress).await?;
            size = 0;
        }
        size += pair.value.len();
        bytes += pair.value.len() as u64;
        batch.push(pair);
    }
    keys += write(kv, &mut batch, progress).await?;
    Ok((keys, bytes))
}

async fn write<K: Kvdb + ?Sized>(kv: &K, batch: &mut Vec<KvPair>, progress: &ProgressBar) -> Result<u64, Failure> {
    let written = kv.import(batch).await?;
    progress.inc(batch.len() as u64);
    batch.clear();
    Ok(written)
}

/// Writes every file below a directory as a key, as `kvdb import` does; answers how many.
///
/// # Errors
/// When something in it cannot be a key, before anything is written; that of a file or of the store.
pub async fn import_directory<K: Kvdb + ?Sized>(kv: &K, directory: &Path) -> Result<u64, Failure> {
    let (items, bad) = scan(directory)?;
    if let Some(bad) = bad.first() {
        return Err(Failure::Refused { kind: "BadNames", message: format!("{}: {}", bad.name, bad.why) });
    }
    Ok(load(kv, items, &ProgressBar::hidden()).await?.0)
}
