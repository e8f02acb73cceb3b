//! Everything an app needs: `use kvdb::prelude::*;`.

pub use crate::{
    Bytes, CallOptions, Capabilities, Compare, Consistency, Error, ErrorKind, Event, Fence, Handle, IntoValue,
    KvAction, KvPair, Kvdb, KvdbExt, Lease, LeaseId, LeaseInfo, LockGuard, LockHolder, OnGap, Options, Result, Retry,
    Revision, Snapshot, Target, Tx, TxnOp, TxnReply, TxnResult, Watch, absent, attached, created, delete, get,
    modified, present, put, value, version,
};
