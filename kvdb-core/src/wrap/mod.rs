//! What `kvdb::new` returns.

mod handle;

pub use handle::Handle;
