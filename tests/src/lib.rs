//! The stores under test, and what the tests of all stores share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod dumps;
pub mod facade;
mod memory;
pub mod portworx;
pub mod readme;
mod redb;
pub mod statements;
mod stores;
mod under;
pub mod wrappers;

pub use memory::Memory;
pub use redb::Redb;
pub use stores::{WITHOUT_USERS_AND_MEMBERS, stores};
pub use under::wrapped;
