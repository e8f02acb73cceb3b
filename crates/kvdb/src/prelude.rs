//! Everything an app needs: `use kvdb::prelude::*;`.

pub use kvdb_core::prelude::*;
