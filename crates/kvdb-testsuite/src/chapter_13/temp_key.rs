use std::time::Duration;

use kvdb_core::Kvdb;
use kvdb_core::Options;
use kvdb_core::prelude::*;
use kvdb_core::recipes::{PersistentState, TempKey};

use super::persistent::is_back;
use crate::help::soon;
use crate::tap::Tap;
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn stays(ctx: Ctx) -> Proof {
    let (kv, tap) = Tap::open(&ctx, Options::new()).await?;
    let other = ctx.open().await?;
    let key = soon("the key is put", TempKey::new(&kv, "alive/me")).await??;
    ensure_eq!((key.key(), key.state()), ("alive/me", PersistentState::Present));
    let pair = other.get("alive/me").await?;
    ensure_eq!(pair.as_ref().and_then(KvPair::text), Some("1"));
    let expected = ctx.ttl(Duration::from_secs(10));
    let granted = tap.record.grants();
    ensure!(granted.len() == 1 && granted[0].1 >= expected, "granted {granted:?}, expected {expected:?}");
    ensure!(granted[0].1 < expected + ctx.limits().ttl_granularity.max(Duration::from_nanos(1)), "{granted:?}");
    other.delete("alive/me").await?;
    is_back(&other, "alive/me", "1", "the deleted key is back").await?;
    other.put("alive/me", "2").await?;
    is_back(&other, "alive/me", "1", "the overwritten key is back").await?;
    key.close().await?;
    ensure_eq!(other.get("alive/me").await?, None);
    key.close().await?;
    Ok(())
}

pub(super) async fn goes_with_its_handle(ctx: Ctx) -> Proof {
    let (kv, other) = (ctx.open().await?, ctx.open().await?);
    let key = soon("the key is put", TempKey::new(&kv, "alive/me")).await??;
    kv.close().await?;
    ensure_eq!(other.get("alive/me").await?, None);
    key.close().await?;
    ensure!(TempKey::new(&kv, "alive/me").await.is_err(), "a closed handle keeps a key");
    Ok(())
}
