//! The Consul backend of kvdb, on the HTTP API of its agents.

mod admin;
mod backend;
mod client;
mod commit;
mod config;
mod error;
mod go;
mod highest;
mod http;
mod lease;
mod marker;
mod plan;
mod read;
mod seen;
mod settle;
mod tls;
mod together;
mod url;
mod watch;
mod wire;

pub use backend::{ConsulBackend, FACTORY};
pub use config::{ConsulConfig, Scheme};
