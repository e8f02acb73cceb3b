use std::sync::Arc;

use kvdb_testsuite::Store;

use crate::{Consul, Etcd, Memory, Redb, ZooKeeper};

/// The committed table of what memory and redb refuse: exactly users and members.
pub const WITHOUT_USERS_AND_MEMBERS: &[&str] = &[
    "add_user",
    "remove_user",
    "grant_user_access",
    "revoke_user_access",
    "list_members",
    "endpoints",
    "set_endpoints",
    "defragment",
];

/// The variable that narrows the stores to a list such as `memory,redb`.
const NARROW: &str = "KVDB_TEST_STORES";

/// The names of the stores, as `KVDB_TEST_STORES` has them.
const NAMES: &[&str] = &["memory", "redb", "etcd", "consul", "zookeeper"];

/// The stores under test.
#[derive(Debug, Default)]
pub struct Stores {
    /// Each store once, as most users have it.
    pub plain: Vec<Arc<dyn Store>>,
    /// The same stores in other ways: as a cluster, as a user with few rights.
    pub otherwise: Vec<Arc<dyn Store>>,
}

/// The stores to test: all, or those that `KVDB_TEST_STORES` names.
///
/// # Panics
/// When the variable names a store that is none: a run that silently tests nothing would look green.
#[must_use]
pub fn stores() -> Stores {
    let wanted = std::env::var(NARROW).unwrap_or_default();
    let wanted: Vec<&str> = wanted.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = wanted.iter().find(|name| !NAMES.contains(name)) {
        panic!("{NARROW} names {unknown:?}; the stores are {}", NAMES.join(", "));
    }
    let mut stores = Stores::default();
    for name in NAMES.iter().filter(|name| wanted.is_empty() || wanted.contains(name)) {
        match *name {
            "memory" => stores.plain.push(Arc::new(Memory)),
            "redb" => stores.plain.push(Arc::new(Redb)),
            "consul" => {
                stores.plain.push(Arc::new(Consul::one()));
                stores.otherwise.push(Arc::new(Consul::three()));
                stores.otherwise.push(Arc::new(Consul::with_token()));
            }
            "zookeeper" => {
                stores.plain.push(Arc::new(ZooKeeper::one()));
                stores.otherwise.push(Arc::new(ZooKeeper::three()));
                stores.otherwise.push(Arc::new(ZooKeeper::as_user()));
            }
            _ => {
                stores.plain.push(Arc::new(Etcd::one()));
                stores.otherwise.push(Arc::new(Etcd::three()));
                stores.otherwise.push(Arc::new(Etcd::as_user()));
            }
        }
    }
    stores
}
