use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{LeaseId, Revision};
use crate::{Error, ErrorKind, Result};

/// What happened to a pair, with the reference library's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KvAction {
    /// A present key was written (1).
    Set,
    /// An absent key was written (2).
    Create,
    /// The pair was read (4).
    Get,
    /// The key was deleted (8).
    Delete,
    /// The key was deleted because its lease ran out (16).
    Expire,
    /// Nothing is known about the operation (32).
    Unknown,
}

impl KvAction {
    /// The reference library's number of this action.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Set => 1,
            Self::Create => 2,
            Self::Get => 4,
            Self::Delete => 8,
            Self::Expire => 16,
            Self::Unknown => 32,
        }
    }

    /// The action behind a number of the reference library; any other number is [`KvAction::Unknown`].
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Set,
            2 => Self::Create,
            4 => Self::Get,
            8 => Self::Delete,
            16 => Self::Expire,
            _ => Self::Unknown,
        }
    }
}

/// A key with its value and where it stands in the store's history (contract 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KvPair {
    /// The key, relative to the handle's domain.
    pub key: String,
    /// The value; cloning shares the bytes.
    pub value: Bytes,
    /// What was done to it.
    pub action: KvAction,
    /// The time to live that was granted; a read fills it only where that costs nothing.
    pub ttl: Option<Duration>,
    /// The lease the key is attached to.
    pub lease: Option<LeaseId>,
    /// The write that made this incarnation of the key.
    pub created_index: Revision,
    /// The last write; of a deleted pair the deletion.
    pub modified_index: Revision,
    /// 1 at creation and one more with every write; `None` where the store does not count (KEY_VERSION).
    pub version: Option<u64>,
    /// A revision R such that the answer holds every write at or below R to what was asked.
    pub kvdb_index: Revision,
    /// The pair before this write or deletion, where it was asked for.
    pub previous: Option<Box<KvPair>>,
}

impl KvPair {
    /// A pair with a key and a value and nothing else known; the start of a hand-made pair.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            action: KvAction::Unknown,
            ttl: None,
            lease: None,
            created_index: Revision::ZERO,
            modified_index: Revision::ZERO,
            version: None,
            kvdb_index: Revision::ZERO,
            previous: None,
        }
    }

    /// Decodes the value as JSON.
    ///
    /// # Errors
    /// `Serialization` naming the key; its source tells the place, and never a piece of the value.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.value).map_err(|source| {
            Error::new(ErrorKind::Serialization, "the value is not the JSON that was asked for")
                .with_key(&self.key)
                .with_source(BadJson { category: source.classify(), line: source.line(), column: source.column() })
        })
    }

    /// The value as text, if it is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.value).ok()
    }
}

/// What the parser found and where, without the piece of the value that its own error quotes.
#[derive(Debug)]
struct BadJson {
    category: serde_json::error::Category,
    line: usize,
    column: usize,
}

impl fmt::Display for BadJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.category {
            serde_json::error::Category::Data => "JSON of another shape",
            _ => "no JSON",
        };
        write!(f, "{what} at line {} column {}", self.line, self.column)
    }
}

impl std::error::Error for BadJson {}

#[cfg(test)]
mod tests {
    use super::KvAction;

    #[test]
    fn action_numbers_are_the_reference_librarys() {
        for (number, action) in [
            (1, KvAction::Set),
            (2, KvAction::Create),
            (4, KvAction::Get),
            (8, KvAction::Delete),
            (16, KvAction::Expire),
            (32, KvAction::Unknown),
        ] {
            assert_eq!(action.number(), number);
            assert_eq!(KvAction::from_number(number), action);
        }
    }
}
