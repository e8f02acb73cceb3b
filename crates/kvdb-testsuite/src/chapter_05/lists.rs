use std::time::Duration;

use kvdb_core::{Error, ErrorKind, Handle, KvAction, KvdbExt, Options, Retry};

use crate::chapter_03::fill;
use crate::decorate::{BreakLists, Call, Fault, Faulty};
use crate::help::expect_kind;
use crate::{Ctx, Proof, ensure, ensure_eq};

pub(super) async fn sorted(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut keys = vec![
        "b", "a", "a-", "a/b", "a/b/c", "a.b", "a0", "A", "Z", "z", "ä", "ab", "é", "\u{ffff}", "🦀", "10", "9", "a/-",
        "a b", "~",
    ];
    for (at, key) in keys.iter().enumerate() {
        kv.put(&format!("d/{key}"), at.to_string()).await?;
    }
    let values: Vec<String> = keys.iter().map(|key| format!("d/{key}")).collect();
    keys.sort_unstable();
    let listed = kv.enumerate("d").await?;
    let expected: Vec<String> = keys.iter().map(|key| format!("d/{key}")).collect();
    ensure_eq!(listed.iter().map(|pair| pair.key.clone()).collect::<Vec<_>>(), expected);
    for pair in &listed {
        ensure_eq!(pair.action, KvAction::Get, "the action of {}", pair.key);
        let at = values.iter().position(|key| *key == pair.key).unwrap_or_default();
        ensure_eq!(pair.text(), Some(at.to_string().as_str()), "the value of {}", pair.key);
        let alone = kv.get(&pair.key).await?;
        ensure_eq!(alone.map(|alone| alone.modified_index), Some(pair.modified_index));
    }
    Ok(())
}

pub(super) async fn first_level(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for key in ["a", "a/1", "a/1/x", "a/1/y", "a/2/x/y/z", "a/10", "a-b/c", "b/c", "ab", "a/ä/x", "a/ä", "a/1.5"] {
        kv.put(key, "1").await?;
    }
    ensure_eq!(kv.keys("a").await?, ["1", "1.5", "10", "2", "ä"]);
    ensure_eq!(kv.keys("/a/").await?, ["1", "1.5", "10", "2", "ä"]);
    ensure_eq!(kv.keys("").await?, ["a", "a-b", "ab", "b"]);
    ensure_eq!(kv.keys("a/2").await?, ["x"]);
    ensure_eq!(kv.keys("a/2/x/y").await?, ["z"]);
    ensure_eq!(kv.keys("a").separator("/").await?, kv.keys("a").await?);
    ensure_eq!(kv.keys("a").separator("").await?, kv.keys("a").await?);
    fill(&ctx, "many/one", 500, b"1").await?;
    fill(&ctx, "many/two", 500, b"1").await?;
    ensure_eq!(kv.keys("many").await?, ["one", "two"], "names of 1,000 keys");
    Ok(())
}

pub(super) async fn other_separators(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for key in [
        "s:a:1", "s:a:2", "s:b", "s:c/d:1", "s", "sx:y", "s;z", "other", "s::e", "p--q--r", "p--q", "p-x", "t/u:v",
        "t/u:w:x",
    ] {
        kv.put(key, "1").await?;
    }
    ensure_eq!(kv.keys("s").separator(":").await?, ["a", "b", "c/d"]);
    ensure_eq!(kv.keys("s:").separator(":").await?, ["a", "b", "c/d"], "the separator is not added twice");
    ensure_eq!(kv.keys("s:a").separator(":").await?, ["1", "2"]);
    ensure_eq!(kv.keys("p").separator("--").await?, ["q"], "a separator of two characters");
    ensure_eq!(kv.keys("p--q").separator("--").await?, ["r"]);
    ensure_eq!(kv.keys("t/u").separator(":").await?, ["v", "w"], "a prefix with a slash is raw text");
    ensure_eq!(kv.keys("nothing").separator(":").await?, [""; 0]);
    let mut all = vec!["other", "p--q", "p--q--r", "p-x", "s", "s;z", "sx", "t/u"];
    all.sort_unstable();
    ensure_eq!(kv.keys("").separator(":").await?, all, "the whole domain");
    Ok(())
}

