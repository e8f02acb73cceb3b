//! One structured line per call: verb, key or prefix, outcome, error kind, revision, sizes, elapsed time. Never a value
//! or a secret.
//!
//! Lines go to `tracing` (target `kvdb::log`, level info) and, with the option `log_path`, as JSON to a file.

mod config;
mod file;
mod interceptor;

pub use config::LogConfig;
pub use interceptor::{FACTORY, Log};
