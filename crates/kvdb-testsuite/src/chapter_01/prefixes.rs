use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::ops::RangeBounds;

use kvdb_core::{DeleteOptions, ErrorKind, Handle, Kvdb, KvdbExt, Target};

use crate::help::{expect_error, expect_next_key};
use crate::{Ctx, Proof, ensure, ensure_eq};

async fn all_keys(kv: &Handle) -> Proof<Vec<String>> {
    Ok(kv.list("").await?.into_iter().map(|pair| pair.key).collect())
}

pub(super) async fn app_and_app2(ctx: Ctx) -> Proof {
    let app = ctx.open_in(&format!("{}/app", ctx.domain())).await?;
    let others = ["app2", "ap", "app-", "app.x", "app0", "App"];
    let mut watch = app.watch_tree("").await?;
    let mut range = app.watch_range(Unbounded, Unbounded).await?;
    for name in others {
        let other = ctx.open_in(&format!("{}/{name}", ctx.domain())).await?;
        for key in ["x", "2/x", "-/x", "app/x"] {
            other.put(key, name).await?;
        }
    }
    ensure_eq!(app.get("x").await?, None, "app sees x of another domain");
    ensure_eq!(app.get("2/x").await?, None, "app sees 2/x of another domain");
    ensure_eq!(all_keys(&app).await?, [""; 0]);
    ensure_eq!(app.list_range(Unbounded, Unbounded).await?, []);
    ensure_eq!(app.list_range(Included(""), Included("\u{10ffff}")).await?, []);
    ensure_eq!(app.count("").await?, 0);
    ensure_eq!(app.keys("").await?, [""; 0]);
    ensure_eq!(app.keys("").separator(":").await?, [""; 0]);
    ensure_eq!(app.delete_tree("").await?, 0, "app deletes keys of another domain");
    let everything = Target::Range(Unbounded, Unbounded);
    ensure_eq!(app.delete_opts(everything, DeleteOptions::default()).await?.removed, 0);
    app.put("mine", "1").await?;
    expect_next_key(&mut watch, "mine").await?;
    expect_next_key(&mut range, "mine").await?;
    for name in others {
        let other = ctx.open_in(&format!("{}/{name}", ctx.domain())).await?;
        ensure_eq!(all_keys(&other).await?, ["-/x", "2/x", "app/x", "x"], "the keys of {name}");
    }
    Ok(())
}

pub(super) async fn domains_overlap(ctx: Ctx) -> Proof {
    let outer = ctx.open_in(&format!("{}/app", ctx.domain())).await?;
    let inner = ctx.open_in(&format!("{}/app/sub", ctx.domain())).await?;
    let mut watch = outer.watch_tree("sub").await?;
    let made = inner.put("x", "1").await?;
    let event = expect_next_key(&mut watch, "sub/x").await?;
    ensure_eq!(event.modified_index, made.modified_index);
    let seen = outer.get("sub/x").await?.ok_or_else(|| crate::Failure::new("the outer domain does not see sub/x"))?;
    ensure_eq!(seen.value, made.value);
    outer.put("sub/y", "2").await?;
    ensure_eq!(all_keys(&inner).await?, ["x", "y"]);
    ensure_eq!(all_keys(&outer).await?, ["sub/x", "sub/y"]);
    Ok(())
}

pub(super) async fn spelling_of_a_domain(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    kv.put("x", "1").await?;
    for spelled in [format!("/{}", ctx.domain()), format!("{}/", ctx.domain()), format!("//{}//", ctx.domain())] {
        let same = ctx.open_in(&spelled).await?;
        ensure!(same.get("x").await?.is_some(), "the domain {spelled:?} is another one");
        ensure_eq!(same.info().domain, ctx.domain());
    }
    for wrong in ["..", "a/../b", "a\nb", "\0", "a/_kvdb", "_kvdb"] {
        expect_error(ctx.open_in(wrong).await, "InvalidConfig or InvalidArgument", |kind| {
            matches!(kind, ErrorKind::InvalidConfig | ErrorKind::InvalidArgument)
        })?;
    }
    Ok(())
}

const NEIGHBOURS: &[&str] = &["a", "a-", "a-b", "a.", "a0", "aa", "ab", "ab/c", "A/x", "b", "b/a/x", "ä"];
const BELOW: &[&str] = &["a/-", "a/a", "a/a/b/c", "a/z", "a/\u{10ffff}"];

