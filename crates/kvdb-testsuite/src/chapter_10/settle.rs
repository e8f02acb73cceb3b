use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kvdb_core::{
    Capabilities, Error, ErrorKind, Handle, Key, KvAction, KvFlags, KvPair, KvdbExt, NativeOp, Op, Options, Result,
    Retry,
};
use tokio::sync::oneshot;

use crate::decorate::{Call, Fault, Faulty};
use crate::help::{expect_kind, next_pair, soon};
use crate::{Ctx, Failure, Proof, ensure, ensure_eq, fail};

fn cut_off() -> Error {
    Error::new(ErrorKind::Unavailable, "cut off for the trial").with_retry(Retry::Ambiguous)
}

/// Whether a call writes a user's key, and not one of the library's own.
fn writes(call: &Call) -> bool {
    let keys: Vec<&Key> = match call {
        Call::Commit(batch) => batch
            .ops
            .iter()
            .filter_map(|op| match op {
                Op::Put { key, .. } | Op::Delete { key, .. } => Some(key),
                Op::DeleteRange { .. } => None,
            })
            .collect(),
        Call::NativeTxn(txn) => txn
            .then
            .iter()
            .filter_map(|op| match op {
                NativeOp::Put { key, .. } | NativeOp::Delete { key, .. } => Some(key),
                _ => None,
            })
            .collect(),
        _ => vec![],
    };
    keys.iter().any(|key| !key.to_string().contains("/_kvdb/"))
}

/// The real store; the n-th writes befall the faults that `plan` answers for n = 0, 1, ...
async fn over(ctx: &Ctx, mut plan: impl FnMut(usize) -> Fault + Send + 'static) -> Proof<(Handle, Arc<AtomicUsize>)> {
    let commits = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&commits);
    let faults = move |call: &Call| {
        if writes(call) { plan(counter.fetch_add(1, Ordering::SeqCst)) } else { Fault::None }
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
        // What is older than its last answer is not taken for its own.
        kv.get("k").await?;
        let answer = soon(verb, write(&kv, verb, &seen, "after")).await?;
        if *verb == "create" && !ctx.has(Capabilities::WATCH_RESUME) {
            // Without history a key that was made and deleted since looks like one that never was.
            ambiguous(verb, &answer)?;
            ensure_eq!(commits.load(Ordering::SeqCst), 1, "commits of a create with an unknown outcome");
            continue;
        }
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

/// The guarded verbs whose condition another writer can make true again.
const UNDONE: &[&str] = &["create", "if_created", "if_value", "delete if_value"];

pub(super) async fn undone(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for verb in UNDONE {
        let seen = arrange(&other, verb).await?;
        let mut told = other.watch_tree("").await?;
        // The write is carried out and its reply lost; before the engine looks, another client takes it back.
        let (rival, runtime) = (ctx.open().await?, tokio::runtime::Handle::current());
        let sent = Arc::new(AtomicUsize::new(0));
        let (count, mut taken_back) = (Arc::clone(&sent), false);
        let faults = move |call: &Call| match call {
            call if writes(call) && count.fetch_add(1, Ordering::SeqCst) == 0 => Fault::LoseReply(cut_off()),
            Call::Get(_) if count.load(Ordering::SeqCst) > 0 && !std::mem::replace(&mut taken_back, true) => {
                let undo =
                    async { if *verb == "create" { rival.delete("k").await } else { rival.put("k", "before").await } };
                drop(tokio::task::block_in_place(|| runtime.block_on(undo)));
                Fault::None
            }
            _ => Fault::None,
        };
        let kv = ctx.open_over(Options::new(), |inner| Faulty::new(inner, faults)).await?;
        kv.get("k").await?;
        let answer = soon(verb, write(&kv, verb, &seen, "after")).await?;
        ambiguous(verb, &answer)?;
        other.put("marker", "1").await?;
        let (mut done, mut undone) = (0, 0);
        loop {
            let pair = next_pair(&mut told).await?;
            let deleted = pair.action == KvAction::Delete;
            let ours = if verb.contains("delete") { deleted } else { !deleted && pair.value == "after" };
            match pair.key.as_str() {
                "marker" => break,
                _ if ours => done += 1,
                _ => undone += 1,
            }
        }
        ensure_eq!((done, undone), (1, 1), "how often {verb} was done and undone");
    }
    Ok(())
}

pub(super) async fn late(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for verb in UNDONE {
        let seen = arrange(&other, verb).await?;
        let (send, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
        let plan = move |at| {
            if at > 0 {
                return Fault::None;
            }
            let ((go, wait), (done, arrived)) = (oneshot::channel(), oneshot::channel());
            let _ = send.send((go, arrived));
            Fault::Late { answer: cut_off(), go: wait, done }
        };
        let (kv, sent) = over(&ctx, plan).await?;
        kv.get("k").await?;
        let written = soon(verb, write(&kv, verb, &seen, "after")).await?;
        written.map_err(|error| Failure::new(format_args!("{verb} that did not arrive: {error:?}")))?;
        ensure_eq!(sent.load(Ordering::SeqCst), 2, "how often {verb} was sent");
        // Another client makes the condition true again; then the first try arrives.
        match *verb {
            "create" => drop(other.delete("k").await?),
            _ => drop(other.put("k", "before").await?),
        }
        let before = other.get("k").await?;
        let nothing = || Failure::new("nothing was held back");
        let (go, arrived) = soon("the first try", arrivals.recv()).await?.ok_or_else(nothing)?;
        let _ = go.send(());
        soon("the first try arrives", arrived).await?.map_err(|_| nothing())?;
        let now = other.get("k").await?;
        ensure_eq!(
            now.map(|pair| (pair.value.clone(), pair.modified_index)),
            before.map(|pair| (pair.value.clone(), pair.modified_index)),
            "the key after {verb} arrived a second time"
        );
        ensure!(other.list("").names().await?.len() <= 1, "users see more than the key");
    }
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
            if !writes(call) {
                return Fault::None;
            }
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
    let ttl = ctx.ttl(Duration::from_secs(60));
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
    // Long enough to read what the write needs, and for the write to be carried out.
    let timeout = Duration::from_millis(if ctx.store().shares_the_machine() { 1000 } else { 200 });
    for verb in GUARDED.iter().chain(GUARDED_DELETIONS).chain(&["put", "delete"]) {
        let seen = arrange(&other, verb).await?;
        let faults = |call: &Call| match call {
            Call::Commit(_) | Call::NativeTxn(_) => Fault::Swallow,
            _ => Fault::None,
        };
        let options = Options::new().timeout(timeout);
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
