#![cfg_attr(feature = "memory", doc = include_str!("../../../README.md"))]
#![cfg_attr(not(feature = "memory"), doc = "One async API for coordination stores; see the README of the project.")]

#[cfg(feature = "blocking")]
pub mod blocking;
mod connect;
mod instance;
mod linked;
mod password;
pub mod portworx;
pub mod prelude;
mod uri;

pub use connect::{Version, connect, connect_with, new, version, version_at};
pub use instance::{instance, set_instance};
pub use kvdb_core::*;
pub use linked::{backends, wrappers};
