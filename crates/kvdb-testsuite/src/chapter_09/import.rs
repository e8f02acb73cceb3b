use std::sync::Arc;
use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{CallOptions, Limits, Options};

use crate::decorate::{Call, Fault, Faulty, Limited};
use crate::help::{expect_kind, next_pair};
use crate::{Ctx, Proof, ensure, ensure_eq};

fn made_up(count: usize) -> Vec<KvPair> {
    (0..count).map(|n| KvPair::new(format!("d/{n:05}"), format!("{n}"))).collect()
}

pub(super) async fn values(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    ensure_eq!(kv.import(&[]).await?, 0);
    let stays = kv.put("stays", "1").await?;
    let old = kv.put("d/old", "1").await?;
    // Beyond all of this store's, also where an election takes 2^32 of them.
    let foreign = stays.modified_index.get() + (1 << 48);
    let mut pairs = vec![KvPair::new("d/old", "2"), KvPair::new("d/binary", vec![0, 0xff]), KvPair::new("d/empty", "")];
    for pair in &mut pairs {
        pair.created_index = foreign.into();
        pair.modified_index = (foreign + 1).into();
        pair.version = Some(77);
        pair.action = KvAction::Delete;
    }
    ensure_eq!(kv.import(&pairs).await?, 3);
    let found = kv.list("d").await?;
    let shown: Vec<_> = found.iter().map(|pair| (pair.key.as_str(), &pair.value[..])).collect();
    let expected: [(&str, &[u8]); 3] = [("d/binary", &[0, 0xff]), ("d/empty", b""), ("d/old", b"2")];
    ensure_eq!(shown, expected);
    for pair in &found {
        ensure!(pair.modified_index > stays.modified_index && pair.modified_index < foreign, "{pair:?}");
        let created = if pair.key == "d/old" { old.created_index } else { pair.modified_index };
        ensure_eq!(pair.created_index, created, "{}", pair.key);
        ensure!(pair.version.is_none_or(|version| version < 3), "{pair:?}");
    }
    ensure_eq!(kv.get("stays").await?.map(|pair| pair.modified_index), Some(stays.modified_index));
    // A key that is named twice keeps the last value, and counts once.
    ensure_eq!(kv.import(&[KvPair::new("twice", "1"), KvPair::new("twice", "2")]).await?, 1);
    ensure_eq!(kv.get("twice").await?.map(|pair| pair.value), Some("2".into()));
    // What cannot be a key is named, and its part is not written.
    for bad in ["", "a/../b", "_kvdb/lock/x", "a\u{0}"] {
        let error = expect_kind(
            kv.import(&[KvPair::new("left", "1"), KvPair::new(bad, "1")]).await,
            &ErrorKind::InvalidArgument,
        )?;
        ensure_eq!(error.key(), Some(bad), "the key that {error} names");
    }
    ensure_eq!(kv.get("left").await?, None, "half of a part");
    // A whole domain goes over into another one.
    let other = ctx.open_in(&format!("{}-copy", ctx.domain())).await?;
    let dump = kv.deserialize(&kv.serialize().await?)?;
    ensure_eq!(other.import(&dump).await?, dump.len() as u64);
    let pairs = |all: Vec<KvPair>| all.into_iter().map(|pair| (pair.key, pair.value)).collect::<Vec<_>>();
    ensure_eq!(pairs(other.list("").await?), pairs(kv.list("").await?));
    Ok(())
}

pub(super) async fn permanent(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let lease = kv.lease(ctx.ttl(Duration::from_secs(300))).await?.id;
    kv.put("leased", "1").lease(&lease).await?;
    let short = ctx.ttl(Duration::from_millis(500));
    kv.put("short", "1").ttl(short).await?;
    let mut pairs = kv.deserialize(&kv.serialize().await?)?;
    for pair in &mut pairs {
        pair.ttl = Some(short);
        pair.lease.get_or_insert(lease.clone());
    }
    ensure_eq!(kv.import(&pairs).await?, 2);
    for pair in kv.list("").await? {
        ensure_eq!((&pair.lease, pair.ttl), (&None, None), "{}", pair.key);
    }
    kv.lease_revoke(&lease, CallOptions::default()).await?;
    // A later deadline than all of the old ones is what happens next.
    let mut watch = kv.watch_tree("").await?;
    kv.put("last", "1").ttl(short * 2).await?;
    while kv.get("last").await?.is_some() {
        next_pair(&mut watch).await?;
    }
    ensure_eq!(kv.list("").names().await?, ["leased", "short"]);
    Ok(())
}

pub(super) async fn parts(ctx: Ctx) -> Proof {
    // More than one part of the usual size, and each in one revision.
    let kv = ctx.open().await?;
    let many = made_up(2300);
    ensure_eq!(kv.import(&many).await?, 2300);
    let found = kv.list("d").await?;
    ensure_eq!(found.len(), 2300);
    ensure!(found.iter().zip(&many).all(|(pair, sent)| pair.key == sent.key && pair.value == sent.value));
    let revisions: std::collections::BTreeSet<_> = found.iter().map(|pair| pair.modified_index).collect();
    let at_once = ctx.limits().batch_ops.min(1000);
    ensure_eq!(revisions.len(), 2300usize.div_ceil(at_once), "parts of an import");
    kv.delete_tree("").await?;
    // A store that takes little at once.
    let narrow = Limited::new(ctx.backend().await?, |limits: &mut Limits| {
        (limits.batch_ops, limits.batch_bytes, limits.value_bytes) = (4, 4000, 3000);
    });
    let small = ctx.handle(Arc::new(narrow), ctx.domain(), Options::new())?;
    let mut pairs = made_up(9);
    pairs.push(KvPair::new("e/big", vec![b'x'; 2900]));
    pairs.push(KvPair::new("e/bigger", vec![b'x'; 3000]));
    pairs.push(KvPair::new("e/last", "1"));
    ensure_eq!(small.import(&pairs).await?, 12);
    ensure_eq!(kv.count("").await?, 12);
    pairs.push(KvPair::new("e/too big", vec![b'x'; 3001]));
    expect_kind(small.import(&pairs).await, &ErrorKind::TooLarge { limit: 3000 })?;
    kv.delete_tree("").await?;
    // A part that fails leaves those before it, and importing again makes up for it.
    let mut parts = 0;
    let faults = move |call: &Call| {
        if !matches!(call, Call::Commit(_) | Call::NativeTxn(_)) {
            return Fault::None;
        }
        parts += 1;
        let refusal = kvdb_core::Error::new(ErrorKind::PermissionDenied, "not the second one");
        if parts == 2 { Fault::Refuse(refusal) } else { Fault::None }
    };
    let failing = ctx.open_over(Options::new(), |inner| Faulty::new(inner, faults)).await?;
    expect_kind(failing.import(&many).await, &ErrorKind::PermissionDenied)?;
    ensure_eq!(kv.count("").await?, at_once as u64, "keys of the part before the one that failed");
    ensure_eq!(failing.import(&many).await?, 2300);
    ensure_eq!(kv.count("").await?, 2300);
    Ok(())
}
