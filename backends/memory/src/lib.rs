//! The memory store of kvdb: private to a handle, or shared in the process by name.

mod backend;
mod config;
mod core;
mod names;

pub use backend::{FACTORY, MemoryBackend};
pub use config::MemoryConfig;
