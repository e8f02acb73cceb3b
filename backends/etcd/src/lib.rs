//! The etcd v3 backend of kvdb.

mod admin;
mod admin_error;
mod backend;
mod changes;
mod client;
mod client_idle;
mod commit;
mod config;
mod convert;
mod endpoints;
mod error;
mod feed;
mod lease;
mod limits;
mod list;
mod members;
mod members_address;
mod members_list;
mod native;
mod read;
mod router;
mod span;
mod tls;
mod users;
mod version;
mod watch;
mod write;

pub use backend::{EtcdBackend, FACTORY};
pub use config::EtcdConfig;
