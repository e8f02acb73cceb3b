//! The embedded file store of kvdb, on redb: one file, one process, every acknowledged write on disk.

mod backend;
mod config;
mod core;
mod error;
mod file;
mod format;
mod group;
mod request;
mod restore;
mod row_cache;
mod writer;

pub use backend::{FACTORY, RedbBackend};
pub use config::{Durability, RedbConfig};
