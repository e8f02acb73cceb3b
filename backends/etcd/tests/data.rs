//! Reads, writes, transactions, lists, watches and leases of the etcd store, through the `Backend` trait, on real
//! servers.

#[cfg(test)]
#[path = "../../memory/tests/checks/mod.rs"]
#[allow(dead_code, reason = "other stores run more of the checks")]
mod checks;

#[cfg(test)]
#[path = "data_parts/leases.rs"]
mod leases;

#[cfg(test)]
#[path = "data_parts/pages.rs"]
mod pages;

#[cfg(test)]
#[path = "data_parts/past.rs"]
mod past;

#[cfg(test)]
#[path = "data_parts/txns.rs"]
mod txns;

#[cfg(test)]
#[path = "data_parts/watches.rs"]
mod watches;

#[cfg(test)]
#[path = "data_parts/writes.rs"]
mod writes;

#[cfg(test)]
#[path = "data_parts/cluster.rs"]
mod cluster;

use std::sync::Mutex;

use cluster::{open, start};

#[tokio::test(flavor = "multi_thread")]
async fn what_every_store_keeps_holds() {
    let clusters = Mutex::new(Vec::new());
    checks::without_much_room(&async || {
        let cluster = start();
        let store = open(&cluster).await;
        clusters.lock().unwrap().push(cluster);
        store
    })
    .await;
}
