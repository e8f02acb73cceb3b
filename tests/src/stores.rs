use std::sync::Arc;

use kvdb_testsuite::Store;

use crate::{Memory, Redb};

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

/// The stores to test: all, or those that `KVDB_TEST_STORES` names.
///
/// # Panics
/// When the variable names a store that is none: a run that silently tests nothing would look green.
#[must_use]
pub fn stores() -> Vec<Arc<dyn Store>> {
    let all: Vec<(&str, Arc<dyn Store>)> = vec![("memory", Arc::new(Memory)), ("redb", Arc::new(Redb))];
    let Ok(wanted) = std::env::var(NARROW) else {
        return all.into_iter().map(|(_, store)| store).collect();
    };
    let wanted: Vec<&str> = wanted.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    let known: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(*name)) {
        panic!("{NARROW} names {unknown:?}; the stores are {}", known.join(", "));
    }
    all.into_iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name)).map(|(_, store)| store).collect()
}
