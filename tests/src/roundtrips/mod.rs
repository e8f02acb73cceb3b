//! What calls cost at a real etcd, counted by the server itself: `grpc_server_handled_total` before and after.

mod calls;
mod etcd;
mod locks;
mod watches;

use libtest_mimic::Trial;

/// The trials; each starts an etcd of its own, so that nobody else is counted.
#[must_use]
pub fn trials() -> Vec<Trial> {
    let mut trials = calls::trials();
    trials.extend(locks::trials());
    trials.extend(watches::trials());
    trials
}
