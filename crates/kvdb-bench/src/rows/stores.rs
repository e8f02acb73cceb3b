//! The durable store and the raw database beside it.

use std::path::Path;
use std::sync::Arc;

use kvdb_core::{Handle, KvdbExt, Options};
use kvdb_redb::{RedbBackend, RedbConfig};
use redb::{Database, ReadableDatabase, TableDefinition};
use tokio::runtime::Runtime;

use super::Failure;
use super::keys::{DOMAIN, KEYS, key, value};

/// The raw side's only table.
pub(super) const TABLE: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("bench");

/// Our store with everything at its default, and the threads it works on.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) kv: Handle,
    pub(super) runtime: Runtime,
}

impl Ours {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let kv = runtime.block_on(async {
            let backend = Arc::new(RedbBackend::open(path, RedbConfig::default()).await?);
            Handle::open("redb", backend, DOMAIN, &Options::new())
        })?;
        Ok(Self { kv, runtime })
    }

    /// Writes all keys, many at a time so that they share commits.
    pub(super) fn fill(&self) -> Result<(), Failure> {
        const TOGETHER: usize = 1_000;
        self.runtime.block_on(async {
            for begin in (0..KEYS).step_by(TOGETHER) {
                let puts: Vec<_> = (begin..(begin + TOGETHER).min(KEYS))
                    .map(|n| {
                        let kv = self.kv.clone();
                        tokio::spawn(async move { kv.put(&key(n), value()).await })
                    })
                    .collect();
                for put in puts {
                    put.await??;
                }
            }
            Ok(())
        })
    }
}

/// A raw database.
pub(super) fn raw(path: &Path) -> Result<Database, Failure> {
    let raw = Database::create(path)?;
    let transaction = raw.begin_write()?;
    transaction.open_table(TABLE)?;
    transaction.commit()?;
    Ok(raw)
}

/// A raw database with all keys.
pub(super) fn raw_filled(path: &Path) -> Result<Database, Failure> {
    let raw = raw(path)?;
    let transaction = raw.begin_write()?;
    {
        let mut table = transaction.open_table(TABLE)?;
        for n in 0..KEYS {
            table.insert(key(n).as_bytes(), value().as_ref())?;
        }
    }
    transaction.commit()?;
    Ok(raw)
}

/// Reads a key as one does without us; answers whether it was there.
pub(super) fn raw_get(raw: &Database, key: &str) -> Result<bool, Failure> {
    let transaction = raw.begin_read()?;
    let table = transaction.open_table(TABLE)?;
    let value = table.get(key.as_bytes())?;
    // Our side hands out bytes that outlive the read, so this side copies them too.
    Ok(value.is_some_and(|value| !std::hint::black_box(value.value().to_vec()).is_empty()))
}
