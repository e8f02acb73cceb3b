use async_trait::async_trait;
use kvdb::Result;

use super::{Events, KVPair};

/// A key-value store: [`super::KvStore`] over every store of `kvdb`, or one of your own that [`super::register`] makes
/// known.
///
/// What is said of a call is what callers rely on and every store must hold. Every call is cancel safe: a dropped
/// future leaves nothing or the whole write, a recursive deletion apart.
#[async_trait]
pub trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// Reads a key. A directory is read as a pair without a value.
    ///
    /// # Errors
    /// `NotFound` where neither a key nor a directory has the name.
    async fn get(&self, key: &str) -> Result<KVPair>;

    /// Every pair below a directory, sorted by key; of a key that is no directory, that one pair.
    ///
    /// # Errors
    /// `NotFound` where neither a key nor a directory has the name.
    async fn get_tree(&self, key: &str) -> Result<Vec<KVPair>>;

    /// Sets a key.
    ///
    /// # Errors
    /// What the store answers.
    async fn put(&self, key: &str, value: &[u8]) -> Result<()>;

    /// Deletes a key, or with `recursive` the key and every key below it. Of what is too large for one atomic step
    /// parts may be seen to go first.
    ///
    /// # Errors
    /// `NotFound` where there is nothing to delete; `NotEmpty` for a directory without `recursive`.
    async fn delete(&self, key: &str, recursive: bool) -> Result<()>;

    /// Whether a key or a directory has this name.
    ///
    /// # Errors
    /// What the store answers.
    async fn exists(&self, key: &str) -> Result<bool>;

    /// Watches a key, with `recursive` every key below it too: first an `INIT` event with all of it, then each change
    /// with the pair as it left it. `index` 0 begins so; another one begins with the first change after it and without
    /// `INIT`, unless the store no longer knows what came after it: then with `INIT` too.
    ///
    /// The key need not be there. With `recursive` the events end with a `DELETE` of the watched key itself once nothing
    /// lies below it any more.
    ///
    /// # Errors
    /// `FutureRevision` for an index that the store has not reached; what the store answers.
    async fn watch(&self, key: &str, recursive: bool, index: u64) -> Result<Events>;

    /// Watches every key below a directory as [`Store::watch`] with `recursive` does; each event has the whole tree as
    /// data, as its change left it.
    ///
    /// # Errors
    /// As [`Store::watch`].
    async fn watch_tree(&self, directory: &str, index: u64) -> Result<Events>;

    /// The keys and directories directly in a directory, by their whole names, sorted; none of a key that is no
    /// directory.
    ///
    /// # Errors
    /// `NotFound` where neither a key nor a directory has the name.
    async fn list(&self, dir: &str) -> Result<Vec<String>>;

    /// Closes the store: its events end, later calls fail.
    async fn close(&self);
}
