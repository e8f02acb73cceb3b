use std::ops::Bound;
use std::sync::{Arc, Mutex};

use kvdb::prelude::*;
use kvdb::recipes::{CallbackWatch, TempKey};

use super::Kvi_KV;
use super::locks::DistLock;
use super::options::Settings;
use crate::text;

/// A handle of a store. A clone is the same handle: it holds the same lock, keys and watches.
///
/// Dropping the last clone without [`Kvi::close`] ends its watches, releases its lock in the background, and its
/// temporary keys go by their time to live.
#[derive(Clone, Debug)]
pub struct Kvi {
    pub(super) inner: Arc<Inner>,
}

/// What the clones share. Its locks are held for moments, and never two of them at once.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) kv: Handle,
    pub(super) settings: Settings,
    pub(super) lock: Mutex<DistLock>,
    /// Those that may still call back.
    pub(super) watches: Mutex<Vec<CallbackWatch>>,
    pub(super) temp_keys: Mutex<Vec<TempKey>>,
}

impl Kvi {
    /// A `Kvi` over a handle that is open already, such as one with wrappers; [`Kvi::close`] closes it.
    #[must_use]
    pub fn over(handle: Handle) -> Self {
        Self::with(handle, Settings::default())
    }

    /// A new `Kvi` over the same handle whose [`Kvi::dist_lock`] takes the lock of this name.
    #[must_use]
    pub fn with_lock_name(self, name: &str) -> Self {
        let settings = Settings { lock_name: name.to_owned(), ..self.inner.settings.clone() };
        Self::with(self.inner.kv.clone(), settings)
    }

    /// A new `Kvi` over the same handle whose [`Kvi::watch_with_cb`] ends with its key, or does not.
    #[must_use]
    pub fn with_end_on_delete(self, end: bool) -> Self {
        let settings = Settings { end_on_delete: end, ..self.inner.settings.clone() };
        Self::with(self.inner.kv.clone(), settings)
    }

    pub(super) fn with(kv: Handle, settings: Settings) -> Self {
        let (lock, watches, temp_keys) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { kv, settings, lock, watches, temp_keys }) }
    }

    /// The handle itself: every verb of `kvdb` is at hand.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.inner.kv
    }

    /// Sets a key. A time to live that it has is gone.
    ///
    /// # Errors
    /// `InvalidArgument` for a key that is none; `TooLarge`; what the store answers.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing or the whole write.
    pub async fn store(&self, key: &str, value: &str) -> Result<()> {
        self.inner.kv.put(key, value).await.map(drop)
    }

    /// Reads a key: its value and `true`, or an empty text and `false` if it is absent.
    ///
    /// # Errors
    /// `Serialization` for a value that is not text, which only others can have written.
    ///
    /// # Cancel safety
    /// A read changes nothing.
    pub async fn get(&self, key: &str) -> Result<(String, bool)> {
        match self.inner.kv.get(key).await? {
            Some(pair) => Ok((text(&pair.key, &pair.value)?, true)),
            None => Ok((String::new(), false)),
        }
    }

    /// Every key from `keystart` to `keyend`, both included, in the order of their bytes; none is an empty list.
    ///
    /// # Errors
    /// As [`Kvi::get`].
    ///
    /// # Cancel safety
    /// A read changes nothing.
    pub async fn get_range(&self, keystart: &str, keyend: &str) -> Result<Vec<Kvi_KV>> {
        let pairs = self.inner.kv.list_range(Bound::Included(keystart), Bound::Included(keyend)).await?;
        let told = |pair: KvPair| Ok(Kvi_KV { value: text(&pair.key, &pair.value)?, key: pair.key });
        pairs.into_iter().map(told).collect()
    }

    /// Deletes a key; an absent one is Ok.
    ///
    /// # Errors
    /// As [`Kvi::store`].
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing or the whole deletion.
    pub async fn delete(&self, key: &str) -> Result<()> {
        match self.inner.kv.delete(key).await {
            Err(error) if *error.kind() != kvdb::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// In one atomic step: if the value of `key` compares so to `value`, then `thenkey` is set to `thenval`, else
    /// `elsekey` to `elseval`; answers whether the first was done.
    ///
    /// `op` is one of `=`, `!=`, `<` and `>`; texts compare by their bytes. An absent key compares to nothing: then the
    /// second is done, with `!=` too.
    ///
    /// # Errors
    /// `InvalidArgument` for another operator or a key that is none: nothing is done. `Contention` on stores without
    /// NATIVE_TXN when others kept writing `key` until the deadline.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing or the whole write.
    #[allow(clippy::too_many_arguments, reason = "they are the Go package's, in its order")]
    pub async fn transaction(
        &self,
        key: &str,
        op: &str,
        value: &str,
        thenkey: &str,
        thenval: &str,
        elsekey: &str,
        elseval: &str,
    ) -> Result<bool> {
        let subject = kvdb::value(key);
        let compare = match op {
            "=" => subject.eq(value),
            "!=" => subject.ne(value),
            "<" => subject.lt(value),
            ">" => subject.gt(value),
            _ => {
                let message = format!("`{}` is no operator; they are =, !=, < and >", op.escape_debug());
                return Err(Error::invalid(message).with_operation(kvdb::Operation::Txn).with_key(key));
            }
        };
        let txn = self.inner.kv.txn().when(compare).then(put(thenkey, thenval)).otherwise(put(elsekey, elseval));
        Ok(txn.await?.succeeded)
    }

    /// In one atomic step: if the value of `key` is `testval`, it is set to `setval`; answers whether it was. An absent
    /// key has no value, not even an empty one.
    ///
    /// # Errors
    /// As [`Kvi::store`].
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing or the whole write.
    pub async fn tas(&self, key: &str, testval: &str, setval: &str) -> Result<bool> {
        self.inner.kv.test_and_set(key, testval, setval).await
    }

    /// Gives back the lock and the temporary keys and ends the handle: no callback is called any more, later calls are
    /// `Closed`. What was stored stays, in memory too. A second time is Ok.
    ///
    /// # Errors
    /// When the store cannot be reached; what is held there then goes by its time to live.
    ///
    /// # Cancel safety
    /// Once polled, the handle is closed even if the future is dropped.
    pub async fn close(&self) -> Result<()> {
        self.inner.cancel_watches();
        // With the handle its lock and its temporary keys go.
        match self.inner.kv.close().await {
            // Closed before, through another clone of the handle perhaps.
            Err(error) if *error.kind() == kvdb::ErrorKind::Closed => Ok(()),
            closed => closed,
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.cancel_watches();
    }
}
