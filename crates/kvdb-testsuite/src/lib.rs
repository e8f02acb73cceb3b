#![doc = include_str!("../README.md")]
// A suite is test code: a broken assumption of its own may panic, which fails the trial.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod chapter_01;
mod chapter_02;
mod chapter_03;
mod chapter_04;
mod chapter_05;
mod chapter_06;
mod chapter_07;
mod chapter_08;
mod chapter_09;
mod chapter_10;
mod chapter_13;
pub mod checker;
mod ctx;
pub mod decorate;
mod failure;
pub mod help;
mod logs;
mod property;
mod registry;
mod runner;
mod store;
mod tap;
mod trial;
mod unsupported;
mod verbs;

pub use ctx::Ctx;
pub use failure::{Failure, Proof};
pub use registry::{LANDED, trials};
pub use runner::{UNSTEADY, main, run};
pub use store::{Place, Store};
pub use trial::Trial;
pub use unsupported::CALLS;
