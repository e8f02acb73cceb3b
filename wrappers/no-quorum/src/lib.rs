//! Refuses calls at once while the store has no quorum, instead of letting each wait for its deadline. Put on by hand it
//! is raised until it is taken off. With `auto=true` it raises itself when a call meets a lost quorum, or an unreachable
//! store for `unreachable` (default 5 s), and lowers itself when a probe every `probe` (default 1 s) succeeds.

mod config;
mod interceptor;
pub use {config::NoQuorumConfig, interceptor::FACTORY, interceptor::NoQuorum};
