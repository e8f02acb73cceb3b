use std::time::{Duration, Instant};

use kvdb::ErrorKind;
use kvdb::prelude::*;
use kvdb_testsuite::help::{eventually, expect_kind, soon};
use kvdb_testsuite::{Proof, ensure, ensure_eq};

use super::On;

pub(super) async fn heals(on: On) -> Proof {
    let (kvi, other) = (on.kvi().await?, on.kvi().await?);
    kvi.temp_key("alive/me").await?;
    let (value, present) = other.get("alive/me").await?;
    ensure!(present && !value.is_empty(), "the key is {value:?}, present {present}");
    // The same key by any spelling has one keeper.
    kvi.temp_key("/alive/me/").await?;
    let before = other.handle().get("alive/me").await?;
    kvi.temp_key("alive/me").await?;
    ensure_eq!(
        other.handle().get("alive/me").await?.map(|pair| pair.modified_index),
        before.map(|pair| pair.modified_index),
        "the second call wrote"
    );
    other.delete("alive/me").await?;
    eventually("the deleted key is back", || async { Ok(other.get("alive/me").await?.1) }).await?;
    other.store("alive/me", "somebody else's").await?;
    eventually("the overwritten key is back", || async { Ok(other.get("alive/me").await?.0 == value) }).await?;
    ensure!(other.handle().get("alive/me").await?.is_some_and(|pair| pair.lease.is_some()), "it would stay for ever");
    // How many of us are there?
    other.temp_key("alive/other").await?;
    ensure_eq!(kvi.get_range("alive/", "alive/~").await?.len(), 2);
    soon("the close", kvi.close()).await??;
    let left: Vec<_> = other.get_range("alive/", "alive/~").await?.into_iter().map(|pair| pair.key).collect();
    ensure_eq!(left, ["alive/other"], "after the close");
    expect_kind(kvi.temp_key("alive/me").await, &ErrorKind::Closed)?;
    expect_kind(other.temp_key("_kvdb/x").await, &ErrorKind::InvalidArgument)?;
    Ok(())
}

/// Longer than the key lives without being kept.
const LONG: Duration = Duration::from_secs(11);

pub(super) async fn lives_with_its_handle(on: On) -> Proof {
    let (kvi, other) = (on.kvi().await?, on.kvi().await?);
    kvi.temp_key("me").await?;
    let put = other.handle().get("me").await?.map(|pair| pair.created_index);
    let began = Instant::now();
    eventually("the TTL has passed", || async {
        ensure!(other.get("me").await?.1, "the key is gone after {:?}", began.elapsed());
        Ok(began.elapsed() > LONG)
    })
    .await?;
    ensure_eq!(other.handle().get("me").await?.map(|pair| pair.created_index), put, "it was put anew");
    drop(kvi);
    eventually("the key of a dropped handle is gone", || async { Ok(!other.get("me").await?.1) }).await?;
    Ok(())
}
