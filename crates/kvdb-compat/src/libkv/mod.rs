//! `Store`, the key-value interface that `github.com/laincloud/lainlet/store` took from libkv, over every store.
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> kvdb::Result<()> {
//! use kvdb_compat::libkv::{self, ErrKeyNotFound, Store as _};
//!
//! let store = libkv::new("mem", &[]).await?;
//! store.put("/test/dir/hello", b"world").await?;
//! let mut events = store.watch_tree("/test", 0).await?;
//! store.delete("/test", true).await?;
//! for action in [libkv::INIT, libkv::DELETE, libkv::DELETE] {
//!     assert_eq!(events.next().await.map(|event| event.action), Some(action));
//! }
//! assert!(events.next().await.is_none(), "the directory is gone");
//! assert!(store.get("/test/dir/hello").await.is_err_and(|error| error == ErrKeyNotFound));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "memory"))]
//! # fn main() {}
//! ```
//!
//! Where it differs from the Go package:
//!
//! - Keys: see the crate. They come back without a slash at the start, whole, from every call.
//! - A directory is there exactly while a key lies below it: it is made by putting a key and goes with its last one.
//!   The root, `""` or `/`, is always there. A key may have a value and keys below it at once.
//! - [`Store::watch`] and [`Store::watch_tree`] begin with an [`INIT`] event that has the whole of what is watched,
//!   from which on nothing is missed, unless they are to begin after an index. They take no context: dropping the
//!   [`Events`] ends the watch.
//! - Deleting a directory without `recursive` is `NotEmpty`, never "not found".
//! - [`register`] and [`new`]: every backend that is linked in is known by its names; opening one that is out of reach
//!   is an error and does not end the process.

mod events;
mod names;
mod over;
mod reader;
mod registry;
mod store;
mod watched;

pub use events::{Event, Events, KVPair};
pub use names::{
    Action, DELETE, ERROR, ErrBackendNotSupported, ErrCallNotSupported, ErrCannotLock, ErrKeyExists, ErrKeyModified,
    ErrKeyNotFound, ErrNotReachable, ErrPreviousNotSpecified, ErrorName, GET, INIT, SET, UPDATE,
};
pub use over::KvStore;
pub use registry::{Initializer, Initializing, create_endpoints, new, register};
pub use store::Store;