/// What each verb of reading makes of a prefix, as the number of things it answers.
async fn sizes(kv: &Handle, prefix: &str) -> Vec<(&'static str, kvdb_core::Result<usize>)> {
    vec![
        ("list", kv.list(prefix).await.map(|pairs| pairs.len())),
        ("reverse", kv.list(prefix).reverse().await.map(|pairs| pairs.len())),
        ("limit", kv.list(prefix).limit(5000).await.map(|pairs| pairs.len())),
        ("names", kv.list(prefix).names().await.map(|names| names.len())),
        ("count", kv.count(prefix).await.map(|count| count as usize)),
        ("keys", kv.keys(prefix).await.map(|names| names.len())),
        ("keys with a separator", kv.keys(prefix).separator(":").await.map(|names| names.len())),
        ("listing", kv.list(prefix).listing().await.map(|listing| listing.pairs.len())),
    ]
}

pub(super) async fn empty(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for prefix in ["", "nothing", "no/thing"] {
        for (verb, size) in sizes(&kv, prefix).await {
            ensure_eq!(size?, 0, "{verb} of {prefix:?}");
        }
    }
    kv.put("a", "1").await?;
    kv.delete("a").await?;
    for (verb, size) in sizes(&kv, "").await {
        ensure_eq!(size?, 0, "{verb} after the deletion");
    }
    Ok(())
}

pub(super) async fn errors(ctx: Ctx) -> Proof {
    for (kind, retry) in [
        (ErrorKind::Unavailable, Retry::Safe),
        (ErrorKind::PermissionDenied, Retry::Never),
        (ErrorKind::Corrupt, Retry::Never),
        (ErrorKind::Timeout, Retry::Safe),
    ] {
        let broken = kind.clone();
        let refuse = move |call: &Call| match call {
            Call::List(_) | Call::Get(_) => {
                Fault::Refuse(Error::new(broken.clone(), "broken for the trial").with_retry(retry))
            }
            _ => Fault::None,
        };
        let options = Options::new().timeout(Duration::from_millis(300));
        let kv = ctx.open_over(options, |inner| Faulty::new(inner, refuse)).await?;
        kv.put("d/k", "1").await?;
        for (verb, size) in sizes(&kv, "d").await {
            let error =
                expect_kind(size, &kind).map_err(|failure| crate::Failure::new(format_args!("{verb}: {failure}")))?;
            ensure_eq!(error.backend(), Some(ctx.store().name()));
        }
        expect_kind(kv.get("d/k").await, &kind)?;
    }
    Ok(())
}

pub(super) async fn errors_in_later_pages(ctx: Ctx) -> Proof {
    fill(&ctx, "d", 300, &vec![b'x'; 20_000]).await?;
    for kind in [ErrorKind::Unavailable, ErrorKind::PermissionDenied] {
        let kv = ctx.open_over(Options::new(), |inner| BreakLists::after_pages(inner, 2, kind.clone())).await?;
        for list in [kv.list("d"), kv.list("d").reverse()] {
            let pages = list.pages().await?;
            expect_kind(pages.collect().await, &kind)?;
        }
        let mut pages = kv.list("d").pages().await?;
        let mut seen = 0;
        let error = loop {
            match pages.next().await {
                Some(Ok(page)) => seen += page.pairs.len(),
                Some(Err(error)) => break error,
                None => crate::fail!("the pages end after {seen} of 300 keys without an error"),
            }
        };
        ensure_eq!(*error.kind(), kind);
        ensure!(seen > 0 && seen < 300, "{seen} keys came before the error");
        ensure!(pages.next().await.is_none(), "pages come after the error");
    }
    Ok(())
}
