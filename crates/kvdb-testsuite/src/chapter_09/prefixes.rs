use std::sync::Arc;
use std::time::{Duration, Instant};

use kvdb_core::prelude::*;
use kvdb_core::{Options, SnapshotOptions};

use super::kinds;
use crate::chapter_03::fill;
use crate::decorate::{BreakLists, Call, Fault, Faulty, Without};
use crate::help::{expect_kind, expect_next_key, soon};
use crate::{Ctx, Proof, ensure, ensure_eq};

const ALL: [&str; 9] = ["a", "a-b", "a/b", "a/b/c", "a/d", "ab", "b/x", "c/x", "é/ß"];

async fn names(kv: &Handle, prefixes: &[&str]) -> Proof<Vec<String>> {
    Ok(kv.snapshot(prefixes).await?.list("").names().await?)
}

pub(super) async fn lists(ctx: Ctx) -> Proof {
    for (kind, kv) in kinds(&ctx).await? {
        for key in ALL {
            kv.put(key, "1").await?;
        }
        let a = ["a/b", "a/b/c", "a/d"];
        for (prefixes, expected) in [
            (&[][..], &ALL[..]),
            (&[""], &ALL),
            (&["", "a"], &ALL),
            (&["a", ""], &ALL),
            (&["/"], &ALL),
            (&["a"], &a),
            (&["a", "a"], &a),
            (&["a", "a/b"], &a),
            (&["a/b", "a", "///a//b/"], &a),
            (&["a/b"], &["a/b/c"]),
            (&["c", "a/b"], &["a/b/c", "c/x"]),
            (&["c", "b", "a"], &["a/b", "a/b/c", "a/d", "b/x", "c/x"]),
            (&["nothing"], &[]),
            (&["nothing", "é"], &["é/ß"]),
            (&["a/b/c", "a/b/c/d"], &[]),
        ] {
            ensure_eq!(names(&kv, prefixes).await?, expected, "{kind}: keys below {prefixes:?}");
        }
        // Reads keep to the prefixes, too, and a key is not below itself.
        let snapshot = kv.snapshot(&["c", "a/b"]).await?;
        for key in ALL {
            let inside = key == "a/b/c" || key == "c/x";
            ensure_eq!(snapshot.get(key).await?.is_some(), inside, "{kind}: {key} in a snapshot of c and a/b");
        }
        ensure_eq!(snapshot.count("a").await?, 1, "{kind}");
        ensure_eq!(snapshot.count("b").await?, 0, "{kind}");
        ensure_eq!(snapshot.keys("").await?, ["a", "c"], "{kind}");
    }
    Ok(())
}

pub(super) async fn directories(ctx: Ctx) -> Proof {
    let other = ctx.open_in(&format!("{}2", ctx.domain())).await?;
    other.put("a/x", "of another domain").await?;
    for (kind, kv) in kinds(&ctx).await? {
        kv.put("a/x", "1").await?;
        for bad in ["a/../b", ".", "a\u{0}", "_kvdb", "a/_kvdb/b"] {
            let error = expect_kind(kv.snapshot(&["a", bad]).await, &ErrorKind::InvalidArgument)?;
            ensure_eq!(error.key(), Some(bad), "{kind}: the key that {error} names");
        }
        ensure_eq!(names(&kv, &[]).await?, ["a/x"], "{kind}");
        if ctx.has(Capabilities::LEASES) {
            let lock = kv.lock("a/job").await?;
            let snapshot = kv.snapshot(&[]).await?;
            ensure_eq!(snapshot.list("").names().await?, ["a/x"], "{kind}: a lock shows");
            expect_kind(snapshot.get("_kvdb/lock/a").await, &ErrorKind::InvalidArgument)?;
            let dump = snapshot.serialize().await?;
            ensure!(!String::from_utf8_lossy(&dump).contains("_kvdb"), "{kind}: a lock shows in a dump");
            lock.release().await?;
        }
    }
    Ok(())
}

