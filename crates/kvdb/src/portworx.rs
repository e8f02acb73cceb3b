//! The verbs in the exact spellings of the Go library `github.com/portworx/kvdb`, opening a store included.
//!
//! Used instead of the prelude, never beside it. Types, constants and verbs: [`kvdb_core::portworx`].
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> kvdb::Result<()> {
//! use kvdb::portworx::*;
//! use std::sync::Arc;
//!
//! let fatal: FatalErrorCB = Arc::new(|error| eprintln!("{error}"));
//! set_instance(new("kv-mem", "app", &[], Options::new(), Some(fatal)).await?);
//!
//! let Some(kv) = instance() else { unreachable!() };
//! let tx = kv.tx_new()?;
//! tx.put("volume/1", "sda", 0).await?;
//! let index = tx.commit().await?;
//! let (view, at) = kv.snapshot(&["volume"], true).await?;
//! kv.delete("volume/1").await?;
//! assert_eq!((view.get("volume/1").await?.modified_index, at), (index, index));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "memory"))]
//! # fn main() {}
//! ```

pub use kvdb_core::portworx::*;

pub use crate::{Version, instance, set_instance, version};

/// Opens a store, as [`crate::new`] does; `fatal_error_cb` is called when something breaks that no call can report.
///
/// Options are collected from a map of the Go library's names or ours.
///
/// # Errors
/// As [`crate::new`].
///
/// # Cancel safety
/// As [`crate::new`].
pub async fn new(
    name: &str,
    domain: &str,
    machines: &[&str],
    options: Options,
    fatal_error_cb: Option<FatalErrorCB>,
) -> Result<Handle> {
    let options = match fatal_error_cb {
        Some(callback) => options.on_fatal(move |error| callback(error)),
        None => options,
    };
    crate::new(name, domain, machines, options).await
}
