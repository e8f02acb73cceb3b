//! The plain data of the contract: keys, pairs, revisions, batches, events.

mod admin;
mod batch;
mod flags;
pub(crate) mod in_json;
mod key;
mod lease;
mod limits;
mod lock;
mod native_txn;
mod pair;
mod revision;
mod target;
mod txn;
mod value;
mod watch;

pub use admin::{AdminReply, AdminRequest, MemberInfo, PermissionType};
pub use batch::{Batch, Entry, Fetched, Guard, Op, OpResult, Outcome, Page, Read, Scan};
pub use flags::{Consistency, KvFlags, Precondition};
pub use key::{Key, KeyRange};
pub use lease::{Lease, LeaseId, LeaseInfo};
pub use limits::Limits;
pub use lock::{Fence, LockHolder, LockMode};
pub use native_txn::{LeaseChange, NativeCompare, NativeOp, NativeReply, NativeResult, NativeSubject, NativeTxn};
pub use pair::{KvAction, KvPair};
pub use revision::Revision;
pub use target::Target;
pub(crate) use txn::Note;
pub use txn::{
    Compare, Comparison, Subject, Txn, TxnOp, TxnReply, TxnResult, absent, attached, created, delete, get, modified,
    present, put, value, version,
};
pub use value::IntoValue;
pub use watch::{Change, Changes, Event, Feed, OnGap, WatchSpec, WatchStart};
