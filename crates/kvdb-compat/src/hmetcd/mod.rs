//! `Kvi`, the key-value interface of `github.com/Cray-HPE/hms-hmetcd`, over every store.
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> kvdb::Result<()> {
//! use kvdb_compat::hmetcd;
//!
//! let kv = hmetcd::open("mem:", "").await?;
//! kv.store("my_key", "The rain in spain").await?;
//! assert_eq!(kv.get("my_key").await?, ("The rain in spain".to_owned(), true));
//! assert!(kv.tas("my_key", "The rain in spain", "falls mainly").await?);
//! kv.delete("my_key").await?;
//! kv.close().await
//! # }
//! # #[cfg(not(feature = "memory"))]
//! # fn main() {}
//! ```
//!
//! Where it differs from the Go package:
//!
//! - Keys: see the crate. A leading slash is not kept, so that `get_range` answers `a/b` for what was stored as `/a/b`;
//!   bounds of a range may be written with it.
//! - [`Kvi::get_range`] includes both ends and is sorted, on every store; the Go package's etcd half leaves the end out.
//! - An absent key fails every comparison of [`Kvi::transaction`] and [`Kvi::tas`], `!=` too, on every store; an
//!   operator that is none is an error. The Go package panics, or takes the key for an empty one.
//! - Locks are real, in memory too, and not re-entrant: a second one on the same handle is `LockHeld`. The number of
//!   seconds bounds the wait, never how long the lock is held. A holder that dies frees it within the store's lock TTL
//!   (the option `lock_ttl`, 16 s). They do not exclude programs that use the Go package.
//! - [`Kvi::temp_key`] heals itself and ends with the handle, in memory too.
//! - Watches see every change where the store has ORDERED_UPDATES, equal values included; a callback is not called
//!   once [`Kvi::watch_cb_cancel`] has returned; nothing is left running when the handle is closed or dropped.
//! - There is no marker key in memory.

mod kvi;
mod locks;
mod names;
mod open;
mod options;
mod temp_keys;
mod watches;

pub use kvi::Kvi;
pub use names::{
    DIST_LOCK_KEY, KVC_KEYCHANGE_DELETE, KVC_KEYCHANGE_INVAL, KVC_KEYCHANGE_PUT, KVC_LOCK_GRANTED, KVC_LOCK_OCCUPIED,
    KVC_LOCK_RELEASE_FAIL, KVC_LOCK_RELEASED, KVC_LOCK_RSLT_INVALID, KVC_LOCK_SET_FAIL, KvcLockResult, Kvi_KV,
    Kvs_etcd, Kvs_mem,
};
pub use open::open;
pub use options::KviOptions;
pub use watches::{WatchCBFunc, WatchCBHandle};
