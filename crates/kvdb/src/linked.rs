//! The backends that this build has, and what to say of the others.

use kvdb_core::registry::{self, BackendFactory};
use kvdb_core::{Error, ErrorKind, Result, WrapperFactory, register_wrapper, wrapper_factories};

/// Named here, not only submitted to `inventory`: a linker drops a crate that nothing names.
static LINKED: &[&BackendFactory] = &[
    #[cfg(feature = "consul")]
    &kvdb_consul::FACTORY,
    #[cfg(feature = "etcd")]
    &kvdb_etcd::FACTORY,
    #[cfg(feature = "memory")]
    &kvdb_memory::FACTORY,
    #[cfg(feature = "redb")]
    &kvdb_redb::FACTORY,
    #[cfg(feature = "zookeeper")]
    &kvdb_zookeeper::FACTORY,
];

/// The wrappers, named for the same reason.
static WRAPPERS: &[&WrapperFactory] = &[
    #[cfg(feature = "log")]
    &kvdb_log::FACTORY,
    #[cfg(feature = "no-quorum")]
    &kvdb_no_quorum::FACTORY,
];

/// The wrappers that are linked in (by the cargo features `log` and `no-quorum`) or were registered at run time, sorted
/// by name: what [`kvdb_core::Handle::add_wrapper`] can be asked for.
#[must_use]
pub fn wrappers() -> Vec<&'static WrapperFactory> {
    // A clash of names shows where the wrapper is asked for.
    let _ = register_wrappers();
    wrapper_factories()
}

/// Makes the linked wrappers known to every handle: once, before the first one is opened.
pub(crate) fn register_wrappers() -> Result<()> {
    WRAPPERS.iter().try_for_each(|factory| register_wrapper(factory))
}

/// The backends that are linked in (by the cargo features `memory`, `redb`, `etcd`, `consul` and `zookeeper`) or were
/// registered at run time, sorted by name: what [`crate::new`] and [`crate::connect`] can open.
#[must_use]
pub fn backends() -> Vec<&'static BackendFactory> {
    registry::factories(LINKED)
}

/// Every backend of the project with its names and its cargo feature, linked in or not.
const KNOWN: &[(&[&str], &str)] = &[
    (&["mem", "memory", "memv1", "kv-mem"], "memory"),
    (&["redb", "file", "boltv1", "bolt-kv"], "redb"),
    (&["etcdv3", "etcd", "etcdv3-kv"], "etcd"),
    (&["consul", "consulv1", "consul-kv"], "consul"),
    (&["zookeeper", "zk", "zookeeperv1", "zookeeper-kv"], "zookeeper"),
];

/// The backend that answers to `name`.
///
/// # Errors
/// `UnknownBackend` listing the linked ones and what would add the missing one; `InvalidConfig` when two answer to it.
pub(crate) fn find(name: &str) -> Result<&'static BackendFactory> {
    registry::find(name, LINKED).map_err(|error| match (error.kind(), way_out(name)) {
        (ErrorKind::UnknownBackend, Some(way_out)) => {
            Error::new(ErrorKind::UnknownBackend, format!("{}; {way_out}", error.message()))
        }
        _ => error,
    })
}

fn way_out(name: &str) -> Option<String> {
    let (names, feature) = KNOWN.iter().find(|(names, _)| names.contains(&name))?;
    let first = names.first()?;
    Some(format!("the cargo feature `{feature}` of the crate `kvdb` adds `{first}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_lists_the_linked_backends() {
        let error = find("nosuch").unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::UnknownBackend);
        for factory in backends() {
            assert!(error.to_string().contains(factory.name), "{error}");
        }
    }

    #[test]
    fn a_known_name_that_is_not_linked_says_what_adds_it() {
        assert!(way_out("zk").unwrap().contains("cargo feature `zookeeper`"));
        assert!(way_out("file").unwrap().contains("cargo feature `redb`"));
        assert!(way_out("etcd").unwrap().contains("cargo feature `etcd`"));
        assert!(way_out("memv1").unwrap().contains("cargo feature `memory`"));
        assert_eq!(way_out("nosuch"), None);
    }

    #[test]
    fn the_linked_backends_answer_to_the_names_that_are_known_of_them() {
        for (names, feature) in KNOWN {
            let features = [
                ("memory", cfg!(feature = "memory")),
                ("redb", cfg!(feature = "redb")),
                ("etcd", cfg!(feature = "etcd")),
                ("consul", cfg!(feature = "consul")),
                ("zookeeper", cfg!(feature = "zookeeper")),
            ];
            let linked = features.contains(&(*feature, true));
            for name in names.iter() {
                let found = find(name).ok().map(|factory| factory.name);
                assert_eq!(found, linked.then(|| names[0]), "{name}");
            }
        }
    }
}
