//! Buffered transactions in the Go library's spellings.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Value;
use crate::{Error, ErrorKind, KvPair, Kvdb, Operation, Result, Revision};

/// A transaction of [`super::Portworx::tx_new`]: [`crate::Tx`] with the Go library's values and seconds.
///
/// It reads its own writes; a key that was read answers the same until the end; the commit is one step. Dropping it
/// without a commit leaves nothing.
pub struct Tx<'a, K: ?Sized> {
    tx: crate::Tx<'a, K>,
    backend: &'static str,
}

impl<K: ?Sized> fmt::Debug for Tx<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tx.fmt(f)
    }
}

impl<'a, K: Kvdb + ?Sized> Tx<'a, K> {
    pub(super) fn new(kv: &'a K) -> Self {
        Self { tx: crate::Tx::new(kv), backend: kv.info().backend }
    }

    /// Writes a key when the transaction commits; a `ttl` of 0 seconds is none. Answers the pair as the transaction
    /// sees it: its indexes are those of the store until the commit.
    ///
    /// # Errors
    /// `Serialization` when the value has no JSON form; `InvalidArgument` for a key that cannot be, or after the end.
    pub async fn put(&self, key: &str, value: impl Into<Value>, ttl: u64) -> Result<KvPair> {
        let put = async {
            let value = value.into().into_bytes()?;
            match ttl {
                0 => self.tx.put(key, value)?,
                seconds => self.tx.put_ttl(key, value, Duration::from_secs(seconds))?,
            }
            self.tx.get(key).await
        };
        self.pair(Operation::Put, key, put.await)
    }

    /// Reads a key as this transaction sees it: its own write, else the store as it was when it was first read.
    ///
    /// # Errors
    /// `NotFound`; `InvalidArgument` after the end.
    pub async fn get(&self, key: &str) -> Result<KvPair> {
        self.pair(Operation::Get, key, self.tx.get(key).await)
    }

    /// Reads a key and decodes its value as JSON into `value`, which stays as it was when anything fails.
    ///
    /// # Errors
    /// Those of [`Tx::get`]; `Serialization` naming the key.
    pub async fn get_val<T: DeserializeOwned>(&self, key: &str, value: &mut T) -> Result<KvPair> {
        let pair = self.get(key).await?;
        *value = pair.json()?;
        Ok(pair)
    }

    /// Checks that the commit would not fail now.
    ///
    /// # Errors
    /// `Modified` when what was read was changed; what the store would say to the writes.
    pub async fn prepare(&self) -> Result<()> {
        self.tx.prepare().await
    }

    /// Commits everything in one step and ends the transaction; answers the index of its writes.
    ///
    /// # Errors
    /// `Modified` when what was read was changed meanwhile: nothing is then written. Retry class `Ambiguous` when the
    /// store did not say.
    pub async fn commit(&self) -> Result<Revision> {
        self.tx.commit().await
    }

    /// Ends the transaction; nothing is written.
    ///
    /// # Errors
    /// `InvalidArgument` after the end.
    pub fn abort(&self) -> Result<()> {
        self.tx.abort()
    }

    fn pair(&self, operation: Operation, key: &str, found: Result<Option<KvPair>>) -> Result<KvPair> {
        found
            .and_then(|pair| pair.ok_or_else(|| Error::new(ErrorKind::NotFound, "")))
            .map_err(|error| error.with_operation(operation).with_key(key).with_backend(self.backend))
    }
}
