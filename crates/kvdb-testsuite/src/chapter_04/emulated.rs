use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kvdb_core::prelude::*;
use kvdb_core::{Error, Options, Retry, TxnReply};

use crate::decorate::{Call, Fault, Faulty};
use crate::help::soon;
use crate::{Ctx, Failure, Proof, ensure, ensure_eq, fail};

fn cut_off() -> Error {
    Error::new(ErrorKind::Unavailable, "cut off for the trial").with_retry(Retry::Ambiguous)
}

pub(super) async fn native_is_one_step(ctx: Ctx) -> Proof {
    const TASKS: usize = 16;
    const EACH: usize = 10;
    let inner = Faulty::recording(ctx.backend().await?);
    let calls = inner.calls();
    let kv = ctx.handle(Arc::new(inner), ctx.domain(), Options::new())?;
    kv.put("n", "0").await?;
    calls.lock().unwrap().clear();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let kv = kv.clone();
        tasks.spawn(async move {
            for round in 0..EACH {
                // All of them write the one key; whoever found it as expected or not, nobody is in anybody's way.
                let mine = format!("{task}-{round}");
                let txn = kv.txn().when(value("n").lt("8")).then(put("n", mine.clone())).then(get("n"));
                let reply = txn.otherwise(get("n")).otherwise(put("n", "0")).await?;
                if let TxnResult::Get(Some(pair)) = &reply.results[1] {
                    ensure_eq!(pair.value, mine.as_bytes(), "what another wrote shows inside of a transaction");
                }
            }
            Ok(())
        });
    }
    while let Some(ended) = soon("transactions", tasks.join_next()).await? {
        ended??;
    }
    let calls = calls.lock().unwrap();
    let native = calls.iter().filter(|call| matches!(call, Call::NativeTxn(_))).count();
    ensure_eq!(native, TASKS * EACH, "calls of the store for as many transactions");
    ensure_eq!(calls.len(), native, "calls in all");
    Ok(())
}

/// The real store, with somebody who does `meddle` before each commit arrives.
async fn meddled(
    ctx: &Ctx,
    options: Options,
    meddle: impl Fn(usize) -> Option<String> + Send + 'static,
) -> Proof<(Handle, Arc<AtomicUsize>)> {
    let rival = ctx.open().await?;
    let commits = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&commits);
    let runtime = tokio::runtime::Handle::current();
    let faults = move |call: &Call| {
        if matches!(call, Call::Commit(_)) {
            let at = counter.fetch_add(1, Ordering::SeqCst);
            if let Some(value) = meddle(at) {
                let writing = async { rival.put("k", value).await.map(drop) };
                if let Err(error) = tokio::task::block_in_place(|| runtime.block_on(writing)) {
                    return Fault::Refuse(error);
                }
            }
        }
        Fault::None
    };
    Ok((ctx.open_over(options, |inner| Faulty::new(inner, faults)).await?, commits))
}

pub(super) async fn chosen_anew(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    let first = other.put("k", "first").await?;
    // Three times somebody is faster, and each time what he writes asks for another branch.
    let meddle = |at: usize| (at < 3).then(|| ["second", "first", "third"][at].to_owned());
    let (kv, commits) = meddled(&ctx, Options::new(), meddle).await?;
    let txn = kv
        .txn()
        .when(value("k").eq("first"))
        .then(put("then", "x"))
        .then(get("k"))
        .otherwise(get("k"))
        .otherwise(put("otherwise", "x"));
    let reply = soon("the transaction", txn.into_future()).await??;
    ensure!(!reply.succeeded, "the branch was chosen by a state that is past");
    ensure_eq!(reply.results[0].pair().and_then(KvPair::text), Some("third"));
    ensure!(reply.results[0].pair().is_some_and(|pair| pair.modified_index > first.modified_index));
    ensure_eq!(commits.load(Ordering::SeqCst), 4, "commits until nobody was faster");
    ensure_eq!(other.get("then").await?, None, "the branch of a commit that was refused");
    ensure_eq!(other.get("otherwise").await?.map(|pair| pair.modified_index), Some(reply.revision));
    Ok(())
}

