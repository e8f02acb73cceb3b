//! The `kvdb` command as a library, so that tests run the same code: [`run`] is the whole command, [`demo`] its demo,
//! [`import_directory`] its import.

mod cli;
mod commands;
pub mod demo;
mod duration;
mod failure;
mod files;
mod job;
mod output;
mod progress;
mod run;
mod signals;
mod store;

pub use failure::Failure;
pub use files::import_directory;
pub use run::run;
