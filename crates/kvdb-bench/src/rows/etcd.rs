//! The rows that start a real etcd.

mod calls;
mod fan_out;
mod locks;
mod memory;
mod snapshot;
mod stage;
mod watch;

pub(super) use calls::{get, put, put_alone};
pub(super) use fan_out::fan_out;
pub(super) use locks::{acquire, hand_over};
pub(super) use snapshot::snapshot;
pub(super) use watch::watch;
