#![doc = include_str!("../README.md")]

mod backend;
mod capability;
mod engine;
mod error;
mod ext;
mod kvdb;
mod operation;
pub mod options;
pub mod portworx;
pub mod prelude;
pub mod recipes;
pub mod registry;
pub mod toolkit;
mod types;
mod wrap;

pub use backend::{AtOnce, Backend, Pin};
pub use capability::Capabilities;
pub use engine::{ListPage, Listing, LockGuard, Pages, Snapshot, Watch};
pub use error::{Error, ErrorKind, Result, Retry};
pub use ext::{KvdbExt, builders};
pub use kvdb::{
    CallOptions, DeleteOptions, Deleted, GetOptions, Info, Kvdb, ListOptions, LockOptions, PutOptions, SnapshotOptions,
    WatchOptions,
};
pub use operation::Operation;
pub use options::{FatalCallback, Options, Secret};
pub use recipes::Tx;
pub(crate) use types::Note;
pub use types::{
    AdminReply, AdminRequest, Batch, Change, Changes, Compare, Comparison, Consistency, Entry, Event, Feed, Fence,
    Fetched, Guard, IntoValue, Key, KeyRange, KvAction, KvFlags, KvPair, Lease, LeaseChange, LeaseId, LeaseInfo,
    Limits, LockHolder, LockMode, MemberInfo, NativeCompare, NativeOp, NativeReply, NativeResult, NativeSubject,
    NativeTxn, OnGap, Op, OpResult, Outcome, Page, PermissionType, Precondition, Read, Revision, Scan, Subject, Target,
    Txn, TxnOp, TxnReply, TxnResult, WatchSpec, WatchStart,
};
pub use types::{absent, attached, created, delete, get, modified, present, put, value, version};
pub use wrap::{
    Before, Call, End, Handle, Intercepted, Interceptor, MakeWrapper, Placement, Wrapper, WrapperFactory,
    WrapperRegistration, register_wrapper, wrapper_factories,
};

// What backends and the inventory macro of other crates need, so that they agree on the version.
pub use bytes::Bytes;
pub use inventory;
