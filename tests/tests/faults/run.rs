//! A run: clients and watches on one store while something fails, and then every check that the store can be held to.

use std::sync::Arc;
use std::time::Instant;

use kvdb::prelude::*;
use kvdb_tests::check::{Call, linear};
use libtest_mimic::Failed;
use tokio::task::JoinSet;

use crate::checks;
use crate::client::Client;
use crate::load::{Load, Open};
use crate::locks::{self, Lockers};
use crate::watchers;

/// What is run.
#[derive(Clone)]
pub(crate) struct Plan {
    /// How the closing line begins.
    pub(crate) name: String,
    pub(crate) clients: usize,
    pub(crate) operations: usize,
    pub(crate) seed: u64,
    /// For the clients, the watches and the lockers.
    pub(crate) open: Open,
    /// For what prepares and checks: no fault of a line befalls it.
    pub(crate) calm: Open,
    /// Clients besides, each of whom reaches one member alone.
    pub(crate) pinned: Vec<Open>,
}

/// Runs the clients and lockers until `faults` is over and the operations are done; then checks every promise.
pub(crate) async fn run(
    plan: Plan,
    faults: impl AsyncFnOnce(Arc<Load>) -> Result<String, Failed>,
) -> Result<Ended, Failed> {
    let began = Instant::now();
    let load = Arc::new(Load::default());
    let observer = (plan.calm)("run").await?;
    // Whatever the store holds otherwise: the revision before the run.
    let start = observer.put("start", "0").await?.modified_index;
    observer.delete("start").await?;
    let start = observer.list("").listing().await?.revision.max(start);
    let watchers = watchers::open(&plan.open, start).await?;
    let lockers = Lockers::start(&plan.open, (plan.calm)(locks::DOMAIN).await?, &load, plan.seed).await?;

    let mut clients = JoinSet::new();
    for (n, open) in std::iter::repeat_n(&plan.open, plan.clients).chain(&plan.pinned).enumerate() {
        clients.spawn(Client::new(n, open("run").await?, Arc::clone(&load), plan.seed).run());
    }
    let done = async {
        let faults = faults(Arc::clone(&load)).await?;
        progress(&load, plan.operations).await?;
        Ok::<_, Failed>(faults)
    };
    let faults = tokio::select! {
        faults = done => faults,
        // A client ends before it is told to by a panic alone.
        ended = clients.join_next() => Err(format!("a client ended by itself: {ended:?}").into()),
    };
    load.stop();
    while let Some(ended) = clients.join_next().await {
        ended?;
    }
    let faults = faults?;
    let locked = lockers.finish().await?;
    // What stands at the end must explain itself like any other answer.
    let mut last = Client::new(plan.clients + plan.pinned.len(), observer.clone(), Arc::clone(&load), plan.seed);
    for directory in 0..=load.directory() {
        last.list(directory).await;
    }
    let calls = load.history.calls();
    let mut broken = load.findings();
    broken.extend(locked.broken.iter().cloned());
    let seconds = began.elapsed().as_secs();

    let watches = checks::all(&observer, start, &calls, watchers, &mut broken).await?;
    let checked = linear::check(&calls).unwrap_or_else(|why| {
        broken.push(why);
        linear::Checked::default()
    });
    let count = |is: fn(&Call) -> bool| calls.iter().filter(|call| is(call)).count();
    let line = format!(
        "faults {}: {} operations, {} acknowledged, {} unknown, {} keys linearizable, {watches}, {locked}, {faults}; {} \
         broken promises; {seconds} s",
        plan.name,
        calls.len(),
        count(Call::is_answered),
        count(Call::is_unknown),
        checked.keys,
        broken.len(),
    );
    Ok(Ended { line, broken })
}

/// How a run ended.
#[must_use]
pub(crate) struct Ended {
    line: String,
    /// Every promise that was broken.
    pub(crate) broken: Vec<String>,
}

impl Ended {
    /// Prints the closing line; fails with the first of the broken promises.
    pub(crate) fn report(self) -> Result<(), Failed> {
        let Self { line, broken } = self;
        println!("{line}");
        if broken.is_empty() {
            return Ok(());
        }
        let first: Vec<_> = broken.iter().take(8).map(String::as_str).collect();
        Err(format!("{} broken promises, the first are:\n{}", broken.len(), first.join("\n")).into())
    }
}

/// Waits until so many calls were answered: a store that answers none any more does not recover by itself.
pub(crate) async fn progress(load: &Load, acknowledged: usize) -> Result<(), Failed> {
    const STUCK: std::time::Duration = std::time::Duration::from_secs(60);
    let (mut last, mut at) = (load.acknowledged(), Instant::now());
    while load.acknowledged() < acknowledged {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        if load.acknowledged() > last {
            (last, at) = (load.acknowledged(), Instant::now());
        } else if at.elapsed() > STUCK {
            return Err(format!("no call was answered for {STUCK:?}, after {last}").into());
        }
    }
    Ok(())
}
