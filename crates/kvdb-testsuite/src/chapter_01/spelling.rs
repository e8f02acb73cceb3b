use std::sync::PoisonError;
use std::time::Duration;

use kvdb_core::{ErrorKind, Kvdb, KvdbExt, Options, Target};

use crate::decorate::{Call, Faulty};
use crate::help::{expect_error, expect_kind, next_pair};
use crate::verbs::{KEY_VERBS, LOCK_VERBS, PREFIX_VERBS, with_key, with_lock_name, with_prefix};
use crate::{Ctx, Proof, ensure, ensure_eq};

const SPELLINGS: &[&str] =
    &["create/foo", "/create/foo", "///create/foo", "create/foo/", "create/foo///", "create//foo", "//create////foo//"];

pub(super) async fn slashes_are_removed(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for spelled in SPELLINGS {
        let mut watch = kv.watch_key(spelled).await?;
        let made = kv.create(spelled, "1").await?;
        ensure_eq!(made.key, "create/foo", "create {spelled:?}");
        for other in SPELLINGS {
            let found = kv.get(other).await?;
            ensure_eq!(found.map(|pair| pair.key), Some("create/foo".to_owned()), "get {other:?}");
            expect_kind(kv.create(other, "2").await, &ErrorKind::AlreadyExists)?;
        }
        ensure_eq!(next_pair(&mut watch).await?.key, "create/foo", "event of {spelled:?}");
        ensure_eq!(kv.put(spelled, "2").await?.key, "create/foo");
        ensure_eq!(kv.update(spelled, "3").await?.key, "create/foo");
        ensure!(kv.test_and_set(spelled, "3", "4").await?, "test_and_set {spelled:?} missed the key");
        let mut pair = kv.put_val(spelled, &5).await?;
        ensure_eq!(kv.get_val::<u32>(spelled).await?, Some(5), "get_val {spelled:?}");
        pair.key = (*spelled).to_owned();
        let mut pair = kv.compare_and_set(&pair, kvdb_core::KvFlags::MODIFIED_INDEX, None).await?;
        ensure_eq!(pair.key, "create/foo", "compare_and_set {spelled:?}");
        pair.key = (*spelled).to_owned();
        let gone = kv.compare_and_delete(&pair, kvdb_core::KvFlags::MODIFIED_INDEX).await?;
        ensure_eq!(gone.key, "create/foo", "compare_and_delete {spelled:?}");
        kv.put(spelled, "6").await?;
        ensure_eq!(kv.delete(spelled).await?.key, "create/foo");
        ensure_eq!(kv.get("create/foo").await?, None, "delete {spelled:?} left the key");
    }
    for spelled in ["create", "/create", "create/", "//create//"] {
        kv.put("create/foo/bar", "1").await?;
        let listed = kv.list(spelled).await?;
        ensure_eq!(listed.len(), 1, "list {spelled:?}");
        ensure_eq!(listed[0].key, "create/foo/bar");
        ensure_eq!(kv.list(spelled).names().await?, ["create/foo/bar"]);
        ensure_eq!(kv.keys(spelled).await?, ["foo"], "keys {spelled:?}");
        ensure_eq!(kv.count(spelled).await?, 1, "count {spelled:?}");
        let mut watch = kv.watch_tree(spelled).current().await?;
        ensure_eq!(next_pair(&mut watch).await?.key, "create/foo/bar");
        ensure_eq!(kv.delete_tree(spelled).await?, 1, "delete_tree {spelled:?}");
    }
    Ok(())
}

pub(super) async fn lock_names_too(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let held = kv.lock("jobs/one").id("me").await?;
    for spelled in ["jobs/one", "/jobs/one", "jobs//one/", "///jobs/one"] {
        let refused = kv.try_lock(spelled).await;
        expect_error(refused, "LockTimeout", |kind| matches!(kind, ErrorKind::LockTimeout { .. }))?;
        let holder = kv.lock_holder(spelled).await?;
        ensure_eq!(holder.map(|holder| holder.id), Some("me".to_owned()), "lock_holder {spelled:?}");
    }
    held.release().await?;
    Ok(())
}

pub(super) async fn relative_to_the_domain(ctx: Ctx) -> Proof {
    for domain in [ctx.domain().to_owned(), format!("{}/b", ctx.domain()), format!("{}/b/c/d", ctx.domain())] {
        let kv = ctx.open_in(&domain).await?;
        ensure_eq!(kv.info().domain, domain);
        let mut watch = kv.watch_tree("").await?;
        ensure_eq!(kv.put("x/y", "1").await?.key, "x/y");
        ensure_eq!(next_pair(&mut watch).await?.key, "x/y", "event in {domain:?}");
        ensure_eq!(kv.get("x/y").await?.map(|pair| pair.key), Some("x/y".to_owned()));
        let keys: Vec<String> = kv.list("x").await?.into_iter().map(|pair| pair.key).collect();
        ensure_eq!(keys, ["x/y"], "list in {domain:?}");
        ensure_eq!(kv.list("x").names().await?, ["x/y"]);
        let refused = expect_kind(kv.create("x/y", "2").await, &ErrorKind::AlreadyExists)?;
        ensure_eq!(refused.key(), Some("x/y"), "the key of an error in {domain:?}");
        // The trial's own store holds the key where the domain says, and nowhere else.
        let top = ctx.open().await?;
        let rest = domain.strip_prefix(ctx.domain()).unwrap_or_default();
        ensure!(top.get(&format!("{rest}/x/y")).await?.is_some(), "{domain:?} does not hold x/y");
        ensure_eq!(kv.delete("x/y").await?.key, "x/y");
    }
    Ok(())
}

