//! The runs on clusters of real servers.

use std::io;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use crate::cluster::{self, Cluster, Fault, befall, opener};
use crate::run::{Plan, run};
use crate::{holder, quorum, runtime};

/// The variable that makes the runs as long as they are to be trusted.
pub(crate) const LONG: &str = "KVDB_FAULTS";
/// Clients of a run.
const CLIENTS: usize = 16;

/// A kind of cluster, started for each trial.
pub(crate) type Start = fn() -> io::Result<Arc<dyn Cluster>>;

/// How long the runs are.
#[derive(Clone, Copy, Debug)]
struct Length {
    operations: usize,
    /// Of each kind of fault, per third of a short run.
    times: usize,
}

fn length() -> Length {
    if is_long() { Length { operations: 50_000, times: 10 } } else { Length { operations: 15_000, times: 3 } }
}

/// Whether the runs are to be as long as a release wants them.
pub(crate) fn is_long() -> bool {
    match std::env::var(LONG).as_deref() {
        Ok("long") => true,
        Ok(other) => panic!("{LONG}={other}: it is `long` or not set"),
        Err(_) => false,
    }
}

/// Every trial of one kind of cluster.
pub(crate) fn trials(name: &'static str, start: Start, seed: u64) -> Vec<Trial> {
    let trial = |what: &str, run: fn(&str, Start, u64) -> Result<(), Failed>| {
        Trial::test(format!("{what} [{name}]"), move || run(name, start, seed))
    };
    vec![
        trial("F4 F5 leaders that are killed and members that are paused lose, double and reorder nothing", servers),
        trial("F6 F7 lines that break, stall, trickle and lose answers lose, double and reorder nothing", lines),
        trial("F8 a leader that is cut off from the others answers nothing stale", partitions),
        trial("F8 without a quorum calls end in time, and go on by themselves with it", quorum::lost),
        trial("F9 F12 a holder that is cut off says so, and its fenced writes are refused", holder::cut_off),
    ]
}

fn servers(name: &str, start: Start, seed: u64) -> Result<(), Failed> {
    let Length { operations, times } = length();
    let kills = vec![Fault::KillLeader; 2 * times];
    let pauses = vec![Fault::PauseLeader; times.div_ceil(2)];
    let faults = [kills, pauses, vec![Fault::PauseFollower; times / 2]].concat();
    under_load(&format!("{name} F4 F5"), start, seed, operations, &faults, Way::Direct)
}

fn lines(name: &str, start: Start, seed: u64) -> Result<(), Failed> {
    let Length { operations, times } = length();
    let kinds = [Fault::Cut, Fault::Stall, Fault::HalfOpen, Fault::Trickle, Fault::DropReplies, Fault::DropReplies];
    under_load(&format!("{name} F6 F7"), start, seed, operations, &kinds.repeat(times.div_ceil(3)), Way::Lines)
}

fn partitions(name: &str, start: Start, seed: u64) -> Result<(), Failed> {
    let Length { operations, times } = length();
    under_load(
        &format!("{name} F8"),
        start,
        seed,
        operations,
        &vec![Fault::IsolateLeader; times.div_ceil(2)],
        Way::Pinned,
    )
}

/// How the clients reach the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    /// Through a line to each, which can be made to fail.
    Lines,
    /// Directly, and one client of each member reaches that one alone.
    Pinned,
}

pub(crate) fn under_load(
    name: &str,
    start: Start,
    seed: u64,
    operations: usize,
    faults: &[Fault],
    way: Way,
) -> Result<(), Failed> {
    let cluster = start()?;
    let direct = cluster.endpoints();
    let (lines, endpoints) = if way == Way::Lines { cluster::lines(&*cluster)? } else { (Vec::new(), direct.clone()) };
    let pinned = if way == Way::Pinned { direct.clone() } else { Vec::new() };
    runtime().block_on(async {
        let plan = Plan {
            name: name.to_owned(),
            clients: CLIENTS - pinned.len(),
            operations,
            seed,
            open: opener(&cluster, endpoints),
            calm: opener(&cluster, direct),
            pinned: pinned.into_iter().map(|endpoint| opener(&cluster, vec![endpoint])).collect(),
        };
        let between = operations / (faults.len() + 1);
        run(plan, async |load| befall(&cluster, &lines, faults, &load, (seed, between)).await).await?.report()
    })
}
