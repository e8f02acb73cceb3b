//! F3: one write or fsync fails. The store is then poisoned until it is reopened, and acknowledges nothing more.

use kvdb::prelude::*;
use libtest_mimic::Failed;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::disk::{Disk, Kind, On};
use crate::history;
use crate::kill::report;
use crate::model::Model;
use crate::power::{open, runtime, work_until_failure};
use crate::work::{Store, wall};

/// Rounds of each kind of fault.
const ROUNDS: u64 = 12;

const FAULTS: &[(On, Kind)] = &[
    (On::Write, Kind::Eio),
    (On::Write, Kind::Enospc),
    (On::Write, Kind::Short),
    (On::Sync, Kind::Eio),
    (On::Sync, Kind::Enospc),
];

/// Lets the disk fail once, over and over, and compares each time.
pub(crate) fn rounds(seed: u64) -> Result<(), Failed> {
    let mut rng = StdRng::seed_from_u64(seed ^ 3);
    let (mut acks, mut while_opening) = (0, 0);
    let mut losses = Vec::new();
    for &(on, kind) in FAULTS {
        for round in 0..ROUNDS {
            let mut model = Model::default();
            let disk = Disk::with(Vec::new());
            runtime().block_on(async { open(&disk).await?.kv.close().await })?;
            let created = disk.operations();

            // The first rounds fail while an existing file is opened, the others while it is written.
            let opening_fault = round < 2;
            if opening_fault {
                disk.fail_after(1 + round, on, kind);
            }
            runtime().block_on(async {
                let store = match open(&disk).await {
                    Ok(store) => store,
                    Err(error) => return opened_late(&disk, &error),
                };
                if disk.failed().is_none() {
                    disk.fail_after(rng.random_range(1..=60), on, kind);
                }
                let (notes, errors) = work_until_failure(&store, 1_000_000).await;
                model.absorb(notes);
                if disk.failed().is_none() {
                    return Err(format!("the writers ended before the disk failed: {errors:?}").into());
                }
                poisoned(&store, kind, &errors, &mut losses).await;
                // Closing a poisoned store may fail; it must end.
                let _ = store.kv.close().await;
                Ok::<_, Failed>(())
            })?;
            while_opening += u64::from(opening_fault && model.acks == 0);

            // First the process alone starts again, then the power goes: both must have every acknowledged write.
            let lost_power = disk.after_power_loss(&mut rng, 512);
            for image in [disk.live(), lost_power] {
                let opening = wall();
                let reopened = Disk::with(image);
                let known = &mut model;
                runtime().block_on(async {
                    let store = open(&reopened).await?;
                    known.verify(&store, opening).await?;
                    known.verify_history(&history::all(&store).await?);
                    store.kv.put("after/reopen", "works").await?;
                    store.kv.close().await
                })?;
                // What the live image holds unsynced, a power cut may still take.
                model.forget_unacknowledged();
            }
            acks += model.acks;
            losses.append(&mut model.losses);
            if disk.operations() == created {
                return Err("the disk was not used".into());
            }
        }
    }
    println!(
        "faults F3: {} faults ({while_opening} while opening), {acks} acknowledged steps; {} losses",
        FAULTS.len() as u64 * ROUNDS,
        losses.len()
    );
    report(&losses)?;
    if acks < 200 {
        return Err(format!("{acks} acknowledgements prove too little").into());
    }
    Ok(())
}

/// A store that could not be opened must say why; the disk works again, so nothing may have stuck.
fn opened_late(disk: &Disk, error: &Error) -> Result<(), Failed> {
    match disk.failed() {
        Some(fault) if fault.kind == Kind::Enospc && *error.kind() != ErrorKind::StorageFull => {
            Err(format!("no room while opening is {error:?}").into())
        }
        Some(_) => Ok(()),
        None => Err(format!("opening failed on a good disk: {error}").into()),
    }
}

/// After the fault the disk works again, but the store must not: what it holds in memory is not what the disk holds.
async fn poisoned(store: &Store, kind: Kind, errors: &[Error], losses: &mut Vec<String>) {
    for error in errors {
        if error.retry() == Retry::Safe {
            losses.push(format!("a write that was in a failed commit may not be called safe to repeat: {error:?}"));
        }
    }
    if kind == Kind::Enospc && !errors.iter().any(|error| *error.kind() == ErrorKind::StorageFull) {
        losses.push(format!("no room is not told as such: {errors:?}"));
    }
    for attempt in 0..3 {
        match store.kv.put("after/fault", "x").await {
            Ok(pair) => losses.push(format!("attempt {attempt} after the fault was acknowledged: {pair:?}")),
            Err(error) if !error.to_string().contains("open") => {
                losses.push(format!("the error does not say to open it again: {error}"));
            }
            Err(_) => {}
        }
    }
}
