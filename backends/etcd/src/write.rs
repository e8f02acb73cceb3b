//! The writes of batches and transactions: what etcd is asked, and what its answers say.

use bytes::Bytes;
use etcd_client::proto::{PbDeleteResponse, PbPutResponse};
use etcd_client::{DeleteOptions, PutOptions, TxnOp};
use kvdb_core::{Entry, Key, LeaseChange, LeaseId, OpResult, Result, Revision};

use crate::convert::{entry, lease_of_put};
use crate::span::Span;

/// A put. Its created revision and version follow from the entry before it, which the put itself answers: `fresh` says
/// that there can be none.
#[derive(Clone, Copy)]
pub(crate) struct Put<'a> {
    pub(crate) key: &'a Key,
    /// `None` keeps the value.
    pub(crate) value: Option<&'a Bytes>,
    pub(crate) lease: Lease<'a>,
    pub(crate) fresh: bool,
    pub(crate) previous: bool,
}

/// What becomes of the key's lease.
#[derive(Clone, Copy)]
pub(crate) enum Lease<'a> {
    Set(Option<&'a LeaseId>),
    Keep,
}

impl<'a> From<&'a LeaseChange> for Lease<'a> {
    fn from(change: &'a LeaseChange) -> Self {
        match change {
            LeaseChange::Set(lease) => Self::Set(lease.as_ref()),
            LeaseChange::Keep => Self::Keep,
        }
    }
}

impl Put<'_> {
    /// # Errors
    /// `LeaseNotFound` for a lease that cannot exist.
    pub(crate) fn request(&self) -> Result<(Vec<u8>, Vec<u8>, PutOptions)> {
        let mut options = PutOptions::new();
        if !self.fresh {
            options = options.with_prev_key();
        }
        match self.lease {
            Lease::Set(lease) => options = options.with_lease(lease_of_put(lease)?),
            Lease::Keep => options = options.with_ignore_lease(),
        }
        let value = self.value.map(|value| value.to_vec());
        if value.is_none() {
            options = options.with_ignore_value();
        }
        Ok((self.key.as_bytes().to_vec(), value.unwrap_or_default(), options))
    }

    pub(crate) fn op(&self) -> Result<TxnOp> {
        let (key, value, options) = self.request()?;
        Ok(TxnOp::put(key, value, Some(options)))
    }

    /// The entry as the write at `revision` left it.
    pub(crate) fn result(&self, answer: PbPutResponse, revision: Revision) -> OpResult {
        let previous = answer.prev_kv.map(entry);
        let before: Option<&Entry> = previous.as_ref();
        let entry = Entry {
            key: self.key.clone(),
            value: self.value.or(before.map(|entry| &entry.value)).cloned().unwrap_or_default(),
            created: before.map_or(revision, |entry| entry.created),
            modified: revision,
            version: before.map_or(Some(0), |entry| entry.version).map(|version| version + 1),
            lease: match self.lease {
                Lease::Set(lease) => lease.cloned(),
                Lease::Keep => before.and_then(|entry| entry.lease.clone()),
            },
            ttl: None,
        };
        OpResult::Put { entry, previous: previous.filter(|_| self.previous) }
    }
}

/// A deletion of one key.
pub(crate) fn delete_options(previous: bool) -> DeleteOptions {
    if previous { DeleteOptions::new().with_prev_key() } else { DeleteOptions::new() }
}

pub(crate) fn delete_op(key: &Key, previous: bool) -> TxnOp {
    TxnOp::delete(key.as_bytes(), Some(delete_options(previous)))
}

pub(crate) fn delete_range_op(span: Span) -> TxnOp {
    TxnOp::delete(span.key, Some(DeleteOptions::new().with_range(span.end)))
}

pub(crate) fn deleted(answer: PbDeleteResponse) -> OpResult {
    OpResult::Deleted {
        removed: u64::try_from(answer.deleted).unwrap_or_default(),
        previous: answer.prev_kvs.into_iter().next().map(entry),
    }
}

/// What a range delete in which no key can lie comes to.
pub(crate) const NOTHING_DELETED: OpResult = OpResult::Deleted { removed: 0, previous: None };
