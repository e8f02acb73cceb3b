use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kvdb_core::{Error, ErrorKind, Handle, KvFlags, KvPair, KvdbExt, Options, Result, Retry};

use crate::decorate::{Call, Fault, Faulty};
use crate::help::{expect_kind, soon};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq, fail};

fn cut_off() -> Error {
    Error::new(ErrorKind::Unavailable, "cut off for the trial").with_retry(Retry::Ambiguous)
}

/// The real store; the n-th commits befall the faults that `plan` answers for n = 0, 1, ...
async fn over(ctx: &Ctx, mut plan: impl FnMut(usize) -> Fault + Send + 'static) -> Proof<(Handle, Arc<AtomicUsize>)> {
    let commits = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&commits);
    let faults = move |call: &Call| match call {
        Call::Commit(_) => plan(counter.fetch_add(1, Ordering::SeqCst)),
        _ => Fault::None,
    };
    Ok((ctx.open_over(Options::new(), |inner| Faulty::new(inner, faults)).await?, commits))
}

/// The guarded verbs; each is one write of the key.
const GUARDED: &[&str] = &["create", "if_unchanged", "if_created", "if_value", "compare_and_set", "update"];
const GUARDED_DELETIONS: &[&str] = &["delete if_unchanged", "delete if_value", "compare_and_delete"];

async fn write(kv: &Handle, verb: &str, seen: &KvPair, value: &'static str) -> Result<KvPair> {
    let mut pair = seen.clone();
    pair.value = value.into();
    match verb {
        "create" => kv.create("k", value).await,
        "update" => kv.update("k", value).await,
        "if_unchanged" => kv.put("k", value).if_unchanged(seen).await,
        "if_created" => kv.put("k", value).if_created(seen.created_index).await,
        "if_value" => kv.put("k", value).if_value("before").await,
        "compare_and_set" => {
            let flags = KvFlags::MODIFIED_INDEX | KvFlags::CREATED_INDEX | KvFlags::PREV_EXISTS;
            kv.compare_and_set(&pair, flags, Some("before".into())).await
        }
        "delete if_unchanged" => kv.delete("k").if_unchanged(seen).await,
        "delete if_value" => kv.delete("k").if_value("before").await,
        "compare_and_delete" => kv.compare_and_delete(seen, KvFlags::MODIFIED_INDEX).await,
        "put" => kv.put("k", value).await,
        _ => kv.delete("k").await,
    }
}

/// The key as a verb wants to find it.
async fn arrange(other: &Handle, verb: &str) -> Proof<KvPair> {
    other.delete_tree("").await?;
    Ok(if verb == "create" { KvPair::new("k", "") } else { other.put("k", "before").await? })
}

/// Wants an answer that is true: Ok, or an error that says that the outcome is not known.
fn ambiguous(verb: &str, answer: &Result<KvPair>) -> Proof {
    match answer {
        Err(error) if error.retry() == Retry::Ambiguous => {
            ensure!(
                !matches!(
                    error.kind(),
                    ErrorKind::Modified | ErrorKind::AlreadyExists | ErrorKind::NotFound | ErrorKind::ValueMismatch
                ),
                "{verb} takes its own success for a conflict: {error:?}"
            );
            Ok(())
        }
        other => fail!("{verb}: expected an Ambiguous error, got {other:?}"),
    }
}

pub(super) async fn reply_lost(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for verb in GUARDED.iter().chain(GUARDED_DELETIONS) {
        let seen = arrange(&other, verb).await?;
        let before = other.get("k").await?.map(|pair| pair.modified_index);
        let (kv, commits) = over(&ctx, |at| if at == 0 { Fault::LoseReply(cut_off()) } else { Fault::None }).await?;
        let answer = write(&kv, verb, &seen, "after").await;
        let now = other.get("k").await?;
        if verb.contains("delete") {
            ensure_eq!(now, None, "{verb} was carried out");
            ambiguous(verb, &answer)?;
        } else {
            let now = now.ok_or_else(|| Failure::new(format_args!("{verb} did not write")))?;
            ensure_eq!(now.value, "after", "the value after {verb}");
            ensure!(Some(now.modified_index) > before, "{verb} did not write");
            // A store that marks its writes may prove this one; else it must say that it does not know.
            match &answer {
                Ok(pair) => ensure_eq!(pair.modified_index, now.modified_index, "the write that {verb} claims"),
                Err(_) => ambiguous(verb, &answer)?,
            }
        }
        if !verb.contains("delete")
            && let Some(version) = other.get("k").await?.and_then(|pair| pair.version)
        {
            ensure!(version <= 2, "{verb} wrote {} times", version - u64::from(before.is_some()));
        }
        ensure!(commits.load(Ordering::SeqCst) <= 2, "{verb} was sent {} times", commits.load(Ordering::SeqCst));
    }
    // test_and_set answers a truth value: after its own success it must not say false.
    arrange(&other, "if_value").await?;
    let (kv, _) = over(&ctx, |at| if at == 0 { Fault::LoseReply(cut_off()) } else { Fault::None }).await?;
    match kv.test_and_set("k", "before", "after").await {
        Ok(true) => {}
        Ok(false) => fail!("test_and_set takes its own success for another's"),
        Err(error) => ensure_eq!(error.retry(), Retry::Ambiguous),
    }
    Ok(())
}