pub(super) async fn inconsistent(ctx: Ctx) -> Proof {
    let kv = ctx.open().await?;
    fill(&ctx, "d", 600, b"1").await?;
    kv.put("e/x", "1").await?;
    let bare = ctx.open_over(Options::new(), Without::pins).await?;
    for kv in [kv, bare] {
        let mut options = SnapshotOptions::default();
        options.consistent = false;
        let snapshot = kv.snapshot_opts(&["d", "e"], options).await?;
        let names = snapshot.list("").names().await?;
        ensure_eq!((names.len(), names.last().map(String::as_str)), (601, Some("e/x")));
        kv.put("e/x", "2").await?;
        ensure_eq!(snapshot.get("e/x").await?.map(|pair| pair.value), Some("1".into()), "it goes on with the store");
        expect_kind(snapshot.put("d/x", "1").await, &ErrorKind::ReadOnly)?;
        kv.put("e/x", "1").await?;
    }
    Ok(())
}

pub(super) async fn no_marker(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    let mut watch = other.watch_tree("").await?;
    let start = other.put("start", "1").await?.modified_index;
    expect_next_key(&mut watch, "start").await?;
    let inner = Faulty::recording(ctx.backend().await?);
    let calls = inner.calls();
    let kv = ctx.handle(Arc::new(inner), ctx.domain(), Options::new())?;
    let pinless = Arc::new(Faulty::recording(Arc::new(Without::pins(ctx.backend().await?))));
    let copied = ctx.handle(pinless.clone(), ctx.domain(), Options::new())?;
    for kv in [&kv, &copied] {
        let snapshot = kv.snapshot(&[]).await?;
        ensure!(snapshot.revision() >= start);
        ensure_eq!(snapshot.list("").names().await?, ["start"]);
        kv.snapshot(&["a"]).await?.list("").await?;
    }
    for calls in [calls, pinless.calls()] {
        let calls = calls.lock().unwrap();
        let writes = calls.iter().find(|call| !matches!(call, Call::Get(_) | Call::List(_)));
        ensure!(writes.is_none(), "a snapshot asks the store for {writes:?}");
    }
    let end = other.put("end", "1").await?.modified_index;
    expect_next_key(&mut watch, "end").await?;
    if ctx.store().counts_exactly() {
        ensure_eq!(end.get(), start.get() + 1, "the revision after snapshots");
    }
    Ok(())
}

pub(super) async fn never_hangs(ctx: Ctx) -> Proof {
    const LIMIT: Duration = Duration::from_millis(300);
    // A store whose listings cannot agree on a revision until the time is over.
    let torn = |inner| BreakLists::after_pages(inner, 0, ErrorKind::Contention);
    let kv = ctx.handle(Arc::new(torn(Arc::new(Without::pins(ctx.backend().await?)))), ctx.domain(), Options::new())?;
    let mut options = SnapshotOptions::default();
    options.timeout = Some(LIMIT);
    expect_kind(soon("a snapshot", kv.snapshot_opts(&["a"], options.clone())).await?, &ErrorKind::Contention)?;
    // And one that does not answer.
    let stall = |call: &Call| if matches!(call, Call::List(_)) { Fault::Stall } else { Fault::None };
    let stalled = Faulty::new(Arc::new(Without::pins(ctx.backend().await?)), stall);
    let kv = ctx.handle(Arc::new(stalled), ctx.domain(), Options::new())?;
    let began = Instant::now();
    let answer = soon("a snapshot", kv.snapshot_opts(&["a"], options)).await?;
    expect_kind(answer, &ErrorKind::Timeout)?;
    ensure!(began.elapsed() < Duration::from_secs(8), "{LIMIT:?} took {:?}", began.elapsed());
    let slow = ctx.handle(
        Arc::new(Faulty::new(Arc::new(Without::pins(ctx.backend().await?)), stall)),
        ctx.domain(),
        Options::new().timeout(LIMIT),
    )?;
    expect_kind(soon("a snapshot", slow.snapshot(&[])).await?, &ErrorKind::Timeout)?;
    Ok(())
}
