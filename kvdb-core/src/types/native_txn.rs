//! Transactions, as a store that evaluates them itself is asked (NATIVE_TXN).

use bytes::Bytes;

use super::{Comparison, Entry, Key, KeyRange, LeaseId, OpResult, Page, Revision, Scan};

/// If all compares hold, then one branch, else the other, in one step of the store. Branches may hold transactions;
/// operations run in order and see what was written before them; no key is written twice by one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeTxn {
    /// What must hold.
    pub compares: Vec<NativeCompare>,
    /// What is done if it holds.
    pub then: Vec<NativeOp>,
    /// What is done if it does not.
    pub otherwise: Vec<NativeOp>,
}

/// A compare on every key of a range. A range without keys compares as a key with index and version 0 and no lease;
/// its value compare is false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeCompare {
    /// The keys.
    pub range: KeyRange,
    /// How what is found compares to the subject's.
    pub comparison: Comparison,
    /// What is compared.
    pub subject: NativeSubject,
}

/// What a compare looks at, and what it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NativeSubject {
    /// The value.
    Value(Bytes),
    /// The created revision.
    Created(Revision),
    /// The revision of the last write.
    Modified(Revision),
    /// The number of writes since creation.
    Version(u64),
    /// The lease.
    Lease(Option<LeaseId>),
}

/// One operation of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NativeOp {
    /// Sets a key.
    Put {
        /// The key.
        key: Key,
        /// The value; `None` keeps the present one, and an absent key is then `NotFound` and nothing is written.
        value: Option<Bytes>,
        /// The lease to attach to.
        lease: LeaseChange,
        /// Answer the entry before the write.
        previous: bool,
    },
    /// Deletes a key; an absent one is no error.
    Delete {
        /// The key.
        key: Key,
        /// Answer the entry before the deletion.
        previous: bool,
    },
    /// Deletes every key of a range.
    DeleteRange {
        /// The range.
        range: KeyRange,
    },
    /// Reads a key.
    Get {
        /// The key.
        key: Key,
    },
    /// Reads a range, in one page.
    List {
        /// The range.
        range: KeyRange,
        /// How; paging does not apply.
        scan: Scan,
    },
    /// A transaction of its own.
    Txn(NativeTxn),
}

/// What a put does to the key's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// Attaches to this one, or to none.
    Set(Option<LeaseId>),
    /// Leaves it; an absent key is then `NotFound` and nothing is written.
    Keep,
}

/// How a native transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeReply {
    /// Which branch ran: `then` if true.
    pub succeeded: bool,
    /// The revision of its writes; of one that wrote nothing the store's present one.
    pub revision: Revision,
    /// One result for each operation of the branch that ran.
    pub results: Vec<NativeResult>,
}

/// The result of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NativeResult {
    /// Of a write.
    Written(OpResult),
    /// Of a read of a key.
    Get(Option<Entry>),
    /// Of a read of a range.
    List(Page),
    /// Of a transaction.
    Txn(NativeReply),
}
