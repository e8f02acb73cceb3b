use std::sync::Arc;
use std::time::Duration;

use kvdb_core::prelude::*;
use kvdb_core::{Limits, Options};
use serde_json::Value;

use crate::chapter_03::fill;
use crate::decorate::{BreakLists, Limited};
use crate::help::{expect_error, expect_kind, whenever_read};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

fn read(dump: &[u8]) -> Proof<Value> {
    serde_json::from_slice(dump).map_err(|error| Failure::new(format_args!("the dump is no JSON: {error}")))
}

pub(super) async fn format(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let empty = read(&kv.serialize().await?)?;
    ensure_eq!((&empty["format"], &empty["version"]), (&Value::from("kvdb-dump"), &Value::from(1)));
    ensure_eq!(empty["pairs"], Value::Array(Vec::new()), "an empty domain");
    kv.put("b/text", "hello").await?;
    kv.put("a", "").await?;
    let last = kv.put("b/é", vec![0, 0xff, 0x80]).await?;
    let dump = read(&kv.serialize().await?)?;
    ensure!(dump["revision"].as_u64() >= Some(last.modified_index.get()), "{}", dump["revision"]);
    let pairs: Vec<_> = dump["pairs"].as_array().into_iter().flatten().collect();
    let shown: Vec<_> = pairs.iter().map(|pair| (pair["key"].as_str(), pair["value"].as_str())).collect();
    // RFC 4648 with padding.
    ensure_eq!(shown, [(Some("a"), Some("")), (Some("b/text"), Some("aGVsbG8=")), (Some("b/é"), Some("AP+A"))]);
    ensure_eq!(pairs[2]["modified_index"].as_u64(), Some(last.modified_index.get()));
    ensure_eq!(pairs[2]["created_index"].as_u64(), Some(last.created_index.get()));
    ensure_eq!(pairs[2]["version"].as_u64(), last.version);
    Ok(())
}

pub(super) async fn failed_read(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    fill(&ctx, "d", 1500, &[b'x'; 2048]).await?;
    ensure_eq!(kv.deserialize(&kv.serialize().await?)?.len(), 1500);
    for kind in [ErrorKind::PermissionDenied, ErrorKind::Corrupt] {
        for pages in [0, 1, 2] {
            let broken = |inner| BreakLists::after_pages(inner, pages, kind.clone());
            let kv = ctx.open_over(Options::new(), broken).await?;
            let error = expect_kind(kv.serialize().await, &kind)?;
            ensure!(error.operation().is_some() && error.backend().is_some(), "{error:?} does not say what failed");
        }
    }
    let dead = |inner| BreakLists::after_pages(inner, 0, ErrorKind::Unavailable);
    let kv = ctx.open_over(Options::new().timeout(Duration::from_millis(200)), dead).await?;
    expect_error(kv.serialize().await, "Unavailable", |kind| {
        matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout)
    })?;
    Ok(())
}

/// Every pair that makes a difference to a dump.
async fn arrange(ctx: &Ctx, kv: &Handle) -> Proof {
    kv.put("binary", (0..=255).collect::<Vec<u8>>()).await?;
    kv.put("empty", "").await?;
    kv.put("parent", "has children").await?;
    kv.put("parent/child", "{\"json\": [1, \"\\\"]}").await?;
    kv.put("é/\u{10ffff}/\"quoted\"", "\u{1f980}").await?;
    kv.put("twice", "1").await?;
    kv.put("twice", "2").await?;
    if ctx.has(Capabilities::LEASES | Capabilities::SHARED_LEASES) {
        let lease = kv.lease(ctx.ttl(Duration::from_secs(300))).await?;
        kv.put("leased", "1").lease(&lease.id).await?;
    }
    Ok(())
}

pub(super) async fn round_trip(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    arrange(&ctx, &kv).await?;
    let listing = kv.list("").listing().await?;
    let dump = kv.serialize().await?;
    let pairs = kv.deserialize(&dump)?;
    ensure_eq!(pairs.len(), listing.pairs.len());
    for (read, pair) in pairs.iter().zip(&listing.pairs) {
        ensure_eq!((&read.key, &read.value), (&pair.key, &pair.value));
        ensure_eq!((read.created_index, read.modified_index), (pair.created_index, pair.modified_index));
        ensure_eq!((read.version, &read.lease, read.ttl), (pair.version, &pair.lease, pair.ttl), "{}", pair.key);
        ensure_eq!(read.action, KvAction::Get, "{}", pair.key);
        ensure!(read.kvdb_index >= pair.modified_index, "{}: {}", pair.key, read.kvdb_index);
    }
    // Nothing is stored by reading, and the spacing of the JSON does not matter.
    ensure_eq!(kv.list("").await?.len(), pairs.len());
    let spaced = format!("\n {} \n", serde_json::to_string_pretty(&read(&dump)?).map_err(Failure::new)?);
    ensure_eq!(kv.deserialize(spaced.as_bytes())?, pairs);
    let second = kv.deserialize(&kv.serialize().await?)?;
    ensure_eq!(whenever_read(second), whenever_read(pairs.clone()), "a second dump of the same state");
    // A snapshot is dumped as of its revision.
    if ctx.has(Capabilities::ATOMIC_LIST) {
        let snapshot = kv.snapshot(&[]).await?;
        kv.put("later", "1").await?;
        ensure_eq!(kv.deserialize(&snapshot.serialize().await?)?.len(), pairs.len());
    }
    Ok(())
}