pub(super) async fn directories(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    for key in NEIGHBOURS.iter().chain(BELOW) {
        kv.put(key, "1").await?;
    }
    let listed: Vec<String> = kv.enumerate("a").await?.into_iter().map(|pair| pair.key).collect();
    ensure_eq!(listed, BELOW);
    ensure_eq!(kv.list("a").names().await?, BELOW);
    ensure_eq!(kv.count("a").await?, BELOW.len() as u64);
    ensure_eq!(kv.keys("a").await?, ["-", "a", "z", "\u{10ffff}"]);
    ensure_eq!(kv.list("a/a").names().await?, ["a/a/b/c"]);
    ensure_eq!(kv.list("a/z").await?, [], "a key is not in its own directory");
    ensure_eq!(kv.list("nowhere").await?, []);
    ensure_eq!(kv.delete_tree("a").await?, BELOW.len() as u64);
    let mut left: Vec<&str> = NEIGHBOURS.to_vec();
    left.sort_unstable();
    ensure_eq!(all_keys(&kv).await?, left, "what delete_tree left");
    Ok(())
}

pub(super) async fn whole_domain(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut keys: Vec<&str> = NEIGHBOURS.iter().chain(BELOW).copied().collect();
    keys.sort_unstable();
    for key in &keys {
        kv.put(key, "1").await?;
    }
    for whole in ["", "/", "//"] {
        ensure_eq!(kv.list(whole).names().await?, keys, "list {whole:?}");
        ensure_eq!(kv.count(whole).await?, keys.len() as u64);
    }
    ensure_eq!(kv.delete_tree("").await?, keys.len() as u64);
    ensure_eq!(kv.count("").await?, 0);
    Ok(())
}

type Bounds<'a> = (Bound<&'a str>, Bound<&'a str>);

fn in_bounds(key: &str, (start, end): Bounds<'_>) -> bool {
    RangeBounds::<str>::contains(&(start, end), key)
}

pub(super) async fn ranges(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut keys: Vec<&str> = NEIGHBOURS.iter().chain(BELOW).copied().collect();
    keys.sort_unstable();
    let edges = ["a", "a/", "a/a", "a0", "b", "", "\u{10ffff}", "a/a/"];
    let mut bounds = vec![Unbounded];
    bounds.extend(edges.iter().flat_map(|edge| [Included(*edge), Excluded(*edge)]));
    for key in &keys {
        kv.put(key, "1").await?;
    }
    for start in &bounds {
        for end in &bounds {
            let expected: Vec<&str> = keys.iter().copied().filter(|key| in_bounds(key, (*start, *end))).collect();
            let found = kv.list_range(*start, *end).names().await?;
            ensure_eq!(found, expected, "list of {start:?} to {end:?}");
        }
    }
    for (start, end) in
        [(Included("a/"), Excluded("a/b")), (Excluded("a0"), Included("ab/c")), (Included("b"), Included("a"))]
    {
        let expected: Vec<&str> = keys.iter().copied().filter(|key| in_bounds(key, (start, end))).collect();
        let deleted = kv.delete_opts(Target::Range(start, end), DeleteOptions::default()).await?;
        ensure_eq!(deleted.removed, expected.len() as u64, "deleted from {start:?} to {end:?}");
        keys.retain(|key| !expected.contains(key));
        ensure_eq!(all_keys(&kv).await?, keys, "what is left of {start:?} to {end:?}");
    }
    Ok(())
}

pub(super) async fn watched_prefixes(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    let mut tree = kv.watch_tree("a").await?;
    let mut range = kv.watch_range(Included("a0"), Excluded("ab")).await?;
    let mut key = kv.watch_key("a").await?;
    for written in NEIGHBOURS.iter().chain(BELOW) {
        kv.put(written, "1").await?;
    }
    // Events of one watch come in order, so that a stray key would come before the next one of the range.
    for below in BELOW {
        expect_next_key(&mut tree, below).await?;
    }
    expect_next_key(&mut range, "a0").await?;
    expect_next_key(&mut range, "aa").await?;
    expect_next_key(&mut key, "a").await?;
    for written in NEIGHBOURS.iter().chain(BELOW) {
        kv.delete(written).await?;
    }
    for below in BELOW {
        expect_next_key(&mut tree, below).await?;
    }
    expect_next_key(&mut range, "a0").await?;
    expect_next_key(&mut range, "aa").await?;
    expect_next_key(&mut key, "a").await?;
    kv.put("a/last", "1").await?;
    kv.put("a00", "1").await?;
    kv.put("a", "1").await?;
    expect_next_key(&mut tree, "a/last").await?;
    expect_next_key(&mut range, "a00").await?;
    expect_next_key(&mut key, "a").await?;
    Ok(())
}
