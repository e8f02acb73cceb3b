//! The commands, one file each.

pub(crate) mod backends;
pub(crate) mod bench;
pub(crate) mod cluster;
pub(crate) mod compact;
pub(crate) mod completions;
pub(crate) mod del;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod lease;
pub(crate) mod lock;
pub(crate) mod ls;
pub(crate) mod put;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod tree;
pub(crate) mod txn;
pub(crate) mod users;
pub(crate) mod version;
pub(crate) mod watch;
