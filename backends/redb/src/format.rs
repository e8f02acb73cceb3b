//! The format of the file: three tables.
//!
//! * `meta`: numbers by name.
//! * `log`: a row for each change, by revision and place in it. Compaction takes away what is overwritten and
//!   deletions; what is left, in order, is the store.
//! * `leases`: granted TTL and the wall-clock deadline, both in milliseconds, by lease.

use kvdb_core::toolkit::{LeaseNumber, Meta, Payload, Row};
use kvdb_core::{Bytes, Key, Revision};
use redb::TableDefinition;

use crate::error::Failure;

/// The version of this format. A change that an older release cannot read counts it up.
pub(crate) const FORMAT: u128 = 1;

pub(crate) const META: TableDefinition<'static, &str, u128> = TableDefinition::new("meta");
pub(crate) const LOG: TableDefinition<'static, (u64, u32), &[u8]> = TableDefinition::new("log");
pub(crate) const LEASES: TableDefinition<'static, i64, (u64, u64)> = TableDefinition::new("leases");

/// Names in `meta`: the format's version,
pub(crate) const META_FORMAT: &str = "format";
/// a random number that tells two stores apart,
pub(crate) const META_STORE: &str = "store";
/// how often the store was opened,
pub(crate) const META_EPOCH: &str = "epoch";
/// the compacted revision,
pub(crate) const META_COMPACTED: &str = "compacted";
/// and the store's revision at the last compaction, whose row may be gone.
pub(crate) const META_REVISION: &str = "revision";

/// What the index keeps of a value that lies in the log: its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored(u32);

impl Stored {
    pub(crate) fn of_len(len: usize) -> Self {
        // The limit on values is below.
        Self(u32::try_from(len).unwrap_or(u32::MAX))
    }
}

impl Payload for Stored {
    fn of(value: Bytes) -> Self {
        Self::of_len(value.len())
    }

    fn size(&self) -> usize {
        self.0 as usize
    }
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const EXPIRE: u8 = 3;

/// Bytes before the key: kind, created, version, lease, length of the key.
const HEAD: usize = 1 + 8 + 8 + 8 + 4;

/// Writes a row's bytes into `buffer`, which is cleared first. Numbers are little-endian.
pub(crate) fn encode(row: &Row, buffer: &mut Vec<u8>) {
    buffer.clear();
    let value = row.value.as_deref();
    buffer.push(match value {
        Some(_) => PUT,
        None if row.meta.expired => EXPIRE,
        None => DELETE,
    });
    buffer.extend_from_slice(&row.meta.created.get().to_le_bytes());
    buffer.extend_from_slice(&row.meta.version.to_le_bytes());
    buffer.extend_from_slice(&row.meta.lease.map_or(0, LeaseNumber::get).to_le_bytes());
    // The limit on keys is far below.
    buffer.extend_from_slice(&u32::try_from(row.key.len()).unwrap_or(u32::MAX).to_le_bytes());
    buffer.extend_from_slice(row.key.as_bytes());
    buffer.extend_from_slice(value.unwrap_or_default());
}

/// A row read back.
pub(crate) struct Decoded<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) meta: Meta,
    pub(crate) value: Option<&'a [u8]>,
}

/// Reads a row.
pub(crate) fn decode(at: (u64, u32), bytes: &[u8]) -> Result<Decoded<'_>, Failure> {
    read(at, bytes).ok_or_else(|| {
        Failure::corrupt(format!(
            "row {}.{} of the log is damaged: restore the file from a copy, or move it away to start anew",
            at.0, at.1
        ))
    })
}

fn read((revision, sub): (u64, u32), bytes: &[u8]) -> Option<Decoded<'_>> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let (kind, head) = head.split_first()?;
    let (created, head) = head.split_first_chunk::<8>()?;
    let (version, head) = head.split_first_chunk::<8>()?;
    let (lease, head) = head.split_first_chunk::<8>()?;
    let (key_len, _) = head.split_first_chunk::<4>()?;
    let (key, value) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*key_len)).ok()?)?;
    let value = match *kind {
        PUT => Some(value),
        DELETE | EXPIRE if value.is_empty() => None,
        _ => return None,
    };
    let meta = Meta {
        modified: Revision::new(revision),
        sub,
        created: Revision::new(u64::from_le_bytes(*created)),
        version: u64::from_le_bytes(*version),
        lease: LeaseNumber::new(i64::from_le_bytes(*lease)),
        expired: *kind == EXPIRE,
    };
    Some(Decoded { key, meta, value })
}

/// The value of a row that must be of `key`.
pub(crate) fn value_of(at: (u64, u32), bytes: &[u8]) -> Result<Bytes, Failure> {
    Ok(Bytes::copy_from_slice(decode(at, bytes)?.value.unwrap_or_default()))
}

/// A key of its own memory.
pub(crate) fn key_of(bytes: &[u8]) -> Key {
    Key::copy_from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: Option<&'static [u8]>, expired: bool) -> Row {
        let meta = Meta {
            modified: Revision::new(7),
            sub: 3,
            created: Revision::new(5),
            version: 2,
            lease: LeaseNumber::new(99),
            expired,
        };
        Row::new(Key::from("a/ключ"), meta, value.map(Bytes::from_static))
    }

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        let mut buffer = vec![1, 2, 3];
        for row in [row(Some(b"value"), false), row(Some(b""), false), row(None, false), row(None, true)] {
            encode(&row, &mut buffer);
            let read = decode((7, 3), &buffer).ok().unwrap();
            assert_eq!((read.key, read.meta, read.value), (row.key.as_bytes(), row.meta, row.value.as_deref()));
        }
    }

    #[test]
    fn a_damaged_row_is_refused_and_named() {
        let mut buffer = Vec::new();
        encode(&row(Some(b""), false), &mut buffer);
        for cut in 0..buffer.len() {
            let failure = decode((7, 3), &buffer[..cut]).err().unwrap();
            assert!(failure.error().to_string().contains("row 7.3"), "{}", failure.error());
        }
        buffer[0] = 9;
        assert!(decode((7, 3), &buffer).is_err());
        buffer[0] = DELETE;
        buffer.push(0);
        assert!(decode((7, 3), &buffer).is_err(), "a deletion has no value");
    }
}
