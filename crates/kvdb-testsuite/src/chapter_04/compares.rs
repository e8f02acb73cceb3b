use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{CallOptions, Compare, Comparison};

use crate::help::expect_kind;
use crate::{Ctx, Proof, ensure, ensure_eq};

const ALL: [Comparison; 4] = [Comparison::Equal, Comparison::NotEqual, Comparison::Less, Comparison::Greater];

/// What a comparison means, in the trial's own words.
fn is<T: Ord>(comparison: Comparison, found: &T, wanted: &T) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    matches!(
        (comparison, found.cmp(wanted)),
        (Comparison::Equal, Equal)
            | (Comparison::NotEqual, Less | Greater)
            | (Comparison::Less, Less)
            | (Comparison::Greater, Greater)
    )
}

/// Runs a transaction with one compare; both branches must tell the same as `succeeded`.
async fn holds(kv: &Handle, compare: &Compare) -> Proof<bool> {
    let txn = kv.txn().when(compare.clone()).then(put("ran", "then")).otherwise(put("ran", "otherwise"));
    let reply = txn.await?;
    let ran = kv.get("ran").await?.map(|pair| pair.value);
    let expected = if reply.succeeded { "then" } else { "otherwise" };
    ensure_eq!(ran, Some(expected.into()), "the branch that ran under {compare:?}");
    ensure_eq!(reply.results.len(), 1, "results under {compare:?}");
    Ok(reply.succeeded)
}

async fn expect(kv: &Handle, compare: Compare, expected: bool) -> Proof {
    ensure_eq!(holds(kv, &compare).await?, expected, "{compare:?}");
    Ok(())
}

/// A key in every state that compares can tell apart.
async fn states(kv: &Handle) -> Proof<Vec<(&'static str, Option<KvPair>)>> {
    kv.put("written/twice", "first").await?;
    kv.put("gone", "was").await?;
    kv.delete("gone").await?;
    kv.put("anew", "old").await?;
    kv.delete("anew").await?;
    Ok(vec![
        ("never", None),
        ("gone", None),
        ("once", Some(kv.put("once", "m").await?)),
        ("written/twice", Some(kv.put("written/twice", "second").await?)),
        ("anew", Some(kv.put("anew", "new").await?)),
        ("empty", Some(kv.put("empty", "").await?)),
        ("binary", Some(kv.put("binary", vec![0xff, 0x00, b'm']).await?)),
    ])
}

pub(super) async fn table(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let states = states(&kv).await?;
    let values: [&[u8]; 9] = [b"", b"\0", b"l", b"m", b"m\0", b"ma", b"n", &[0xff, 0x00, b'm'], &[0xff, 0x01]];
    for (key, pair) in &states {
        expect(&kv, present(*key), pair.is_some()).await?;
        expect(&kv, absent(*key), pair.is_none()).await?;
        for comparison in ALL {
            for wanted in values {
                let compare = Compare::Value((*key).to_owned(), comparison, Bytes::copy_from_slice(wanted));
                let expected = pair.as_ref().is_some_and(|pair| is(comparison, &&pair.value[..], &wanted));
                expect(&kv, compare, expected).await?;
            }
            // An absent key has the index 0.
            let created = pair.as_ref().map_or(0, |pair| pair.created_index.get());
            let modified = pair.as_ref().map_or(0, |pair| pair.modified_index.get());
            for wanted in [0, 1, created.saturating_sub(1), created, modified, modified + 1, u64::MAX] {
                let index = Revision::new(wanted);
                let compare = Compare::Created((*key).to_owned(), comparison, index);
                expect(&kv, compare, is(comparison, &created, &wanted)).await?;
                let compare = Compare::Modified((*key).to_owned(), comparison, index);
                expect(&kv, compare, is(comparison, &modified, &wanted)).await?;
            }
        }
    }
    // The short forms say the same.
    let once = kv.put("once", "m").await?;
    let (past, now) = (once.created_index, once.modified_index);
    for (compare, expected) in [
        (value("once").eq("m"), true),
        (value("once").ne("m"), false),
        (value("once").lt("n"), true),
        (value("once").gt("m"), false),
        (created("once").eq(past), true),
        (created("once").lt(now), past < now),
        (modified("once").eq(now), true),
        (modified("once").ne(now), false),
        (modified("once").gt(past), past < now),
    ] {
        expect(&kv, compare, expected).await?;
    }
    Ok(())
}

