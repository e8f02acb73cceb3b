//! What many concurrent clients were answered, and whether one store can have answered so.
//!
//! [`History`] records the calls, [`linear`] searches for an order of each key's calls that explains every answer, and
//! [`replay`] holds the answers to the store's own history, where it has revisions. What watches told is judged by
//! [`kvdb_testsuite::checker`].

mod cuts;
mod history;
pub mod linear;
mod register;
pub mod replay;
#[cfg(test)]
mod tests;

pub use cuts::Cuts;
pub use history::{Answer, Call, Effect, History, Moment, Part, Refusal, Seen, When};
pub use replay::Written;
