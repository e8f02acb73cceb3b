use std::time::Duration;

use kvdb::ErrorKind;
use kvdb::prelude::*;
use kvdb_compat::code_server::{self, KVTransform, PersistentLease, Snapshot};
use kvdb_testsuite::help::{expect_kind, soon};
use kvdb_testsuite::{Failure, Proof, ensure, ensure_eq};

use super::On;

/// The newest snapshot that is as wanted.
async fn until<V: Clone + Send + 'static>(
    snapshots: &mut kvdb::recipes::PrefixWatch<String, V>,
    wanted: impl Fn(&Snapshot<String, V>) -> bool,
) -> Proof<Snapshot<String, V>> {
    loop {
        let next = soon("a snapshot", snapshots.next()).await?;
        let snapshot = next.ok_or_else(|| Failure::new("the snapshots have ended"))??;
        if wanted(&snapshot) {
            return Ok(snapshot);
        }
    }
}

fn text(key: &[u8], value: &[u8]) -> std::result::Result<(String, String), std::string::FromUtf8Error> {
    Ok((String::from_utf8(key.to_vec())?, String::from_utf8(value.to_vec())?))
}

pub(super) async fn names(on: On) -> Proof {
    let (client, other) = (on.open().await?, on.open().await?);
    // 10 s where the store grants it.
    let limits = client.limits();
    let ttl = Duration::from_secs(10).clamp(limits.ttl_min, limits.ttl_max.unwrap_or(Duration::MAX));
    soon("the absence", code_server::wait_for(&other, "servers/a", false)).await??;
    let lease: PersistentLease = code_server::new_persistent_lease(&client, "/servers/a", "1", ttl).await?;
    ensure_eq!(lease.key(), "servers/a");
    soon("the key", code_server::wait_for(&other, lease.key(), true)).await??;
    let transform: KVTransform<String, String, _> = Box::new(text);
    let mut snapshots = code_server::watch_prefix(&other, "servers", transform)?;
    let first = until(&mut snapshots, |_| true).await?;
    ensure_eq!(first.tree.into_iter().collect::<Vec<_>>(), [("servers/a".to_owned(), "1".to_owned())]);
    lease.set_value("2")?;
    until(&mut snapshots, |snapshot| snapshot.tree.get("servers/a").is_some_and(|value| value == "2")).await?;
    other.delete("servers/a").await?;
    soon("the key again", code_server::wait_for(&other, lease.key(), true)).await??;
    lease.close().await?;
    lease.close().await?;
    soon("the absence", code_server::wait_for(&other, lease.key(), false)).await??;
    until(&mut snapshots, |snapshot| snapshot.tree.is_empty()).await?;
    expect_kind(lease.set_value("3"), &ErrorKind::Closed)?;
    let (minute, day) = (Duration::from_secs(61), Duration::from_secs(24 * 3600));
    if limits.ttl_max.is_none_or(|max| max > day) {
        drop(code_server::new_persistent_lease(&client, "servers/b", "1", minute).await?);
    }
    ensure!(code_server::new_persistent_lease(&client, "servers/b", "1", Duration::ZERO).await.is_err(), "no TTL");
    expect_kind(code_server::wait_for(&client, "", true).await, &ErrorKind::InvalidArgument)?;
    Ok(())
}

pub(super) async fn transform(on: On) -> Proof {
    let client = on.open().await?;
    client.put("numbers/a", "1").await?;
    client.put("numbers-beside", "9").await?;
    let number = |key: &[u8], value: &[u8]| {
        let (key, value) = text(key, value).map_err(|error| error.to_string())?;
        value.parse::<u32>().map(|value| (key, value)).map_err(|error| error.to_string())
    };
    let mut snapshots = code_server::watch_prefix(&client, "numbers", number)?;
    let first = until(&mut snapshots, |_| true).await?;
    ensure_eq!(first.tree.into_iter().collect::<Vec<_>>(), [("numbers/a".to_owned(), 1)]);
    client.put("numbers/a", "one").await?;
    let bad = until(&mut snapshots, |snapshot| snapshot.tree.is_empty()).await?;
    ensure_eq!(bad.invalid.len(), 1);
    ensure_eq!(bad.invalid[0].0, "numbers/a");
    client.put("numbers/a", "2").await?;
    let good = until(&mut snapshots, |snapshot| !snapshot.tree.is_empty()).await?;
    ensure!(good.invalid.is_empty() && good.tree.get("numbers/a") == Some(&2), "{good:?}");
    Ok(())
}
