use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kvdb::ErrorKind;
use kvdb::prelude::*;
use kvdb_testsuite::help::expect_kind;
use kvdb_testsuite::{Failure, Proof, ensure, ensure_eq};

use super::On;

const TASKS: usize = 8;
const CHANGES: usize = 1000;
/// Where each call goes over a network, so many in this time do.
const FEW_CHANGES: usize = 50;
const ENOUGH: Duration = Duration::from_secs(15);
/// Short, so that the lock is refreshed again and again while wrappers come and go.
const LOCK: Duration = Duration::from_secs(3);
/// Longer than the lock lives without a refresh.
const AT_LEAST: Duration = Duration::from_secs(7);

/// What the tasks and the one who changes wrappers share.
#[derive(Debug, Default)]
struct Shared {
    /// Odd from before no-quorum is added until after it was removed.
    epoch: AtomicUsize,
    stop: AtomicBool,
    answered: AtomicUsize,
    refused: AtomicUsize,
}

/// One task: writes rising numbers to its key; every write is answered, and stands exactly if the answer says so.
async fn calls(kv: Handle, task: usize, shared: Arc<Shared>) -> Proof<usize> {
    let key = format!("task/{task}");
    let (mut stands, mut made) = (0, 0);
    for n in 1u64.. {
        if shared.stop.load(Ordering::SeqCst) {
            break;
        }
        let before = shared.epoch.load(Ordering::SeqCst);
        let (put, read) = (kv.put_val(&key, &n).await, kv.get_val::<u64>(&key).await);
        made += 2;
        let quiet = before.is_multiple_of(2) && shared.epoch.load(Ordering::SeqCst) == before;
        for (call, error) in [("put", put.as_ref().err()), ("get", read.as_ref().err())] {
            match error {
                None => shared.answered.fetch_add(1, Ordering::SeqCst),
                Some(error) if *error.kind() == ErrorKind::NoQuorum && !quiet => {
                    shared.refused.fetch_add(1, Ordering::SeqCst)
                }
                Some(error) => {
                    return Err(Failure::new(format_args!("{call} number {n}, wrapper off {quiet}: {error}")));
                }
            };
        }
        if put.is_ok() {
            stands = n;
        }
        if let Ok(found) = read {
            ensure_eq!(found.unwrap_or(0), stands, "what {key} holds after number {n}");
        }
        tokio::task::yield_now().await;
    }
    let found = kv.base().get_opts(&key, kvdb::GetOptions::default()).await?;
    ensure_eq!(found.map(|pair| pair.json::<u64>()).transpose()?.unwrap_or(0), stands, "what {key} holds in the end");
    Ok(made)
}

async fn change(kv: &Handle, shared: &Shared) -> Proof<usize> {
    let (one, other) = (kv.clone(), kv.clone());
    let (began, mut changes) = (Instant::now(), 0);
    while began.elapsed() < AT_LEAST || changes < FEW_CHANGES || changes < CHANGES && began.elapsed() < ENOUGH {
        shared.epoch.fetch_add(1, Ordering::SeqCst);
        one.add_wrapper("no-quorum", &Options::new())?;
        expect_kind(other.get("probe").await, &ErrorKind::NoQuorum)?;
        if changes % 3 == 0 {
            one.remove_wrapper("extra")?;
        } else if changes % 3 == 1 {
            one.wrap(Arc::new(Extra))?;
        }
        tokio::task::yield_now().await;
        other.remove_wrapper("no-quorum")?;
        shared.epoch.fetch_add(1, Ordering::SeqCst);
        // The next call is without it, through whichever clone.
        one.get("probe").await?;
        other.put("probe", "1").await?;
        changes += 1;
        tokio::task::yield_now().await;
    }
    Ok(changes)
}

/// A wrapper that does nothing, of the trial's own.
#[derive(Debug)]
struct Extra;

impl kvdb::Interceptor for Extra {
    type Note = ();

    fn name(&self) -> &'static str {
        "extra"
    }

    fn placement(&self) -> kvdb::Placement {
        kvdb::Placement::Resilience
    }

    fn before<'a>(&'a self, _call: &kvdb::Call<'_>) -> kvdb::Before<'a, ()> {
        kvdb::Before::Go(())
    }

    fn after(&self, (): (), _call: &kvdb::Call<'_>, _end: &kvdb::End<'_>) {}
}

