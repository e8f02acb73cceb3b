//! The stores under test, and what the tests of all stores share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod admin;
pub mod check;
pub mod compat;
mod consul;
pub mod demo;
pub mod dumps;
mod etcd;
pub mod facade;
mod memory;
pub mod mirror;
pub mod portworx;
pub mod readme;
mod redb;
pub mod roundtrips;
mod servers;
pub mod statements;
mod stores;
mod under;
pub mod wrappers;
mod zookeeper;

pub use consul::Consul;
pub use etcd::Etcd;
pub use memory::Memory;
pub use redb::Redb;
pub use stores::{Stores, WITHOUT_USERS_AND_MEMBERS, stores};
pub use under::wrapped;
pub use zookeeper::ZooKeeper;
