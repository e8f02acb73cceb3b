//! What is queued now becomes one transaction.

use std::collections::HashMap;
use std::ops::Bound;
use std::time::Duration;

use kvdb_core::toolkit::{Clock, Found, History, LeaseChange, LeaseNumber, Stage, Staged, Store};
use kvdb_core::{Error, ErrorKind, Result, Revision};
use redb::{Database, ReadableDatabase, WriteTransaction};

use crate::config;
use crate::core::{Core, LogView, Phase, read_value};
use crate::error::Failure;
use crate::format::{LEASES, LOG, META, META_COMPACTED, META_REVISION, Stored, encode};
use crate::request::{Answer, Request};
use crate::restore::since_epoch;

/// A seeded bug: readers and watches see a group before it is on disk.
const PUBLISH_EARLY: bool = cfg!(kvdb_mutant = "publish_before_durable");

/// What a group of requests comes to.
pub(crate) struct Plan {
    staged: Staged,
    prune: Option<Prune>,
    pub(crate) answers: Vec<Answer>,
}

struct Prune {
    floor: Revision,
    compacted: Revision,
    revision: Revision,
    rows: Vec<(Revision, u32)>,
}

/// Evaluates the requests, each after what those before it would write; a failing one fails alone.
pub(crate) fn evaluate(core: &Core, history: &mut History, requests: Vec<Request>) -> Plan {
    let now = core.clock().now();
    let mut answers = Vec::with_capacity(requests.len());
    let due = history.due(&core.shared().index.mvcc, || now);
    let asked = requests.iter().filter_map(|request| match request {
        Request::Compact { before, .. } => Some(*before),
        _ => None,
    });
    let prune = prune(core, due.into_iter().chain(asked).collect());
    let published = core.shared();
    let view = match &published.phase {
        Phase::Open(view) => Some(view),
        Phase::Failed(_) | Phase::Closed => None,
    };
    let load = |found: &Found<Stored>| load(view, found);
    let mut stage = Stage::new(&published.index, now);
    stage.expire();
    for request in requests {
        answers.push(match request {
            Request::Commit { batch, reply, room } => Answer::new(reply, stage.commit(&batch, load)).holding(room),
            Request::Txn { txn, reply, room } => Answer::new(reply, stage.txn(&txn, load)).holding(room),
            Request::Grant { ttl, reply } => Answer::new(reply, stage.grant(ttl)),
            Request::KeepAlive { lease, reply } => Answer::new(reply, stage.keep_alive(&lease)),
            Request::Revoke { lease, reply } => Answer::new(reply, stage.revoke(&lease)),
            Request::Compact { before, reply } => Answer::new(reply, published.index.mvcc.check_compaction(before)),
            Request::Wake | Request::Close => continue,
        });
    }
    Plan { staged: stage.finish(), prune, answers }
}

fn load(view: Option<&LogView>, found: &Found<Stored>) -> Result<kvdb_core::Bytes> {
    match view {
        Some(view) => read_value(view, &found.meta).map_err(|failure| failure.error()),
        None => Err(Error::new(ErrorKind::Closed, "open the store again")),
    }
}

/// Decides what to take out. Reads below are refused from here on, so that nobody begins to read what is about to go.
fn prune(core: &Core, wishes: Vec<Revision>) -> Option<Prune> {
    let now = core.clock().now();
    let mut published = core.exclusive();
    let mvcc = &mut published.index.mvcc;
    let before = wishes.into_iter().filter(|before| *before <= mvcc.revision()).max()?;
    let floor = mvcc.refuse_below(before, now);
    let (compacted, revision, rows) = (mvcc.compacted(), mvcc.revision(), mvcc.prunable(floor));
    Some(Prune { floor, compacted, revision, rows })
}

/// Writes a plan to disk, then publishes it, then answers: in this order and no other.
pub(crate) fn carry_out(
    core: &Core,
    database: &Database,
    durability: config::Durability,
    plan: Plan,
) -> Result<(), Failure> {
    let Plan { mut staged, prune, mut answers } = plan;
    let work = if staged.is_empty() && prune.is_none() {
        Ok(None)
    } else {
        commit(core, database, durability, &staged, prune.as_ref(), &mut answers).map(Some)
    };
    match work {
        Ok(view) => {
            if let Some(view) = view {
                count_from_now(&mut staged, core.clock());
                publish(core, view, (!PUBLISH_EARLY).then_some(staged), prune);
            }
            answers.into_iter().for_each(|answer| answer.send(None));
            Ok(())
        }
        Err(failure) => {
            // Told before the answers, so that who gets one finds every later call failing too.
            core.end(Phase::Failed(failure.clone()));
            answers.into_iter().for_each(|answer| answer.send(Some(&failure)));
            Err(failure)
        }
    }
}

