use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// The name of a lease: a 64-bit number everywhere but on Consul, where it is text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LeaseId {
    /// A number (memory, redb, etcd, ZooKeeper).
    Number(i64),
    /// A text (Consul).
    Text(Arc<str>),
}

impl LeaseId {
    /// The number, where it is one.
    #[must_use]
    pub const fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

impl From<i64> for LeaseId {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// Numbers in hexadecimal, as etcd's tools write them; text as it is.
impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number:016x}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Reads what `Display` writes: up to 16 hexadecimal digits are a number, anything else is text.
impl std::str::FromStr for LeaseId {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match u64::from_str_radix(text, 16) {
            Ok(number) if text.len() <= 16 => Self::Number(number.cast_signed()),
            _ => Self::Text(text.into()),
        })
    }
}

/// A granted lease. It lives by keep-alive calls alone: nothing in this value refreshes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// The granted time to live.
    pub ttl: Duration,
}

impl Lease {
    /// A lease as the store granted it.
    #[must_use]
    pub const fn new(id: LeaseId, ttl: Duration) -> Self {
        Self { id, ttl }
    }
}

/// A lease is passed where its id is asked for: `kv.put("a", "1").lease(&lease)`.
impl Deref for Lease {
    type Target = LeaseId;

    fn deref(&self) -> &LeaseId {
        &self.id
    }
}

/// What a store knows about a lease (contract 6.10).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseInfo {
    /// The granted time to live.
    pub granted: Duration,
    /// What is left of it.
    pub remaining: Duration,
    /// The attached keys, sorted: absolute from a backend, relative to the domain from a `Kvdb`.
    pub keys: Vec<String>,
}

impl LeaseInfo {
    /// What a backend answers.
    #[must_use]
    pub const fn new(granted: Duration, remaining: Duration, keys: Vec<String>) -> Self {
        Self { granted, remaining, keys }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Lease, LeaseId};

    #[test]
    fn a_lease_id_reads_back_from_its_text() {
        for id in [LeaseId::Number(1), LeaseId::Number(-5), LeaseId::Text("8f7a-aa".into())] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn a_lease_is_passed_as_its_id() {
        fn id_of(id: &LeaseId) -> &LeaseId {
            id
        }
        let lease = Lease::new(LeaseId::Number(7), Duration::from_secs(1));
        assert_eq!(id_of(&lease), &lease.id);
    }
}
