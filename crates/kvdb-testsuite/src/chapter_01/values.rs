use std::sync::PoisonError;

use kvdb_core::{Bytes, ErrorKind, KvdbExt, Options};

use crate::decorate::{Call, Faulty};
use crate::help::{expect_kind, next_pair};
use crate::verbs::{KEY_VERBS, PREFIX_VERBS, with_key, with_prefix};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq};

pub(super) async fn any_bytes(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let large: Vec<u8> = (0..ctx.limits().value_bytes.min(300_000)).map(|at| (at * 7 % 251) as u8).collect();
    let values: Vec<Bytes> = vec![
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from_static(b"\xff\xfe\xfd"),
        Bytes::from_static(b"null"),
        Bytes::from_static("\u{feff}text".as_bytes()),
        every_byte.into(),
        large.into(),
    ];
    let mut watch = kv.watch_key("k").await?;
    for value in &values {
        let written = kv.put("k", value.clone()).await?;
        ensure_eq!(written.value, *value, "the answer of the write");
        let found = kv.get("k").await?.ok_or_else(|| Failure::new("the key is absent"))?;
        ensure_eq!(found.value, *value, "the answer of the read");
        ensure_eq!(next_pair(&mut watch).await?.value, *value, "the event");
        ensure_eq!(kv.list("").await?[0].value, *value, "the list");
        ensure!(kv.test_and_set("k", value.clone(), value.clone()).await?, "an equal value does not compare equal");
        next_pair(&mut watch).await?;
    }
    let last = values.last().cloned().unwrap_or_default();
    ensure_eq!(kv.delete("k").await?.value, last, "the answer of the deletion");
    Ok(())
}

pub(super) async fn absent_is_not_empty(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    ensure_eq!(kv.get("k").await?, None);
    ensure!(!kv.test_and_set("k", "", "1").await?, "an absent key compares equal to an empty value");
    expect_kind(kv.put("k", "1").if_value("").await, &ErrorKind::NotFound)?;
    expect_kind(kv.delete("k").if_value("").await, &ErrorKind::NotFound)?;
    let made = kv.create("k", "").await?;
    ensure_eq!(made.value, Bytes::new());
    ensure_eq!(kv.get("k").await?.map(|pair| pair.value), Some(Bytes::new()));
    ensure_eq!(kv.count("").await?, 1);
    expect_kind(kv.create("k", "").await, &ErrorKind::AlreadyExists)?;
    ensure!(kv.test_and_set("k", "", "1").await?, "an empty value does not compare equal to one");
    kv.update("k", "").await?;
    ensure_eq!(kv.delete("k").if_value("").await?.value, Bytes::new());
    ensure_eq!(kv.get("k").await?, None);
    Ok(())
}

pub(super) async fn value_and_children(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    kv.put("a/b/c", "leaf").await?;
    kv.create("a/b", "middle").await?;
    kv.create("a", "top").await?;
    for (key, value) in [("a", "top"), ("a/b", "middle"), ("a/b/c", "leaf")] {
        let found = kv.get(key).await?.ok_or_else(|| Failure::new(format_args!("{key} is absent")))?;
        ensure_eq!(found.text(), Some(value), "the value of {key}");
    }
    ensure_eq!(kv.list("").names().await?, ["a", "a/b", "a/b/c"]);
    ensure_eq!(kv.keys("").await?, ["a"], "a key and a directory of one name are one name");
    kv.delete("a/b").await?;
    ensure_eq!(kv.list("").names().await?, ["a", "a/b/c"], "deleting a key leaves its children");
    ensure_eq!(kv.delete_tree("a").await?, 1);
    ensure_eq!(kv.list("").names().await?, ["a"], "deleting a directory leaves the key of its name");
    kv.put("a/b/c", "leaf").await?;
    kv.delete("a").await?;
    ensure_eq!(kv.list("").names().await?, ["a/b/c"]);
    Ok(())
}

pub(super) async fn implicit_parents(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    kv.put("a/b", "1").await?;
    ensure_eq!(kv.get("a").await?, None);
    expect_kind(kv.update("a", "1").await, &ErrorKind::NotFound)?;
    expect_kind(kv.delete("a").await, &ErrorKind::NotFound)?;
    ensure_eq!(kv.list("").names().await?, ["a/b"]);
    kv.create("a", "").await?;
    kv.delete("a").await?;
    kv.delete("a/b").await?;
    ensure_eq!(kv.keys("").await?, [""; 0], "a directory without keys is left");
    Ok(())
}

pub(super) async fn too_large_a_value(ctx: Ctx) -> Proof {
    let limit = ctx.limits().value_bytes;
    if ctx.store().counts_exactly() {
        ensure_eq!(limit, 16 << 20, "the limit of memory and redb");
    }
    let recorder = Faulty::recording(ctx.backend().await?);
    let calls = recorder.calls();
    let kv = ctx.open_over(Options::new(), |_| recorder).await?;
    let value = Bytes::from(vec![b'x'; limit + 1]);
    for verb in ["put", "create", "update", "put_val", "compare_and_set", "test_and_set", "txn put", "tx put", "import"]
    {
        let error = expect_kind(with_key(&kv, verb, "k", value.clone()).await, &ErrorKind::TooLarge { limit })
            .map_err(|failure| Failure::new(format_args!("{verb}: {failure}")))?;
        ensure!(error.to_string().contains(&limit.to_string()), "the limit is not named: {error}");
        ensure!(error.to_string().len() < 1000, "the error carries the value");
    }
    let sent: Vec<Call> = calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(sent.is_empty(), "a value over the limit was sent: {} calls", sent.len());
    ensure_eq!(kv.count("").await?, 0);
    Ok(())
}

pub(super) async fn a_value_at_the_limit(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let value = Bytes::from(vec![b'x'; ctx.limits().value_bytes]);
    kv.put("k", value.clone()).await?;
    let found = kv.get("k").await?.ok_or_else(|| Failure::new("the key is absent"))?;
    ensure!(found.value == value, "the value came back other than it was written");
    Ok(())
}

pub(super) async fn too_large_a_key(ctx: Ctx) -> Proof {
    let limit = ctx.limits().key_bytes;
    let recorder = Faulty::recording(ctx.backend().await?);
    let calls = recorder.calls();
    let kv = ctx.open_over(Options::new(), |_| recorder).await?;
    // The limit counts the domain and the slash behind it.
    let room = limit - ctx.domain().len() - 1;
    for key in ["k".repeat(room + 1), "ä".repeat(room / 2 + 1), format!("{}/k", "d".repeat(room))] {
        for verb in KEY_VERBS {
            expect_kind(with_key(&kv, verb, &key, "1".into()).await, &ErrorKind::TooLarge { limit })
                .map_err(|failure| Failure::new(format_args!("{verb} of {} bytes: {failure}", key.len())))?;
        }
    }
    // No key lies below so long a prefix.
    for long in ["p".repeat(limit + 1), "p/".repeat(600_000)] {
        for verb in PREFIX_VERBS {
            expect_kind(with_prefix(&kv, verb, &long).await, &ErrorKind::TooLarge { limit })
                .map_err(|failure| Failure::new(format_args!("{verb} of {} bytes: {failure}", long.len())))?;
        }
    }
    let sent: Vec<Call> = calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(sent.is_empty(), "a key over the limit was sent: {} calls", sent.len());
    let longest = "k".repeat(room);
    kv.put(&longest, "1").await?;
    ensure_eq!(kv.get(&longest).await?.map(|pair| pair.key), Some(longest));
    Ok(())
}
