//! Every verb that takes a key or a prefix, by name, for trials that hold for all of them.

use std::time::Duration;

use kvdb_core::recipes::UpdatesCollector;
use kvdb_core::{Bytes, Handle, KvFlags, KvPair, KvdbExt, Result, delete, get, put};

/// The verbs that take a key.
pub(crate) const KEY_VERBS: &[&str] = &[
    "get",
    "get_val",
    "put",
    "put_val",
    "create",
    "update",
    "compare_and_set",
    "compare_and_delete",
    "test_and_set",
    "delete",
    "watch_key",
    "txn put",
    "txn delete",
    "txn get",
    "txn compare",
    "tx get",
    "tx put",
    "import",
];

/// The verbs that take a prefix.
pub(crate) const PREFIX_VERBS: &[&str] = &[
    "list",
    "enumerate",
    "names",
    "pages",
    "count",
    "keys",
    "delete_tree",
    "watch_tree",
    "watch_tree current",
    "snapshot",
    "collector",
];

/// The verbs that take the name of a lock.
pub(crate) const LOCK_VERBS: &[&str] = &["lock", "try_lock", "lock_holder"];

/// Calls a verb with a key, and with a value where it takes one.
pub(crate) async fn with_key(kv: &Handle, verb: &str, key: &str, value: Bytes) -> Result<()> {
    match verb {
        "get" => drop(kv.get(key).await?),
        "get_val" => drop(kv.get_val::<serde_json::Value>(key).await?),
        "put" => drop(kv.put(key, value).await?),
        "put_val" => drop(kv.put_val(key, &String::from_utf8_lossy(&value)).await?),
        "create" => drop(kv.create(key, value).await?),
        "update" => drop(kv.update(key, value).await?),
        "compare_and_set" => {
            drop(kv.compare_and_set(&KvPair::new(key, value), KvFlags::PREV_EXISTS, None).await?);
        }
        "compare_and_delete" => drop(kv.compare_and_delete(&KvPair::new(key, value), KvFlags::empty()).await?),
        "test_and_set" => drop(kv.test_and_set(key, value.clone(), value).await?),
        "delete" => drop(kv.delete(key).await?),
        "watch_key" => drop(kv.watch_key(key).await?),
        "txn put" => drop(kv.txn().then(put(key, value)).await?),
        "txn delete" => drop(kv.txn().then(delete(key)).await?),
        "txn get" => drop(kv.txn().otherwise(get(key)).await?),
        "txn compare" => drop(kv.txn().when(kvdb_core::value(key).ne(value)).await?),
        "tx get" => drop(kv.tx().get(key).await?),
        "tx put" => {
            let tx = kv.tx();
            tx.put(key, value)?;
            tx.commit().await?;
        }
        "import" => drop(kv.import(&[KvPair::new(key, value)]).await?),
        other => unreachable!("{other} takes no key"),
    }
    Ok(())
}

/// Calls a verb with a prefix.
pub(crate) async fn with_prefix(kv: &Handle, verb: &str, prefix: &str) -> Result<()> {
    match verb {
        "list" => drop(kv.list(prefix).await?),
        "enumerate" => drop(kv.enumerate(prefix).await?),
        "names" => drop(kv.list(prefix).names().await?),
        "pages" => drop(kv.list(prefix).pages().await?.collect().await?),
        "count" => drop(kv.count(prefix).await?),
        "keys" => drop(kv.keys(prefix).await?),
        "delete_tree" => drop(kv.delete_tree(prefix).await?),
        "watch_tree" => drop(kv.watch_tree(prefix).await?),
        "watch_tree current" => drop(kv.watch_tree(prefix).current().await?),
        "snapshot" => drop(kv.snapshot(&[prefix]).await?.list("").await?),
        "collector" => drop(UpdatesCollector::new(kv, prefix, None).await?),
        other => unreachable!("{other} takes no prefix"),
    }
    Ok(())
}

/// Calls a verb with the name of a lock; a lock that is taken is released again.
pub(crate) async fn with_lock_name(kv: &Handle, verb: &str, name: &str) -> Result<()> {
    match verb {
        "lock" => kv.lock(name).wait(Duration::from_secs(5)).await?.release().await,
        "try_lock" => kv.try_lock(name).await?.release().await,
        "lock_holder" => kv.lock_holder(name).await.map(drop),
        other => unreachable!("{other} takes no lock name"),
    }
}
