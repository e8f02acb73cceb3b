//! F2: the power goes. Unsynced writes are dropped, torn and reordered, also while recovering from the last time.

use std::sync::{Arc, Mutex};

use kvdb::prelude::*;
use kvdb::toolkit::SystemClock;
use kvdb_redb::{RedbBackend, RedbConfig};
use libtest_mimic::Failed;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::disk::Disk;
use crate::history;
use crate::kill::report;
use crate::model::Model;
use crate::note::Note;
use crate::work::{self, Sink, Store, wall};

/// Files of each sector size.
const FILES: u64 = 12;
/// Cuts of one file: each recovers from the one before.
const CUTS_A_FILE: u64 = 8;
const WRITERS: u32 = 8;

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Opens the store on a disk.
pub(crate) async fn open(disk: &Disk) -> Result<Store> {
    let config: RedbConfig = Options::new().set("history_revisions", 0).backend_config()?;
    Store::over(Arc::new(RedbBackend::open_with(disk.clone(), config, Arc::new(SystemClock::default())).await?))
}

/// Writes until the disk fails; answers what the writers told and the errors they ended with.
pub(crate) async fn work_until_failure(store: &Store, first: u64) -> (Vec<Note>, Vec<Error>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let sink: Sink = {
        let notes = Arc::clone(&notes);
        Arc::new(move |note| notes.lock().unwrap().push(note))
    };
    let follower = tokio::spawn(history::follow(store.clone(), Arc::clone(&sink)));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(work::write(store.clone(), writer, first + u64::from(writer), Arc::clone(&sink)));
    }
    let errors = writers.join_all().await;
    follower.abort();
    let _ = follower.await;
    let notes = std::mem::take(&mut *notes.lock().unwrap());
    (notes, errors)
}

/// Cuts the power over and over and compares each time.
pub(crate) fn rounds(seed: u64, sector: u64) -> Result<(), Failed> {
    let mut rng = StdRng::seed_from_u64(seed ^ sector);
    let (mut acks, mut steps, mut whole, mut cuts, mut in_recovery, mut unborn) = (0, 0, 0, 0, 0, 0);
    let mut losses = Vec::new();
    for _ in 0..FILES {
        let mut model = Model::default();
        let mut image = Vec::new();
        for cut in 0..CUTS_A_FILE {
            let disk = Disk::with(image);
            // Small numbers fall into creation and recovery, large ones into the writers' commits.
            let range = if rng.random_bool(0.25) { 1..=20 } else { 20..=400 };
            disk.cut_after(rng.random_range(range));
            let notes = run_until_dark(&disk, cut)?;
            cuts += 1;
            in_recovery += u64::from(notes.is_none());
            model.absorb(notes.unwrap_or_default());
            image = disk.after_power_loss(&mut rng, sector);

            let recovered = Disk::with(image.clone());
            let opening = wall();
            let left = runtime().block_on(async {
                let store = match open(&recovered).await {
                    Ok(store) => store,
                    // A file that was cut while it was made may be refused, as long as it says so.
                    Err(error) if *error.kind() == ErrorKind::Corrupt && model.acks == 0 => return Ok(None),
                    Err(error) => return Err(error),
                };
                let left = model.verify(&store, opening).await?;
                model.verify_history(&history::all(&store).await?);
                store.kv.close().await?;
                Ok(Some(left))
            })?;
            let Some(left) = left else {
                unborn += 1;
                image = Vec::new();
                continue;
            };
            steps += left.steps;
            whole += left.whole;
            // Every other time the next round recovers from the torn image once more.
            if cut % 2 == 0 {
                image = recovered.live();
            }
        }
        acks += model.acks;
        losses.append(&mut model.losses);
    }
    println!(
        "power F2 at {sector} B: {cuts} cuts ({in_recovery} while opening, {unborn} of a file without a write), {acks} \
         acknowledged steps, {steps} in flight, of which {whole} stand whole; {} losses",
        losses.len()
    );
    report(&losses)?;
    if acks < 200 || in_recovery == 0 {
        return Err(format!("{acks} acknowledgements and {in_recovery} cuts while opening prove too little").into());
    }
    Ok(())
}

/// Opens and writes until the power goes; `None` if it went before the store was open.
fn run_until_dark(disk: &Disk, round: u64) -> Result<Option<Vec<Note>>, Failed> {
    runtime().block_on(async {
        let store = match open(disk).await {
            Ok(store) => store,
            Err(_) if disk.is_dark() => return Ok(None),
            Err(error) => return Err(Failed::from(error)),
        };
        let (notes, errors) = work_until_failure(&store, (round + 1) * 1_000_000).await;
        if !disk.is_dark() {
            return Err(format!("the writers ended with the power on: {errors:?}").into());
        }
        // Closing on a dead disk may fail; it must end.
        let _ = store.kv.close().await;
        Ok(Some(notes))
    })
}
