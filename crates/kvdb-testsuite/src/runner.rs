use std::collections::HashMap;
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, mpsc};
use std::time::Duration;

use libtest_mimic::{Arguments, Conclusion, Failed};

use crate::{Ctx, Failure, Proof, Store, Trial, logs, registry};

/// How long a trial may take in all.
const DEADLINE: Duration = Duration::from_secs(180);

/// Trials mostly wait, for time-outs and for the disk: many at a time even on a small machine.
const AT_A_TIME: usize = 8;

/// Runs the suite over stores, with the arguments of the process, and ends it as a test does. `extra` are trials of
/// the caller that need no store of the suite.
#[must_use]
pub fn main(stores: Vec<Arc<dyn Store>>, extra: Vec<libtest_mimic::Trial>) -> ExitCode {
    let conclusion = run(stores, extra, Arguments::from_args());
    let unowned = panics(NOBODY);
    for text in &unowned {
        eprintln!("panic outside every trial: {text}");
    }
    if conclusion.has_failed() || !unowned.is_empty() { ExitCode::from(101) } else { ExitCode::SUCCESS }
}

/// Runs the suite over stores with these arguments.
pub fn run(stores: Vec<Arc<dyn Store>>, extra: Vec<libtest_mimic::Trial>, mut arguments: Arguments) -> Conclusion {
    arguments.test_threads.get_or_insert(AT_A_TIME);
    record_panics();
    logs::read_along();
    let mut trials = extra;
    for store in stores {
        trials.extend(registry::trials().map(|trial| on_store(&store, trial)));
    }
    libtest_mimic::run(&arguments, trials)
}

fn on_store(store: &Arc<dyn Store>, trial: &'static Trial) -> libtest_mimic::Trial {
    let missing = trial.needs - store.capabilities();
    let name = format!("{} [{}]", trial.name, store.label());
    let on = Arc::clone(store);
    let thread = name.clone();
    let run = move || {
        let first = run_one(Arc::clone(&on), trial, &thread);
        let again = first.is_err() && on.shares_the_machine() && MADE_AGAIN.fetch_add(1, Ordering::SeqCst) < UNSTEADY;
        let last = match first {
            Err(failure) if again => {
                eprintln!("unsteady {thread}: {failure}");
                run_one(on, trial, &thread)
            }
            first => first,
        };
        last.map_err(|failure| Failed::from(failure.to_string()))
    };
    libtest_mimic::Trial::test(name, run).with_ignored_flag(!missing.is_empty() || !store.runs(trial))
}

/// How many trials of a run may be made a second time, where servers share the machine with the trials: about one in
/// a hundred. What fails for a reason fails twice, and whatever fails more often than this is red at once.
pub const UNSTEADY: usize = 30;

static MADE_AGAIN: AtomicUsize = AtomicUsize::new(0);

/// Runs one trial in a runtime of its own; whatever it spawned ends with it.
fn run_one(store: Arc<dyn Store>, trial: &'static Trial, thread: &str) -> Proof {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name(thread).enable_all().build()?;
    let task = runtime.spawn(async move {
        let ctx = Ctx::new(store, trial).await?;
        (trial.run)(ctx).await
    });
    let (end, ended) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        // Nobody waits any more after the deadline.
        let _ = end.send(task.await);
    });
    // Not by the runtime's own timer, which a trial that keeps all workers busy would stop.
    let proof = match ended.recv_timeout(DEADLINE) {
        Ok(Ok(proof)) => proof,
        Ok(Err(join)) => Err(Failure::new(join)),
        Err(_) => Err(Failure::new(format_args!("the trial took longer than {DEADLINE:?}"))),
    };
    runtime.shutdown_timeout(Duration::from_secs(2));
    let panics = panics(thread);
    if panics.is_empty() {
        return proof;
    }
    let proof = proof.err().map(|failure| format!("; {failure}")).unwrap_or_default();
    Err(Failure::new(format_args!("panicked: {}{proof}", panics.join("; "))))
}

/// The owner of panics on threads that belong to no trial, such as a store's own.
const NOBODY: &str = "";

static PANICS: Mutex<Option<HashMap<String, Vec<String>>>> = Mutex::new(None);

/// Takes the panics that happened on the threads of `owner`.
fn panics(owner: &str) -> Vec<String> {
    let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    panics.as_mut().and_then(|by_owner| by_owner.remove(owner)).unwrap_or_default()
}

/// Keeps every panic with the trial on whose thread it happened, before the hook of before is called.
fn record_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let current = std::thread::current();
            let thread = current.name().unwrap_or_default();
            let owner = if thread.ends_with(']') { thread } else { NOBODY };
            PANICS
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert_default()
                .entry(owner.to_owned())
                .or_default()
                .push(format!("{info} on thread {thread:?}"));
            before(info);
        }));
    });
}
