use async_trait::async_trait;
use kvdb::prelude::*;
use kvdb::{ErrorKind, Operation};

use super::reader;
use super::watched::Watched;
use super::{Events, KVPair, Store};
use crate::plain;

/// A [`Store`] over every store of `kvdb`.
#[derive(Clone, Debug)]
pub struct KvStore {
    kv: Handle,
}

impl KvStore {
    /// A `Store` over a handle that is open already, such as one with wrappers; [`Store::close`] closes it.
    #[must_use]
    pub const fn over(handle: Handle) -> Self {
        Self { kv: handle }
    }

    /// The handle itself: every verb of `kvdb` is at hand.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.kv
    }

    /// An index from which on nothing of the directory is missed, if there is a directory of this name.
    async fn directory(&self, name: &str) -> Result<Option<u64>> {
        let found = self.kv.list(name).limit(1).await?;
        Ok(found.first().map(|pair| pair.kvdb_index.get()).or_else(|| is_root(name).then_some(0)))
    }

    async fn pair(&self, key: &str) -> Result<Option<KvPair>> {
        // The root has no value.
        if is_root(key) { Ok(None) } else { self.kv.get(key).await }
    }

    fn not_found(&self, operation: Operation, key: &str) -> Error {
        self.error(ErrorKind::NotFound, "neither a key nor a directory has this name", operation, key)
    }

    fn error(&self, kind: ErrorKind, message: &'static str, operation: Operation, key: &str) -> Error {
        Error::new(kind, message).with_operation(operation).with_key(key).with_backend(self.kv.info().backend)
    }
}

fn is_root(key: &str) -> bool {
    key.bytes().all(|byte| byte == b'/')
}

#[async_trait]
impl Store for KvStore {
    async fn get(&self, key: &str) -> Result<KVPair> {
        if let Some(pair) = self.pair(key).await? {
            return Ok(pair.into());
        }
        let index = self.directory(key).await?.ok_or_else(|| self.not_found(Operation::Get, key))?;
        Ok(KVPair { key: plain(key), value: kvdb::Bytes::new(), last_index: index })
    }

    async fn get_tree(&self, key: &str) -> Result<Vec<KVPair>> {
        let below = self.kv.list(key).await?;
        if !below.is_empty() || is_root(key) {
            return Ok(below.into_iter().map(KVPair::from).collect());
        }
        let pair = self.pair(key).await?.ok_or_else(|| self.not_found(Operation::List, key))?;
        Ok(vec![pair.into()])
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<()> {
        self.kv.put(key, value).await.map(drop)
    }

    async fn delete(&self, key: &str, recursive: bool) -> Result<()> {
        if !recursive {
            // A key that is put below it from here on stays: a directory's own value is not what makes it one.
            if !self.kv.list(key).limit(1).names().await?.is_empty() {
                let message = "the directory has keys; delete it with `recursive`";
                return Err(self.error(ErrorKind::NotEmpty, message, Operation::Delete, key));
            }
            return self.kv.delete(key).await.map(drop);
        }
        let removed = self.kv.delete_tree(key).await?;
        if is_root(key) {
            return Ok(());
        }
        match self.kv.delete(key).await {
            Err(error) if *error.kind() == ErrorKind::NotFound && removed > 0 => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.pair(key).await?.is_some() || self.directory(key).await?.is_some())
    }

    async fn watch(&self, key: &str, recursive: bool, index: u64) -> Result<Events> {
        reader::events(&self.kv, Watched::key_of(plain(key), recursive), index.into()).await
    }

    async fn watch_tree(&self, directory: &str, index: u64) -> Result<Events> {
        reader::events(&self.kv, Watched::tree_of(plain(directory)), index.into()).await
    }

    async fn list(&self, dir: &str) -> Result<Vec<String>> {
        let names = self.kv.keys(dir).await?;
        if names.is_empty() && !is_root(dir) && self.pair(dir).await?.is_none() {
            return Err(self.not_found(Operation::List, dir));
        }
        let directory = plain(dir);
        let whole = |name: String| if directory.is_empty() { name } else { format!("{directory}/{name}") };
        Ok(names.into_iter().map(whole).collect())
    }

    async fn close(&self) {
        // The Go package's close has no answer; what a store out of reach still has goes by its time to live.
        let _ = self.kv.close().await;
    }
}
