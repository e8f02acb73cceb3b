//! The ZooKeeper backend of kvdb, on `zookeeper-client`.

mod acl;
mod admin;
mod backend;
mod client;
mod commit;
mod config;
mod cut;
mod endpoints;
mod error;
mod follow;
mod ground;
mod lease;
mod pages;
mod path;
mod pending;
mod plan;
mod raw;
mod read;
mod tls;
mod watch;

pub use backend::{FACTORY, ZooKeeperBackend};
pub use config::ZooKeeperConfig;
