//! Everything an app needs: `use kvdb::prelude::*;`.

pub use crate::{
    Bytes, Capabilities, Consistency, Error, ErrorKind, Event, Handle, KvAction, KvPair, Kvdb, KvdbExt, Lease, LeaseId,
    LockGuard, LockHolder, OnGap, Options, Result, Retry, Revision, Snapshot, Target, Tx, TxnOp, TxnReply, TxnResult,
    Watch, absent, attached, created, delete, get, modified, present, put, value, version,
};
