//! The `kvdb` command as a library, so that tests run the same code: [`run`] is the whole command, [`demo`] its demo.

mod cli;
mod commands;
pub mod demo;
mod duration;
mod failure;
mod output;
mod run;
mod signals;
mod store;

pub use failure::Failure;
pub use run::run;