fn commit(
    core: &Core,
    database: &Database,
    durability: config::Durability,
    staged: &Staged,
    prune: Option<&Prune>,
    answers: &mut Vec<Answer>,
) -> Result<LogView, Failure> {
    let mut transaction = database.begin_write().map_err(Failure::of)?;
    let most = if PUBLISH_EARLY { redb::Durability::None } else { redb::Durability::Immediate };
    set_durability(&mut transaction, durability, most)?;
    write(&transaction, staged, prune.map_or(&[], |prune| &prune.rows), core.clock())?;
    if let Some(prune) = prune {
        let mut meta = transaction.open_table(META).map_err(Failure::of)?;
        meta.insert(META_COMPACTED, u128::from(prune.compacted.get())).map_err(Failure::of)?;
        meta.insert(META_REVISION, u128::from(prune.revision.get())).map_err(Failure::of)?;
    }
    if cfg!(kvdb_mutant = "ack_before_commit") {
        answers.drain(..).for_each(|answer| answer.send(None));
    }
    transaction.commit().map_err(Failure::of)?;
    let view = view(database)?;
    if PUBLISH_EARLY {
        let copy = Staged { rows: staged.rows.clone(), leases: staged.leases.clone() };
        publish(core, LogView::clone(&view), Some(copy), None);
        sync(database)?;
    }
    Ok(view)
}

/// Puts everything that was committed so far on disk.
pub(crate) fn sync(database: &Database) -> Result<(), Failure> {
    let mut transaction = database.begin_write().map_err(Failure::of)?;
    set_durability(&mut transaction, config::Durability::Full, redb::Durability::Immediate)?;
    transaction.commit().map_err(Failure::of)
}

/// The log as of the last commit.
pub(crate) fn view(database: &Database) -> Result<LogView, Failure> {
    let transaction = database.begin_read().map_err(Failure::of)?;
    Ok(LogView::new(transaction.open_table(LOG).map_err(Failure::of)?))
}

/// Sets how a transaction is committed: `most` at most.
pub(crate) fn set_durability(
    transaction: &mut WriteTransaction,
    durability: config::Durability,
    most: redb::Durability,
) -> Result<(), Failure> {
    let full = durability == config::Durability::Full;
    transaction.set_two_phase_commit(full);
    transaction.set_quick_repair(full);
    let none = durability == config::Durability::None;
    transaction.set_durability(if none { redb::Durability::None } else { most }).map_err(Failure::of)
}

/// Writes rows and leases into the tables and takes out `garbage`.
pub(crate) fn write(
    transaction: &WriteTransaction,
    staged: &Staged,
    garbage: &[(Revision, u32)],
    clock: &dyn Clock,
) -> Result<(), Failure> {
    if !staged.rows.is_empty() || !garbage.is_empty() {
        let mut log = transaction.open_table(LOG).map_err(Failure::of)?;
        if !staged.rows.is_empty() {
            // Ascending through a cursor at the end: up to three times as fast as single inserts.
            let mut cursor = log.upper_bound_mut(Bound::<(u64, u32)>::Unbounded).map_err(Failure::of)?;
            let mut buffer = Vec::new();
            for row in &staged.rows {
                encode(row, &mut buffer);
                cursor
                    .insert_before((row.meta.modified.get(), row.meta.sub), buffer.as_slice())
                    .map_err(Failure::of)?;
            }
            cursor.close().map_err(Failure::of)?;
        }
        let mut garbage = garbage.to_vec();
        garbage.sort_unstable();
        for (revision, sub) in garbage {
            log.remove((revision.get(), sub)).map_err(Failure::of)?;
        }
    }
    if !staged.leases.is_empty() {
        write_leases(transaction, &staged.leases, clock)?;
    }
    Ok(())
}

fn write_leases(transaction: &WriteTransaction, changes: &[LeaseChange], clock: &dyn Clock) -> Result<(), Failure> {
    let mut table = transaction.open_table(LEASES).map_err(Failure::of)?;
    let (now, wall) = (clock.now(), since_epoch(clock.wall()));
    // Rounded up: never gone early.
    let millis = |time: Duration| u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    // Many keep-alives of one lease in a group are one row.
    let mut last: HashMap<LeaseNumber, Option<(u64, u64)>> = HashMap::new();
    for change in changes {
        match *change {
            LeaseChange::Set { id, ttl, deadline } => {
                let at = wall.saturating_add(deadline.saturating_sub(now));
                last.insert(id, Some((millis(ttl), millis(at))));
            }
            LeaseChange::Drop(id) => {
                last.insert(id, None);
            }
        }
    }
    for (id, times) in last {
        match times {
            Some(times) => table.insert(id.get(), times).map(drop),
            None => table.remove(id.get()).map(drop),
        }
        .map_err(Failure::of)?;
    }
    Ok(())
}

/// A lease lives its whole TTL from the moment its owner hears of it, however long the disk took.
fn count_from_now(staged: &mut Staged, clock: &dyn Clock) {
    if staged.leases.is_empty() {
        return;
    }
    let now = clock.now();
    for change in &mut staged.leases {
        if let LeaseChange::Set { ttl, deadline, .. } = change {
            *deadline = now.saturating_add(*ttl);
        }
    }
}

/// Shows readers and watches what is on disk.
fn publish(core: &Core, view: LogView, staged: Option<Staged>, prune: Option<Prune>) {
    let mut published = core.exclusive();
    if let Some(staged) = staged {
        published.index.apply(staged);
    }
    if let Some(prune) = prune {
        published.index.mvcc.prune(prune.floor);
    }
    let old = match &mut published.phase {
        Phase::Open(present) => Some(std::mem::replace(present, view)),
        Phase::Failed(_) | Phase::Closed => None,
    };
    drop(published);
    // Gives pages back to the file: not under the lock.
    drop(old);
    core.hub().publish();
}