pub(super) async fn on_and_off(on: On) -> Proof {
    // Several threads, so that calls are in every place of a change.
    let handle = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
        runtime.block_on(under_traffic(on))
    });
    tokio::task::spawn_blocking(move || handle.join()).await?.map_err(|_| Failure::new("the trial panicked"))?
}

async fn under_traffic(on: On) -> Proof {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("calls.log");
    let kv = on.open_with(Options::new().lock_ttl(LOCK)).await?;
    let other = on.open().await?;
    let fatal = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&fatal);
    kv.set_fatal_callback(Arc::new(move |_| {
        told.fetch_add(1, Ordering::SeqCst);
    }));
    let lock = kv.lock("held").await?;
    let token = lock.fencing_token();
    kv.wrap(Arc::new(Extra))?;
    kv.add_wrapper("log", &Options::new().set("log_path", path.display()))?;
    let shared = Arc::<Shared>::default();
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(calls(kv.clone(), task, Arc::clone(&shared)))).collect();
    let changes = change(&kv, &shared).await;
    shared.stop.store(true, Ordering::SeqCst);
    let changes = changes?;
    let mut made = 0;
    for task in tasks {
        made += task.await??;
    }
    // The lock was held all the time, and nobody else could have it.
    ensure!(lock.is_held() && lock.fencing_token() == token, "the lock was lost");
    expect_kind(
        other.try_lock("held").await.map(drop),
        &ErrorKind::LockTimeout { holder: Some(lock.id().to_owned()) },
    )?;
    ensure!(kv.txn().when(lock.fence()).await?.succeeded, "the lock's fence does not hold");
    ensure_eq!(fatal.load(Ordering::SeqCst), 0, "calls of the fatal callback");
    lock.release().await?;
    let (answered, refused) = (shared.answered.load(Ordering::SeqCst), shared.refused.load(Ordering::SeqCst));
    ensure_eq!(answered + refused, made, "calls that were answered");
    ensure!(answered > 100 && refused > 10, "{answered} calls answered and {refused} refused prove little");
    // The log was on all the time: a line for each call of the tasks, of the one who changed, and the two at the end.
    let lines = std::fs::read_to_string(&path)?.lines().count();
    ensure_eq!(lines, made + 3 * changes + 2, "lines of the log");
    Ok(())
}

pub(super) async fn every_clone(on: On) -> Proof {
    let kv = on.open().await?;
    let clones: Vec<Handle> = std::iter::repeat_with(|| kv.clone()).take(5).collect();
    let apart = on.open().await?;
    for round in 0..20 {
        clones[round % 5].add_wrapper("no-quorum", &Options::new())?;
        for clone in &clones {
            expect_kind(clone.get("k").await, &ErrorKind::NoQuorum)?;
            ensure_eq!(clone.wrappers(), ["no-quorum"]);
        }
        // Another handle, and what is below all wrappers, are not touched.
        apart.get("k").await?;
        kv.base().get_opts("k", kvdb::GetOptions::default()).await?;
        clones[(round + 2) % 5].remove_wrapper("no-quorum")?;
        for clone in &clones {
            clone.get("k").await?;
            ensure_eq!(clone.wrappers(), Vec::<&str>::new());
        }
    }
    Ok(())
}

pub(super) async fn log_outermost(on: On) -> Proof {
    let directory = tempfile::tempdir()?;
    for order in [["log", "no-quorum", "extra"], ["no-quorum", "extra", "log"], ["extra", "log", "no-quorum"]] {
        let path = directory.path().join(order.join("-"));
        let kv = on.open().await?;
        for name in order {
            match name {
                "log" => kv.add_wrapper(name, &Options::new().set("log_path", path.display()))?,
                "extra" => kv.wrap(Arc::new(Extra))?,
                _ => kv.add_wrapper(name, &Options::new())?,
            }
        }
        ensure_eq!(kv.wrappers(), ["extra", "no-quorum", "log"], "added as {order:?}");
        expect_kind(kv.get("k").await, &ErrorKind::NoQuorum)?;
        let text = std::fs::read_to_string(&path)?;
        ensure!(
            text.contains(ErrorKind::NoQuorum.describe()),
            "added as {order:?}, a refused call is not logged: {text}"
        );
        ensure_eq!(text.lines().count(), 1, "{text}");
        kv.close().await?;
    }
    Ok(())
}
