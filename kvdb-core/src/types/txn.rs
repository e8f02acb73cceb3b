//! Transactions, as users write them (contract 4.1).

use std::time::Duration;

use bytes::Bytes;

use super::{Fence, IntoValue, Key, KvPair, LeaseId, Revision};

/// How two things are compared; values by bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `>`
    Greater,
}

impl Comparison {
    /// Whether `found` compares so to `wanted`.
    #[must_use]
    pub fn holds<T: Ord + ?Sized>(self, found: &T, wanted: &T) -> bool {
        match self {
            Self::Equal => found == wanted,
            Self::NotEqual => found != wanted,
            Self::Less => found < wanted,
            Self::Greater => found > wanted,
        }
    }
}

/// One compare of a transaction. An absent key has index and version 0 and no lease, as on etcd; a value compare on it
/// is false, also `!=` (contract 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compare {
    /// The key is present (`true`) or absent (`false`).
    Exists(String, bool),
    /// The key's value.
    Value(String, Comparison, Bytes),
    /// The key's created index.
    Created(String, Comparison, Revision),
    /// The key's modified index.
    Modified(String, Comparison, Revision),
    /// The key's version (KEY_VERSION).
    Version(String, Comparison, u64),
    /// The key is attached to this lease, or to none; only `=` and `!=`.
    Lease(String, Comparison, Option<LeaseId>),
    /// The lock of this fence is still held.
    Held(Fence),
}

impl From<Fence> for Compare {
    fn from(fence: Fence) -> Self {
        Self::Held(fence)
    }
}

/// One operation of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TxnOp {
    /// Writes a key.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Bytes,
        /// Delete the key after this long (TTL). Not together with `lease`.
        ttl: Option<Duration>,
        /// Attach the key to this lease.
        lease: Option<LeaseId>,
    },
    /// Deletes a key; an absent one is no error.
    Delete {
        /// The key.
        key: String,
    },
    /// Reads a key as the operations before it leave it.
    Get {
        /// The key.
        key: String,
    },
}

impl TxnOp {
    /// The key it is about.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } | Self::Get { key } => key,
        }
    }

    /// Deletes the key of a put after this long; without effect on other operations.
    #[must_use]
    pub fn ttl(mut self, after: Duration) -> Self {
        if let Self::Put { ttl, .. } = &mut self {
            *ttl = Some(after);
        }
        self
    }

    /// Attaches the key of a put to a lease; without effect on other operations.
    #[must_use]
    pub fn lease(mut self, id: &LeaseId) -> Self {
        if let Self::Put { lease, .. } = &mut self {
            *lease = Some(id.clone());
        }
        self
    }
}

/// If all compares hold, then one branch, else the other, in one atomic step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Txn {
    /// What must hold.
    pub when: Vec<Compare>,
    /// What is done if it holds.
    pub then: Vec<TxnOp>,
    /// What is done if it does not.
    pub otherwise: Vec<TxnOp>,
    /// What a recipe of the library's own remembers, written together with `then`.
    pub(crate) note: Option<Note>,
}

/// A write of the library's own beside users' keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The absolute key: below a reserved segment.
    pub(crate) key: Key,
    pub(crate) value: Bytes,
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TxnReply {
    /// Which branch ran: `then` if true.
    pub succeeded: bool,
    /// The revision of its writes, or the one it looked at.
    pub revision: Revision,
    /// One result for each operation of the branch that ran.
    pub results: Vec<TxnResult>,
}

/// The result of one operation of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TxnResult {
    /// The pair as the write left it.
    Put(KvPair),
    /// The deleted pair, if the key was there.
    Deleted(Option<KvPair>),
    /// The pair, if the key was there.
    Get(Option<KvPair>),
}

impl TxnResult {
    /// The pair, if there is one.
    #[must_use]
    pub const fn pair(&self) -> Option<&KvPair> {
        match self {
            Self::Put(pair) | Self::Deleted(Some(pair)) | Self::Get(Some(pair)) => Some(pair),
            Self::Deleted(None) | Self::Get(None) => None,
        }
    }
}

/// Half a compare: `value("a").eq("1")`.
#[derive(Clone, Debug)]
#[must_use = "say what it is compared with: eq, ne, lt or gt"]
pub struct Subject<T> {
    key: String,
    make: fn(String, Comparison, T) -> Compare,
}

impl<T> Subject<T> {
    fn is(self, comparison: Comparison, wanted: T) -> Compare {
        (self.make)(self.key, comparison, wanted)
    }
}

macro_rules! comparisons {
    ($($wanted:ty, [$($bounds:tt)*], $convert:expr;)*) => {$(
        impl Subject<$wanted> {
            /// `=`
            #[must_use]
            pub fn eq(self, wanted: impl $($bounds)*) -> Compare {
                self.is(Comparison::Equal, $convert(wanted))
            }

            /// `!=`
            #[must_use]
            pub fn ne(self, wanted: impl $($bounds)*) -> Compare {
                self.is(Comparison::NotEqual, $convert(wanted))
            }

            /// `<`
            #[must_use]
            pub fn lt(self, wanted: impl $($bounds)*) -> Compare {
                self.is(Comparison::Less, $convert(wanted))
            }

            /// `>`
            #[must_use]
            pub fn gt(self, wanted: impl $($bounds)*) -> Compare {
                self.is(Comparison::Greater, $convert(wanted))
            }
        }
    )*};
}
comparisons! {
    Bytes, [IntoValue], IntoValue::into_value;
    Revision, [Into<Revision>], Into::into;
    u64, [Into<u64>], Into::into;
}

/// Compares the key's value, by bytes.
pub fn value(key: impl Into<String>) -> Subject<Bytes> {
    Subject { key: key.into(), make: Compare::Value }
}

/// Compares the key's created index; 0 of an absent key.
pub fn created(key: impl Into<String>) -> Subject<Revision> {
    Subject { key: key.into(), make: Compare::Created }
}

/// Compares the key's modified index; 0 of an absent key.
pub fn modified(key: impl Into<String>) -> Subject<Revision> {
    Subject { key: key.into(), make: Compare::Modified }
}

/// Compares the key's version; 0 of an absent key (KEY_VERSION).
pub fn version(key: impl Into<String>) -> Subject<u64> {
    Subject { key: key.into(), make: Compare::Version }
}

/// The key is present.
#[must_use]
pub fn present(key: impl Into<String>) -> Compare {
    Compare::Exists(key.into(), true)
}

/// The key is absent.
#[must_use]
pub fn absent(key: impl Into<String>) -> Compare {
    Compare::Exists(key.into(), false)
}

/// The key is attached to this lease.
#[must_use]
pub fn attached(key: impl Into<String>, lease: &LeaseId) -> Compare {
    Compare::Lease(key.into(), Comparison::Equal, Some(lease.clone()))
}

/// Writes a key.
#[must_use]
pub fn put(key: impl Into<String>, value: impl IntoValue) -> TxnOp {
    TxnOp::Put { key: key.into(), value: value.into_value(), ttl: None, lease: None }
}

/// Deletes a key.
#[must_use]
pub fn delete(key: impl Into<String>) -> TxnOp {
    TxnOp::Delete { key: key.into() }
}

/// Reads a key.
#[must_use]
pub fn get(key: impl Into<String>) -> TxnOp {
    TxnOp::Get { key: key.into() }
}
