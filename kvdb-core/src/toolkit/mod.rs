//! For authors of backends: a multi-version index, batches staged against it, leases, watches, pages and a clock.
//!
//! A backend that keeps its keys in process memory (values may live elsewhere) puts an [`Index`] under a lock of its
//! own, implements [`Store`], stages every write with a [`Stage`] and publishes it with [`Index::apply`]; [`get`],
//! [`list`], [`open_feed`] and [`lease_info`] are then done.

mod changes;
mod check;
mod clock;
mod feed;
mod gate;
mod history;
mod index;
mod known;
mod leases;
mod mvcc;
mod pages;
mod pins;
mod stage;
mod stage_leases;
#[cfg(test)]
mod stage_tests;
mod stage_txn;
mod store;
mod table;

pub use changes::Step;
pub use check::check_batch;
pub use clock::{Clock, ManualClock, SystemClock};
pub use feed::open_feed;
pub use gate::{Gate, Hub};
pub use history::History;
pub use index::{Found, Index};
pub use known::Known;
pub use leases::{LeaseNumber, Leases, TTL_MAX, TTL_MIN, TTL_SLACK, checked_ttl, lease_number};
pub use mvcc::{Meta, Mvcc, Payload, Version};
pub use pages::list;
pub use pins::{Pin, Pins};
pub use stage::{Row, Stage, Staged};
pub use stage_leases::LeaseChange;
pub use stage_txn::check_txn;
pub(crate) use stage_txn::holds;
pub use store::{Store, get, lease_info, pin};