pub(super) async fn absent_values(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    kv.put("gone", "was").await?;
    kv.delete("gone").await?;
    // A key with children only is no key.
    kv.put("parent/child", "1").await?;
    for key in ["never", "gone", "parent"] {
        for wanted in ["", "was", "\u{10ffff}"] {
            expect(&kv, value(key).eq(wanted), false).await?;
            expect(&kv, value(key).ne(wanted), false).await?;
            expect(&kv, value(key).lt(wanted), false).await?;
            expect(&kv, value(key).gt(wanted), false).await?;
        }
        expect(&kv, created(key).eq(0u64), true).await?;
        expect(&kv, modified(key).eq(0u64), true).await?;
        expect(&kv, modified(key).lt(1u64), true).await?;
        expect(&kv, absent(key), true).await?;
    }
    Ok(())
}

pub(super) async fn versions(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for (key, pair) in states(&kv).await? {
        let found = pair.as_ref().and_then(|pair| pair.version).unwrap_or(0);
        ensure_eq!(found > 0, pair.is_some(), "the version of {key}");
        for comparison in ALL {
            for wanted in [0, 1, 2, 3, u64::MAX] {
                let compare = Compare::Version(key.to_owned(), comparison, wanted);
                expect(&kv, compare, is(comparison, &found, &wanted)).await?;
            }
        }
    }
    expect(&kv, version("written/twice").eq(2u64), true).await?;
    expect(&kv, version("anew").eq(1u64), true).await?;
    expect(&kv, version("never").eq(0u64), true).await?;
    Ok(())
}

pub(super) async fn unsupported(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let txn = kv.txn().when(version("k").eq(0u64)).then(put("k", "1")).otherwise(put("k", "2"));
    let error = expect_kind(txn.await, &ErrorKind::Unsupported(Capabilities::KEY_VERSION))?;
    ensure!(error.to_string().contains("KEY_VERSION"), "the capability is not named: {error}");
    ensure_eq!(kv.get("k").await?, None, "what a refused transaction left");
    Ok(())
}

pub(super) async fn leases(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let ttl = ctx.ttl(Duration::from_secs(300));
    let (one, other) = (kv.lease(ttl).await?.id, kv.lease(ttl).await?.id);
    kv.put("leased", "1").lease(&one).await?;
    kv.put("moved", "1").lease(&one).await?;
    kv.put("moved", "1").lease(&other).await?;
    kv.put("freed", "1").lease(&one).await?;
    kv.put("freed", "1").await?;
    let states = [("absent", None), ("leased", Some(&one)), ("moved", Some(&other)), ("freed", None)];
    for (key, found) in states {
        for wanted in [None, Some(&one), Some(&other)] {
            let compare = |comparison| Compare::Lease(key.to_owned(), comparison, wanted.cloned());
            expect(&kv, compare(Comparison::Equal), found == wanted).await?;
            expect(&kv, compare(Comparison::NotEqual), found != wanted).await?;
            for order in [Comparison::Less, Comparison::Greater] {
                expect_kind(kv.txn().when(compare(order)).await, &ErrorKind::InvalidArgument)?;
            }
        }
        expect(&kv, attached(key, &one), found == Some(&one)).await?;
    }
    // The revoked lease's keys are gone, and with them the lease.
    kv.lease_revoke(&one, CallOptions::default()).await?;
    expect(&kv, attached("leased", &one), false).await?;
    expect(&kv, absent("leased"), true).await?;
    Ok(())
}
