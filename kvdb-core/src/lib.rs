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

pub use backend::Backend;
pub use capability::Capabilities;
pub use engine::{ListPage, Listing, LockGuard, Pages, Watch};
pub use error::{Error, ErrorKind, Result, Retry};
pub use ext::{KvdbExt, builders};
pub use kvdb::{
    CallOptions, DeleteOptions, Deleted, GetOptions, Info, Kvdb, ListOptions, LockOptions, PutOptions, WatchOptions,
};
pub use operation::Operation;
pub use options::{FatalCallback, Options, Secret};
pub use types::{
    AdminReply, AdminRequest, Batch, Change, Changes, Consistency, Entry, Event, Feed, Fence, Fetched, Guard,
    IntoValue, Key, KeyRange, KvAction, KvFlags, KvPair, Lease, LeaseId, LeaseInfo, Limits, LockHolder, MemberInfo,
    OnGap, Op, OpResult, Outcome, Page, PermissionType, Precondition, Read, Revision, Scan, Target, WatchSpec,
    WatchStart,
};
pub use wrap::Handle;

// What backends and the inventory macro of other crates need, so that they agree on the version.
pub use bytes::Bytes;
pub use inventory;