pub(super) async fn contention(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    other.put("k", "0").await?;
    let (kv, commits) = meddled(&ctx, Options::new(), |at| Some(format!("{at}"))).await?;
    // Whatever reads the key is in conflict: a compare, a read beside a write, a reading alone.
    for shape in ["compare", "absence", "read beside a write", "reading alone"] {
        let mut limit = Duration::from_millis(400);
        loop {
            let txn = match shape {
                "compare" => kv.txn().when(present("k")).then(put("left", "1")),
                "absence" => kv.txn().when(absent("k")).otherwise(put("left", "1")),
                "read beside a write" => kv.txn().then(get("k")).then(put("left", "1")),
                // One key alone is read at one moment; two are not.
                _ => kv.txn().then(get("k")).then(get("left")),
            };
            let (before, began) = (commits.load(Ordering::SeqCst), Instant::now());
            let error = soon("an end", txn.timeout(limit).into_future()).await?.err();
            let Some(error) = error else { fail!("{shape}: it was never in conflict") };
            ensure!(began.elapsed() < limit + Duration::from_secs(8), "{limit:?} took {:?}", began.elapsed());
            ensure_eq!(error.operation(), Some(kvdb_core::Operation::Txn));
            if *error.kind() == ErrorKind::Contention {
                ensure_eq!(error.retry(), Retry::Safe, "the retry class of {error:?}");
                // A store so slow that one try uses up the time has more of it.
                if commits.load(Ordering::SeqCst) > before + 1 {
                    break;
                }
            } else {
                // The deadline met a reading, or a commit under way, whose outcome nobody knows (10.4).
                ensure_eq!(*error.kind(), ErrorKind::Timeout, "{shape}: {error:?}");
                let unsure = error.retry() == Retry::Ambiguous;
                ensure!(!unsure || shape != "reading alone", "{shape} writes nothing: {error:?}");
            }
            limit *= 2;
            ensure!(limit < Duration::from_secs(30), "{shape}: it does not end in Contention after two tries");
        }
    }
    ensure_eq!(other.get("left").await?, None, "what transactions in contention left");
    // One that reads nothing is in nobody's way.
    kv.txn().then(put("k", "mine")).await?;
    Ok(())
}

/// The real store whose n-th calls that write befall what `plan` answers.
async fn faulty(ctx: &Ctx, mut plan: impl FnMut(usize) -> Fault + Send + 'static) -> Proof<(Handle, Arc<AtomicUsize>)> {
    let writes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&writes);
    let faults = move |call: &Call| match call {
        Call::Commit(_) | Call::NativeTxn(_) => plan(counter.fetch_add(1, Ordering::SeqCst)),
        _ => Fault::None,
    };
    Ok((ctx.open_over(Options::new(), |inner| Faulty::new(inner, faults)).await?, writes))
}

/// Transactions by what is known of the keys that they write: guarded, guarded by another key, not at all.
const SHAPES: &[&str] = &["own key", "absent key", "read key", "other key", "blind", "deletion"];

async fn make(kv: &Handle, shape: &str) -> kvdb_core::Result<TxnReply> {
    match shape {
        "own key" => kv.txn().when(value("k").eq("before")).then(put("k", "after")).otherwise(put("wrong", "x")).await,
        "absent key" => kv.txn().when(absent("new")).then(put("new", "after")).otherwise(put("wrong", "x")).await,
        "read key" => kv.txn().then(get("k")).then(put("beside", "1")).then(put("k", "after")).await,
        "other key" => kv.txn().when(present("k")).then(put("new", "after")).otherwise(put("wrong", "x")).await,
        "blind" => kv.txn().then(put("new", "after")).await,
        _ => kv.txn().when(present("k")).then(delete("k")).otherwise(put("wrong", "x")).await,
    }
}

/// Whether the transaction reads a key that it writes, so that the key tells whether it was carried out. One that was
/// absent and is again does not: it may have been made and deleted.
fn tells(shape: &str) -> bool {
    !matches!(shape, "absent key" | "other key" | "blind")
}

async fn arrange(other: &Handle) -> Proof {
    other.delete_tree("").await?;
    other.put("k", "before").await?;
    Ok(())
}

async fn written(other: &Handle, shape: &str) -> Proof<Option<KvPair>> {
    Ok(match shape {
        "absent key" | "other key" | "blind" => other.get("new").await?,
        "deletion" => other.get("k").await?.is_none().then(|| KvPair::new("k", "")),
        _ => other.get("k").await?.filter(|pair| pair.value == "after"),
    })
}

