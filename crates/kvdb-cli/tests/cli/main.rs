//! The command as a shell sees it: the real binary, and the demo's code over stores that break one promise each.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests stop the test")]

mod admin;
mod bad_input;
mod bench;
mod broken;
mod command;
mod demo;
mod elect;
mod files;
mod group;
mod json;
mod locks;
mod mirror;
mod processes;
mod readme;
mod temp;
mod txn;
mod verbs;
mod wait;
mod watches;
