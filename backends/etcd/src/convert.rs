//! Between etcd's messages and the contract's types. Keys and values are moved, never copied, out of an answer.

use etcd_client::proto::{PbKeyValue, PbResponseHeader};
use kvdb_core::{Entry, Error, ErrorKind, Key, LeaseId, Result, Revision};

/// etcd's number as a revision.
pub(crate) fn revision(number: i64) -> Revision {
    Revision::new(u64::try_from(number).unwrap_or_default())
}

/// A revision as etcd's number. What is above its range lies above every revision there will be, and stays so.
pub(crate) fn number(revision: Revision) -> i64 {
    i64::try_from(revision.get()).unwrap_or(i64::MAX)
}

/// The store's revision at the moment of an answer.
pub(crate) fn shown(header: Option<&PbResponseHeader>) -> Result<Revision> {
    header.map(|header| revision(header.revision)).ok_or_else(mismatched)
}

/// A stored key.
pub(crate) fn entry(kv: PbKeyValue) -> Entry {
    Entry {
        key: Key::new(kv.key),
        value: kv.value.into(),
        created: revision(kv.create_revision),
        modified: revision(kv.mod_revision),
        version: u64::try_from(kv.version).ok(),
        lease: (kv.lease != 0).then_some(LeaseId::Number(kv.lease)),
        ttl: None,
    }
}

/// The number of a lease that can exist: etcd's 0 means none.
pub(crate) fn lease_number(lease: &LeaseId) -> Option<i64> {
    lease.number().filter(|number| *number != 0)
}

/// The lease of a put, 0 for none.
///
/// # Errors
/// `LeaseNotFound` for an id that etcd never gives.
pub(crate) fn lease_of_put(lease: Option<&LeaseId>) -> Result<i64> {
    lease.map_or(Ok(0), |lease| lease_number(lease).ok_or_else(|| no_lease(lease)))
}

/// The lease is gone or never was.
pub(crate) fn no_lease(lease: &LeaseId) -> Error {
    Error::new(ErrorKind::LeaseNotFound, format!("lease {lease} has run out or never was; grant a new one"))
}

/// The answer is not one to the question.
pub(crate) fn mismatched() -> Error {
    Error::new(ErrorKind::Internal, "etcd's answer does not fit the request")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_stay_out_of_reach() {
        assert_eq!(number(Revision::MAX), i64::MAX);
        assert_eq!(revision(-1), Revision::ZERO);
        assert_eq!(revision(number(Revision::new(7))), Revision::new(7));
    }

    #[test]
    fn ids_that_etcd_never_gives_are_no_leases() {
        assert_eq!(lease_of_put(None).unwrap(), 0);
        assert_eq!(lease_of_put(Some(&LeaseId::Number(7))).unwrap(), 7);
        for id in [LeaseId::Number(0), LeaseId::Text("x".into())] {
            assert_eq!(*lease_of_put(Some(&id)).unwrap_err().kind(), ErrorKind::LeaseNotFound);
        }
    }
}