pub(super) async fn damaged(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for (key, value) in [("a", "1"), ("b/é", "two")] {
        kv.put(key, value).await?;
    }
    let dump = kv.serialize().await?;
    let whole = kv.deserialize(&dump)?;
    let broken = &ErrorKind::Serialization;
    for len in 0..dump.len() {
        expect_kind(kv.deserialize(&dump[..len]), broken)?;
    }
    // Any damaged byte is refused or changes what it says; it never panics.
    for at in 0..dump.len() {
        for byte in [0, b'"', b'}', b'[', 0xff, dump[at] ^ 1] {
            let mut bad = dump.clone();
            bad[at] = byte;
            if let Err(error) = kv.deserialize(&bad) {
                ensure_eq!(error.kind(), broken, "byte {at} as {byte}: {error:?}");
            }
        }
    }
    let json = read(&dump)?;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut json = json.clone();
        change(&mut json);
        kv.deserialize(json.to_string().as_bytes())
    };
    // A newer format says so, whatever else it holds.
    let newer = changed(&|json| {
        json["version"] = 2.into();
        json["pairs"] = "in another shape".into();
        json["more"] = true.into();
    });
    let error = expect_kind(newer, broken)?;
    ensure!(error.to_string().contains('2') && error.to_string().contains("newer"), "it does not tell why: {error}");
    for (what, bad) in [
        ("another format", changed(&|json| json["format"] = "dump-of-another".into())),
        ("no format", changed(&|json| json["format"] = Value::Null)),
        ("no version", changed(&|json| drop(json.as_object_mut().and_then(|map| map.remove("version"))))),
        ("a version that is text", changed(&|json| json["version"] = "1".into())),
        ("an unknown field", changed(&|json| json["more"] = 1.into())),
        ("an unknown field of a pair", changed(&|json| json["pairs"][0]["more"] = 1.into())),
        ("no pairs", changed(&|json| drop(json.as_object_mut().and_then(|map| map.remove("pairs"))))),
        ("no key", changed(&|json| drop(json["pairs"][0].as_object_mut().and_then(|map| map.remove("key"))))),
        ("no value", changed(&|json| json["pairs"][0]["value"] = Value::Null)),
        ("a value that is not base64", changed(&|json| json["pairs"][0]["value"] = "not base64!".into())),
        ("a negative index", changed(&|json| json["pairs"][0]["modified_index"] = (-1).into())),
        ("a key that is a number", changed(&|json| json["pairs"][0]["key"] = 1.into())),
    ] {
        match bad {
            Err(error) => ensure_eq!(error.kind(), broken, "{what}: {error:?}"),
            Ok(pairs) => return Err(Failure::new(format_args!("{what}: read as {pairs:?}"))),
        }
    }
    for text in ["", " ", "null ", "{}", "[", "7", "\"text\"", "{\"format\":", "\u{feff}{}", "[1]", "[[]]"] {
        match kv.deserialize(text.as_bytes()) {
            // An array of nothing, as an empty dump of the reference library.
            Ok(pairs) => ensure!(pairs.is_empty() && text == "null ", "{text:?} reads as {pairs:?}"),
            Err(error) => ensure_eq!(error.kind(), broken, "{text:?}: {error:?}"),
        }
    }
    let twice = [dump.clone(), dump.clone()].concat();
    expect_kind(kv.deserialize(&twice), broken)?;
    // Deep nesting is refused, not run into.
    expect_kind(kv.deserialize(&b"[".repeat(1_000_000)), broken)?;
    expect_kind(kv.deserialize(&b"{\"a\":".repeat(1_000_000)), broken)?;
    ensure_eq!(kv.deserialize(&dump)?, whole);
    Ok(())
}

/// A history with everything that leaves a trace, by writes that answer the same on every store.
async fn history(kv: &Handle) -> Proof {
    for round in 0..30 {
        let key = format!("d/{}", round % 7);
        match round % 5 {
            0 => drop(kv.put(&key, format!("{round}")).await?),
            1 => drop(kv.txn().when(present(&key)).then(delete(&key)).otherwise(put(&key, "made")).await?),
            2 => drop(kv.txn().then(put(&key, vec![round, 0xff])).then(put("last", format!("{round}"))).await?),
            3 => drop(kv.test_and_set(&key, "made", "set").await?),
            _ => {
                kv.transact(
                    |tx| async move { tx.put_val("count", &tx.get_val::<u32>("count").await?.map_or(1, |n| n + 1)) },
                )
                .await?
            }
        }
    }
    kv.put("tree/a", "1").await?;
    kv.put("tree/b/c", "1").await?;
    kv.delete_tree("tree/b").await?;
    Ok(())
}

pub(super) async fn same_history(ctx: Ctx) -> Proof {
    let one = ctx.open_in(&format!("{}/one", ctx.domain())).await?;
    // The other one has seen much before, and does by itself what its store does natively.
    let store = crate::decorate::Without::new(ctx.backend().await?, Capabilities::NATIVE_TXN);
    let narrow = Limited::new(Arc::new(store), |limits: &mut Limits| limits.batch_ops = limits.batch_ops.min(64));
    let other = ctx.handle(Arc::new(narrow), &format!("{}/other", ctx.domain()), Options::new())?;
    other.put("past", "1").await?;
    other.delete("past").await?;
    history(&one).await?;
    history(&other).await?;
    let mut dumps = Vec::new();
    for kv in [&one, &other] {
        let pairs = kv.deserialize(&kv.serialize().await?)?;
        dumps.push(pairs.into_iter().map(|pair| (pair.key, pair.value)).collect::<Vec<_>>());
    }
    ensure!(dumps[0].len() > 5, "{dumps:?}");
    ensure_eq!(dumps[0], dumps[1]);
    Ok(())
}