pub(super) async fn reply_lost(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for shape in SHAPES {
        arrange(&other).await?;
        let (kv, commits) = faulty(&ctx, |at| if at == 0 { Fault::LoseReply(cut_off()) } else { Fault::None }).await?;
        let answer = soon(shape, make(&kv, shape)).await?;
        let stands = written(&other, shape).await?;
        ensure!(stands.is_some(), "{shape}: the transaction was carried out and is not there");
        ensure_eq!(other.get("wrong").await?, None, "{shape}: its own success was taken for another's");
        match &answer {
            Ok(reply) => {
                let claimed =
                    stands.filter(|_| *shape != "deletion").map_or(reply.revision, |pair| pair.modified_index);
                ensure_eq!(reply.revision, claimed, "{shape}: the write that is claimed");
            }
            Err(error) => ensure_eq!(error.retry(), Retry::Ambiguous, "{shape}: {error:?}"),
        }
        ensure_eq!(commits.load(Ordering::SeqCst), 1, "{shape}: commits of a transaction that stands");
    }
    Ok(())
}

pub(super) async fn not_arrived(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for shape in SHAPES {
        arrange(&other).await?;
        let (kv, commits) = faulty(&ctx, |at| if at < 2 { Fault::Refuse(cut_off()) } else { Fault::None }).await?;
        let answer = soon(shape, make(&kv, shape)).await?;
        let stands = written(&other, shape).await?;
        ensure_eq!(other.get("wrong").await?, None, "{shape}: the wrong branch ran");
        if tells(shape) {
            let reply = answer.map_err(|error| Failure::new(format_args!("{shape}, not arrived: {error:?}")))?;
            ensure!(stands.is_some() && reply.revision > Revision::ZERO, "{shape}: answered and not there");
            ensure_eq!(commits.load(Ordering::SeqCst), 3, "{shape}: commits until it arrived");
        } else {
            match answer {
                Err(error) => ensure_eq!(error.retry(), Retry::Ambiguous, "{shape}: {error:?}"),
                Ok(reply) => {
                    fail!("{shape}: nothing told that it did not arrive, and yet it was made again: {reply:?}")
                }
            }
            ensure_eq!((stands, commits.load(Ordering::SeqCst)), (None, 1), "{shape}: made again unguarded");
        }
    }
    // A reading that was lost is read again.
    arrange(&other).await?;
    let (kv, _) = faulty(&ctx, |at| if at < 2 { Fault::LoseReply(cut_off()) } else { Fault::None }).await?;
    let reply = soon("a reading", kv.txn().when(absent("new")).then(get("k")).into_future()).await??;
    ensure_eq!(reply.results[0].pair().and_then(KvPair::text), Some("before"));
    // One that arrives late, behind our second try, is not done twice, and not taken for another's.
    arrange(&other).await?;
    let late = Arc::new(AtomicBool::new(false));
    let (rival, runtime) = (ctx.open().await?, tokio::runtime::Handle::current());
    let done = Arc::clone(&late);
    let plan = move |at| {
        if at == 0 {
            return Fault::Refuse(cut_off());
        }
        if !done.swap(true, Ordering::SeqCst) {
            // Stands for the first try, which arrives now.
            let arriving = async { rival.put("k", "after").await.map(drop) };
            tokio::task::block_in_place(|| runtime.block_on(arriving)).ok();
        }
        Fault::None
    };
    let (kv, commits) = faulty(&ctx, plan).await?;
    match soon("a late one", make(&kv, "own key")).await? {
        Err(error) => ensure_eq!(error.retry(), Retry::Ambiguous, "{error:?}"),
        Ok(reply) => fail!("the late first try was taken for another's write, or done twice: {reply:?}"),
    }
    ensure!(late.load(Ordering::SeqCst) && commits.load(Ordering::SeqCst) == 2, "this proves nothing");
    ensure_eq!(other.get("wrong").await?, None, "the other branch ran over one's own write");
    Ok(())
}

pub(super) async fn native_reply_lost(ctx: Ctx) -> Proof {
    let other = ctx.open().await?;
    for shape in SHAPES {
        for lost in [true, false] {
            arrange(&other).await?;
            let fault = move |_| if lost { Fault::LoseReply(cut_off()) } else { Fault::Refuse(cut_off()) };
            let (kv, calls) = faulty(&ctx, fault).await?;
            match soon(shape, make(&kv, shape)).await? {
                Err(error) => ensure_eq!(error.retry(), Retry::Ambiguous, "{shape}: {error:?}"),
                Ok(reply) => ensure!(lost, "{shape}: never arrived, and yet {reply:?}"),
            }
            ensure_eq!(written(&other, shape).await?.is_some(), lost, "{shape}: carried out");
            ensure_eq!(other.get("wrong").await?, None, "{shape}: the wrong branch ran");
            if lost {
                ensure_eq!(calls.load(Ordering::SeqCst), 1, "{shape}: tries of a transaction that stands");
            }
        }
    }
    Ok(())
}
