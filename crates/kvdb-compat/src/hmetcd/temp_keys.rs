use std::sync::{MutexGuard, PoisonError};

use kvdb::Result;
use kvdb::recipes::TempKey;

use super::Kvi;
use super::kvi::Inner;
use crate::plain;

impl Kvi {
    /// Creates a key that says that this program is alive, with a value of no meaning, and keeps it: one that others
    /// delete or write is put again, and it goes with the handle, or within 10 s (or the store's nearest TTL) and the
    /// store's slack when the program dies. Returns once it is there; for a key that this handle keeps already, at once.
    ///
    /// # Errors
    /// As [`Kvi::store`]. It waits as long as the store is out of reach: bound it where that matters.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing.
    pub async fn temp_key(&self, key: &str) -> Result<()> {
        let key = plain(key);
        if is_kept(&self.inner.temp_keys(), &key) {
            return Ok(());
        }
        let kept = TempKey::new(&self.inner.kv, &key).await?;
        let mut temp_keys = self.inner.temp_keys();
        // Two calls for one key may both have come here: two keepers would take it from each other for ever.
        if !is_kept(&temp_keys, &key) {
            temp_keys.push(kept);
        }
        Ok(())
    }
}

impl Inner {
    fn temp_keys(&self) -> MutexGuard<'_, Vec<TempKey>> {
        self.temp_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_kept(temp_keys: &[TempKey], key: &str) -> bool {
    temp_keys.iter().any(|kept| kept.key() == key && !kept.state().is_final())
}
