//! The engine, the Go library's spellings and the recipes, on the memory store.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod engine;
mod portworx;
mod recipes;