const NO_KEYS: &[&str] =
    &["", "/", "///", ".", "..", "a/.", "a/..", "./a", "../a", "a/./b", "a/../b", "//..//", "a\0b", "a\nb"];

pub(super) async fn no_keys(ctx: Ctx) -> Proof {
    let recorder = Faulty::recording(ctx.backend().await?);
    let calls = recorder.calls();
    let kv = ctx.open_over(Options::new(), |_| recorder).await?;
    for key in NO_KEYS {
        for verb in KEY_VERBS {
            let error = expect_kind(with_key(&kv, verb, key, "1".into()).await, &ErrorKind::InvalidArgument);
            error.map_err(|failure| crate::Failure::new(format_args!("{verb} {key:?}: {failure}")))?;
        }
        for verb in LOCK_VERBS {
            let error = expect_kind(with_lock_name(&kv, verb, key).await, &ErrorKind::InvalidArgument);
            error.map_err(|failure| crate::Failure::new(format_args!("{verb} {key:?}: {failure}")))?;
        }
    }
    let sent: Vec<Call> = calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(sent.is_empty(), "calls that should be refused reached the store: {sent:?}");
    Ok(())
}

pub(super) async fn control_characters(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for control in ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}') {
        for key in [format!("{control}"), format!("a{control}"), format!("a/{control}/b"), format!("ä{control}")] {
            for verb in ["get", "put", "delete"] {
                let refused = with_key(&kv, verb, &key, "1".into()).await;
                expect_kind(refused, &ErrorKind::InvalidArgument)
                    .map_err(|failure| crate::Failure::new(format_args!("{verb} {key:?}: {failure}")))?;
            }
            expect_kind(kv.list(&key).await, &ErrorKind::InvalidArgument)?;
        }
    }
    ensure_eq!(kv.count("").await?, 0, "keys that were written all the same");
    Ok(())
}

pub(super) async fn no_prefixes(ctx: Ctx) -> Proof {
    let recorder = Faulty::recording(ctx.backend().await?);
    let calls = recorder.calls();
    let kv = ctx.open_over(Options::new(), |_| recorder).await?;
    for prefix in NO_KEYS.iter().filter(|key| key.contains(['.', '\0', '\n'])) {
        for verb in PREFIX_VERBS {
            expect_kind(with_prefix(&kv, verb, prefix).await, &ErrorKind::InvalidArgument)
                .map_err(|failure| crate::Failure::new(format_args!("{verb} {prefix:?}: {failure}")))?;
        }
    }
    let sent: Vec<Call> = calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(sent.is_empty(), "calls that should be refused reached the store: {sent:?}");
    Ok(())
}

pub(super) async fn all_other_text(ctx: Ctx) -> Proof {
    const TEXTS: &[&str] = &[
        " ",
        "a b",
        " a",
        "a ",
        "ä",
        "e\u{301}",
        "\u{e9}",
        "日本語",
        "🦀",
        "%",
        "%2F",
        "%00",
        "a%2fb",
        "a=b",
        "a=",
        "=",
        "a+b",
        "...",
        "....",
        ".a",
        "a.",
        "..a",
        "a..",
        "?q=1&x=2",
        "#x",
        "\\",
        "a\\b",
        "\"",
        "'",
        "`",
        "~",
        "*",
        "[a]",
        "{a}",
        "<a>",
        "|",
        "^",
        "$HOME",
        "\u{a0}",
        "\u{200b}",
        "\u{200d}",
        "\u{202e}x",
        "\u{feff}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{d7ff}",
        "\u{e000}",
        "_kvd",
        "_kvdbx",
        "x_kvdb",
        "kvdb",
        "_KVDB",
        "_",
        "A",
        "a",
        "\u{130}",
        "ß",
        "SS",
        "x:y",
        "x,y",
        "x;y",
        "x@y",
        "-",
        "--",
        "0",
        "-1",
        "zookeeper",
        "null",
    ];
    let kv = ctx.open().await?;
    let mut keys: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    keys.extend(TEXTS.iter().map(|text| format!("under/{text}/leaf")));
    let mut watch = kv.watch_tree("").await?;
    for (at, key) in keys.iter().enumerate() {
        let made = kv.create(key, at.to_string()).await?;
        ensure_eq!(made.key, *key, "the key of what was written");
        let event = next_pair(&mut watch).await?;
        ensure_eq!(event.key, *key, "the key of the event");
    }
    for (at, key) in keys.iter().enumerate() {
        let found = kv.get(key).await?.ok_or_else(|| crate::Failure::new(format_args!("{key:?} is absent")))?;
        ensure_eq!(found.key, *key);
        ensure_eq!(found.text(), Some(at.to_string().as_str()), "the value of {key:?}");
    }
    let listed: Vec<String> = kv.list("").await?.into_iter().map(|pair| pair.key).collect();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    ensure_eq!(listed, sorted, "the list of all keys");
    ensure_eq!(kv.keys("under").await?.len(), TEXTS.len(), "the directories");
    for text in TEXTS {
        let below = kv.list_opts(Target::Tree(&format!("under/{text}")), kvdb_core::ListOptions::default()).await?;
        ensure_eq!(below.collect().await?.pairs.len(), 1, "what lies under {text:?}");
        if ctx.has(kvdb_core::Capabilities::LEASES) {
            kv.lock(text).wait(Duration::from_secs(5)).await?.release().await?;
        }
    }
    for key in &keys {
        kv.delete(key).await?;
    }
    ensure_eq!(kv.count("").await?, 0, "keys that are left");
    Ok(())
}