pub(super) async fn not_arrived(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for verb in GUARDED.iter().chain(GUARDED_DELETIONS).filter(|verb| **verb != "update") {
        let seen = arrange(&other, verb).await?;
        let (kv, commits) = over(&ctx, |at| if at < 2 { Fault::Refuse(cut_off()) } else { Fault::None }).await?;
        let answer = soon(verb, write(&kv, verb, &seen, "after")).await?;
        let pair = answer.map_err(|error| Failure::new(format_args!("{verb} that did not arrive: {error:?}")))?;
        ensure_eq!(commits.load(Ordering::SeqCst), 3, "commits until {verb} arrived");
        let now = other.get("k").await?;
        if verb.contains("delete") {
            ensure_eq!(now, None, "{verb}");
            ensure_eq!(pair.value, "before", "the pair that {verb} removed");
        } else {
            ensure_eq!(now.map(|now| now.modified_index), Some(pair.modified_index), "{verb}");
        }
    }
    // A guard that holds for a present key whatever is written to it proves nothing: not made again.
    let seen = arrange(&other, "update").await?;
    let (kv, commits) = over(&ctx, |_| Fault::Refuse(cut_off())).await?;
    ambiguous("update", &write(&kv, "update", &seen, "after").await)?;
    ensure_eq!(commits.load(Ordering::SeqCst), 1, "commits of an update with an unknown outcome");
    Ok(())
}

pub(super) async fn equal_bytes(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for verb in GUARDED.iter().filter(|verb| **verb != "update") {
        let seen = arrange(&other, verb).await?;
        // Our commit never arrives; another client writes the same bytes before the engine looks.
        let rival = ctx.open().await?;
        let (wrote, mut written) = tokio::sync::mpsc::unbounded_channel();
        let runtime = tokio::runtime::Handle::current();
        let faults = move |call: &Call| {
            let Call::Commit(_) = call else { return Fault::None };
            let (rival, wrote) = (rival.clone(), wrote.clone());
            let writing = async move { drop(wrote.send(rival.put("k", "after").await)) };
            tokio::task::block_in_place(|| runtime.block_on(writing));
            Fault::Refuse(cut_off())
        };
        let kv = ctx.open_over(Options::new(), |inner| Faulty::new(inner, faults)).await?;
        let answer = soon(verb, write(&kv, verb, &seen, "after")).await?;
        let rivals = written.recv().await.ok_or_else(|| Failure::new("the rival did not write"))??;
        ambiguous(verb, &answer)?;
        let now = other.get("k").await?.ok_or_else(|| Failure::new("the key is absent"))?;
        ensure_eq!(now.modified_index, rivals.modified_index, "only the rival wrote, not {verb}");
    }
    Ok(())
}

pub(super) async fn own_lease(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    let ttl = ctx.limits().ttl_min.max(Duration::from_secs(60));
    for verb in ["create", "if_unchanged"] {
        let seen = arrange(&other, verb).await?;
        let (kv, _) = over(&ctx, |at| if at == 0 { Fault::LoseReply(cut_off()) } else { Fault::None }).await?;
        let put = kv.put("k", "after").ttl(ttl);
        let answer = if verb == "create" { put.if_absent().await } else { put.if_unchanged(&seen).await };
        let pair = answer.map_err(|error| Failure::new(format_args!("{verb} with a lease of its own: {error:?}")))?;
        let now = other.get("k").await?.ok_or_else(|| Failure::new("the key is absent"))?;
        ensure_eq!(now.modified_index, pair.modified_index, "{verb}");
        ensure_eq!(now.lease, pair.lease);
        ensure!(pair.ttl.is_some_and(|granted| granted >= ttl), "the granted TTL is not answered");
    }
    Ok(())
}

pub(super) async fn unguarded(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for (verb, lost) in [("put", true), ("put", false), ("delete", true), ("delete", false)] {
        let seen = arrange(&other, verb).await?;
        let fault = move |_| if lost { Fault::LoseReply(cut_off()) } else { Fault::Refuse(cut_off()) };
        let (kv, commits) = over(&ctx, fault).await?;
        ambiguous(verb, &write(&kv, verb, &seen, "after").await)?;
        ensure_eq!(commits.load(Ordering::SeqCst), 1, "commits of one {verb} with an unknown outcome");
        let now = other.get("k").await?.map(|pair| pair.value);
        let expected = match (verb, lost) {
            (_, false) => Some("before".into()),
            ("put", true) => Some("after".into()),
            _ => None,
        };
        ensure_eq!(now, expected, "the key after {verb}, reply lost: {lost}");
    }
    Ok(())
}

pub(super) async fn no_answer(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for verb in GUARDED.iter().chain(GUARDED_DELETIONS).chain(&["put", "delete"]) {
        let seen = arrange(&other, verb).await?;
        let faults = |call: &Call| if matches!(call, Call::Commit(_)) { Fault::Swallow } else { Fault::None };
        let options = Options::new().timeout(Duration::from_millis(200));
        let kv = ctx.open_over(options, |inner| Faulty::new(inner, faults)).await?;
        let answer = soon(verb, write(&kv, verb, &seen, "after")).await?;
        ambiguous(verb, &answer)?;
        expect_kind(answer, &ErrorKind::Timeout)?;
        let now = other.get("k").await?.map(|pair| pair.value);
        let expected = if verb.contains("delete") { None } else { Some("after".into()) };
        ensure_eq!(now, expected, "what {verb} left, which was carried out");
    }
    Ok(())
}
