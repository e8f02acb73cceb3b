use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kvdb_core::{Error, ErrorKind, Handle, KvdbExt, Options, Retry};

use crate::decorate::{Call, Fault, Faulty};
use crate::help::{expect_error, expect_kind, next_pair, soon};
use crate::{Ctx, Proof, ensure, ensure_eq};

/// A store that refuses so many calls, then works; and the count of calls that were made.
async fn refusing(ctx: &Ctx, times: usize, kind: ErrorKind, retry: Retry) -> Proof<(Handle, Arc<AtomicUsize>)> {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let plan = move |call: &Call| {
        let data = matches!(
            call,
            Call::Get(_) | Call::List(_) | Call::Commit(_) | Call::NativeTxn(_) | Call::Watch(_) | Call::Grant(_)
        );
        if data && counter.fetch_add(1, Ordering::SeqCst) < times {
            Fault::Refuse(Error::new(kind.clone(), "refused for the trial").with_retry(retry))
        } else {
            Fault::None
        }
    };
    let options = Options::new().timeout(Duration::from_secs(5));
    Ok((ctx.open_over(options, |inner| Faulty::new(inner, plan)).await?, count))
}

pub(super) async fn reads(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    other.put("d/k", "1").await?;
    for kind in [ErrorKind::Unavailable, ErrorKind::NoQuorum] {
        let (kv, count) = refusing(&ctx, 3, kind.clone(), Retry::Safe).await?;
        ensure!(kv.get("d/k").await?.is_some(), "the key is absent");
        ensure_eq!(count.load(Ordering::SeqCst), 4, "calls until a get went through, {kind:?}");
        let (kv, _) = refusing(&ctx, 3, kind.clone(), Retry::Safe).await?;
        ensure_eq!(kv.list("d").await?.len(), 1);
        let (kv, _) = refusing(&ctx, 3, kind.clone(), Retry::Safe).await?;
        ensure_eq!(kv.keys("d").await?, ["k"]);
        let (kv, _) = refusing(&ctx, 3, kind, Retry::Safe).await?;
        let mut watch = soon("a watch", async { kv.watch_tree("d").await }).await??;
        let written = other.put("d/k", "2").await?;
        ensure_eq!(next_pair(&mut watch).await?.modified_index, written.modified_index);
    }
    Ok(())
}

pub(super) async fn writes(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    let mut watch = other.watch_tree("").await?;
    for verb in ["put", "create", "if_value", "delete"] {
        let before = if verb == "create" { None } else { Some(other.put(verb, "1").await?) };
        if before.is_some() {
            next_pair(&mut watch).await?;
        }
        let (kv, count) = refusing(&ctx, 3, ErrorKind::Unavailable, Retry::Safe).await?;
        let written = match verb {
            "put" => kv.put(verb, "2").await?,
            "create" => kv.create(verb, "2").await?,
            "if_value" => kv.put(verb, "2").if_value("1").await?,
            _ => kv.delete(verb).await?,
        };
        ensure!(count.load(Ordering::SeqCst) >= 4, "{verb} was made with fewer calls than were refused");
        ensure_eq!(next_pair(&mut watch).await?.modified_index, written.modified_index, "the event of {verb}");
    }
    // One event each: a write made twice would show here before the marker.
    let marker = other.put("marker", "1").await?;
    ensure_eq!(next_pair(&mut watch).await?.modified_index, marker.modified_index);
    Ok(())
}

pub(super) async fn back_off(ctx: Ctx) -> Proof {
    let (kv, count) = refusing(&ctx, usize::MAX, ErrorKind::Unavailable, Retry::Safe).await?;
    let timeout = Duration::from_millis(600);
    for verb in ["get", "list", "put", "create"] {
        let before = count.load(Ordering::SeqCst);
        let begun = tokio::time::Instant::now();
        let answer = soon(verb, async {
            match verb {
                "get" => kv.get("k").timeout(timeout).await.map(drop),
                "list" => kv.list("").timeout(timeout).await.map(drop),
                "put" => kv.put("k", "1").timeout(timeout).await.map(drop),
                _ => kv.create("k", "1").timeout(timeout).await.map(drop),
            }
        })
        .await?;
        let error = expect_error(answer, "Unavailable or Timeout", |kind| {
            matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout)
        })?;
        ensure_eq!(error.retry(), Retry::Safe, "{verb} of which nothing was sent");
        let tries = count.load(Ordering::SeqCst) - before;
        ensure!(tries >= 3, "{verb} was tried {tries} times in {timeout:?}");
        // Without back-off a loop would make thousands of calls.
        ensure!(tries <= 60, "{verb} was tried {tries} times in {:?}", begun.elapsed());
    }
    Ok(())
}

pub(super) async fn hopeless(ctx: Ctx) -> Proof {
    for kind in [
        ErrorKind::PermissionDenied,
        ErrorKind::Unauthenticated,
        ErrorKind::Corrupt,
        ErrorKind::StorageFull,
        ErrorKind::TooLarge { limit: 1 },
        ErrorKind::Internal,
        ErrorKind::Closed,
    ] {
        for verb in ["get", "list", "put", "create", "delete"] {
            let (kv, count) = refusing(&ctx, usize::MAX, kind.clone(), Retry::Never).await?;
            let answer = match verb {
                "get" => kv.get("k").await.map(drop),
                "list" => kv.list("").await.map(drop),
                "put" => kv.put("k", "1").await.map(drop),
                "create" => kv.create("k", "1").await.map(drop),
                _ => kv.delete("k").await.map(drop),
            };
            expect_kind(answer, &kind)?;
            ensure_eq!(count.load(Ordering::SeqCst), 1, "calls made for a {verb} that is refused with {kind:?}");
        }
    }
    Ok(())
}

pub(super) async fn ambiguous(ctx: Ctx) -> Proof {
    for verb in ["put", "put previous", "delete_tree", "update"] {
        let other = ctx.open().await?;
        other.put("d/k", "1").await?;
        let commits = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&commits);
        let plan = move |call: &Call| {
            if matches!(call, Call::Commit(_) | Call::NativeTxn(_)) {
                counter.fetch_add(1, Ordering::SeqCst);
                return Fault::Refuse(Error::new(ErrorKind::Unavailable, "cut off").with_retry(Retry::Ambiguous));
            }
            Fault::None
        };
        let kv = ctx.open_over(Options::new(), |inner| Faulty::new(inner, plan)).await?;
        let answer = match verb {
            "put" => kv.put("d/k", "2").await.map(drop),
            "put previous" => kv.put("d/k", "2").previous().await.map(drop),
            "update" => kv.update("d/k", "2").await.map(drop),
            _ => kv.delete_tree("d").await.map(drop),
        };
        let error = expect_kind(answer, &ErrorKind::Unavailable)?;
        ensure_eq!(error.retry(), Retry::Ambiguous, "the retry class of {verb}");
        ensure_eq!(commits.load(Ordering::SeqCst), 1, "commits of one {verb} with an unknown outcome");
    }
    Ok(())
}
