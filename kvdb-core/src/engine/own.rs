//! Keys of the library's own beside users' keys: what a recipe has to remember in the store itself.

use super::{Engine, Shared};
use crate::{Error, Key, Operation, Result, Revision};

/// Where a directory lies in a store: how its absolute keys begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place(String);

impl Place {
    /// Whether a key can lie in both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }
}

impl Engine {
    /// The key in which a recipe remembers something about a directory; users see and write none of these.
    pub(crate) fn note_key(&self, recipe: &str, directory: &str) -> Result<Key> {
        let key = self.shared.domain.note(recipe, directory)?;
        self.shared.check_key_size(&key)?;
        Ok(key)
    }

    /// Where a directory lies.
    pub(crate) fn place(&self, directory: &str) -> Result<Place> {
        let places = self.shared.domain.places(directory)?;
        places.into_iter().next().map(Place).ok_or_else(|| Error::invalid("the directory has no place"))
    }

    /// Reads any key of the store by its absolute name, linearizable: its value and its last write.
    pub(crate) async fn peek(&self, key: &Key) -> Result<Option<(crate::Bytes, Revision)>> {
        let result = self.shared.peek(key).await;
        result.map_err(|error| self.shared.explain(Operation::Get, &key.to_string(), error))
    }
}

impl Shared {
    async fn peek(&self, key: &Key) -> Result<Option<(crate::Bytes, Revision)>> {
        self.ensure_open()?;
        let fetched = self.fetch(key, &mut self.deadline(None)).await?;
        Ok(fetched.entry.map(|entry| (entry.value, entry.modified)))
    }
}
