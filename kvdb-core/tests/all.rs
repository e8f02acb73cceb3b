//! The engine, the Go library's spellings and the recipes, on the memory store.

mod common;
mod engine;
mod portworx;
