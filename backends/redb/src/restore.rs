//! From the file to the index.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kvdb_core::Revision;
use kvdb_core::toolkit::{Clock, Index, LeaseNumber, Leases, Mvcc, Stage};
use redb::{Database, Durability, ReadableTable, WriteTransaction};

use crate::config;
use crate::core::Facts;
use crate::error::Failure;
use crate::file;
use crate::format::{
    FORMAT, LEASES, LOG, META, META_COMPACTED, META_EPOCH, META_FORMAT, META_REVISION, META_STORE, Stored, decode,
    key_of,
};
use crate::group;

/// Reads the whole log, ends the leases that ran out meanwhile, takes out what compaction left behind and counts the
/// epoch up, in one transaction.
pub(crate) fn restore(database: &Database, clock: &dyn Clock) -> Result<(Index<Stored>, Facts), Failure> {
    let fresh = file::is_empty(database)?;
    let mut transaction = database.begin_write().map_err(Failure::of)?;
    // Whatever the store's own durability is: an epoch must not come twice.
    group::set_durability(&mut transaction, config::Durability::Full, Durability::Immediate)?;
    let (facts, revision, compacted) = meta(&transaction, fresh)?;
    let mut index = Index { mvcc: Mvcc::restored(revision, compacted), leases: Leases::default() };
    let garbage = read_log(&transaction, &mut index)?;
    read_leases(&transaction, &mut index, clock)?;
    index.attach_all();
    let mut stage = Stage::new(&index, clock.now());
    stage.expire();
    let staged = stage.finish();
    group::write(&transaction, &staged, &garbage, clock)?;
    transaction.commit().map_err(Failure::of)?;
    index.apply(staged);
    Ok((index, facts))
}

fn meta(transaction: &WriteTransaction, fresh: bool) -> Result<(Facts, Revision, Revision), Failure> {
    let mut meta = transaction.open_table(META).map_err(Failure::of)?;
    if fresh {
        let store = rand::random::<u128>();
        let first =
            [(META_FORMAT, FORMAT), (META_STORE, store), (META_EPOCH, 0), (META_COMPACTED, 0), (META_REVISION, 1)];
        for (name, number) in first {
            meta.insert(name, number).map_err(Failure::of)?;
        }
    }
    let number = |name: &str| -> Result<u128, Failure> {
        match meta.get(name).map_err(Failure::of)? {
            Some(number) => Ok(number.value()),
            None => Err(Failure::corrupt(format!(
                "`{name}` is missing: it is not a kvdb store, or damaged; restore it from a copy, or move it away"
            ))),
        }
    };
    let format = number(META_FORMAT)?;
    if format != FORMAT {
        return Err(Failure::corrupt(format!(
            "the store has format {format}, this release reads format {FORMAT}: open it with the release that wrote it"
        )));
    }
    let revision = |name: &str| -> Result<Revision, Failure> {
        u64::try_from(number(name)?)
            .map(Revision::new)
            .map_err(|_| Failure::corrupt(format!("`{name}` is no revision: restore the file from a copy")))
    };
    let (last, compacted) = (revision(META_REVISION)?, revision(META_COMPACTED)?);
    let facts = Facts { path: None, store: number(META_STORE)?, epoch: number(META_EPOCH)?.saturating_add(1) };
    meta.insert(META_EPOCH, facts.epoch).map_err(Failure::of)?;
    Ok((facts, last, compacted))
}

/// Fills the index; answers the rows that compaction could not take out while somebody read them.
fn read_log(transaction: &WriteTransaction, index: &mut Index<Stored>) -> Result<Vec<(Revision, u32)>, Failure> {
    let log = transaction.open_table(LOG).map_err(Failure::of)?;
    let mut garbage = Vec::new();
    for row in log.iter().map_err(Failure::of)? {
        let (at, bytes) = row.map_err(Failure::of)?;
        let row = decode(at.value(), bytes.value())?;
        let state = row.value.map(|value| Stored::of_len(value.len()));
        garbage.extend(index.mvcc.restore(key_of(row.key), row.meta, state));
    }
    Ok(garbage)
}

/// Deadlines were written by the wall clock; from here on they count by the monotonic one.
fn read_leases(transaction: &WriteTransaction, index: &mut Index<Stored>, clock: &dyn Clock) -> Result<(), Failure> {
    let table = transaction.open_table(LEASES).map_err(Failure::of)?;
    let (now, wall) = (clock.now(), since_epoch(clock.wall()));
    for row in table.iter().map_err(Failure::of)? {
        let (id, times) = row.map_err(Failure::of)?;
        let (ttl, deadline) = times.value();
        let (ttl, deadline) = (Duration::from_millis(ttl), Duration::from_millis(deadline));
        let Some(id) = LeaseNumber::new(id.value()) else { continue };
        // A wall clock that was set back gives nobody more than the TTL.
        let left = deadline.saturating_sub(wall).min(ttl);
        index.leases.set(id, ttl, now.saturating_add(left));
    }
    Ok(())
}

/// Wall-clock time as the file has it.
pub(crate) fn since_epoch(wall: SystemTime) -> Duration {
    wall.duration_since(UNIX_EPOCH).unwrap_or_default()
}
