//! The stores of this process, on a line that loses requests and answers: the run without servers.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use kvdb::prelude::*;
use kvdb::{Backend, Capabilities};
use kvdb_testsuite::decorate::{Call, Fault, Faulty, Without};
use kvdb_testsuite::{Place, Store};
use libtest_mimic::Failed;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::load::{Open, TIMEOUT};
use crate::run::{Ended, Plan, run};

/// Calls of a run: their writes stay inside the history of a memory store.
const OPERATIONS: usize = 3_000;
const RUNS: u64 = 5;

/// What a line says of a write whose answer it lost.
#[derive(Clone, Copy, Debug)]
enum Says {
    /// That nobody knows.
    Unknown,
    /// That it surely was not sent: a lie.
    Unsent,
}

/// One call in twenty-five: its answer is lost, or it is.
fn fault(call: &Call, says: Says, rng: &mut StdRng) -> Fault {
    let unsent = || Error::new(ErrorKind::Unavailable, "the line is cut");
    let lost = || match says {
        Says::Unknown => unsent().with_retry(Retry::Ambiguous),
        Says::Unsent => unsent(),
    };
    let writes = matches!(call, Call::Commit(_) | Call::NativeTxn(_));
    match rng.random_range(0..100) {
        _ if *call == Call::Close => Fault::None,
        0..2 if writes => Fault::LoseReply(lost()),
        2..3 if writes => Fault::Refuse(lost()),
        0..4 => Fault::Refuse(unsent()),
        _ => Fault::None,
    }
}

/// Opens clients; `says` makes their lines faulty.
fn opener(
    name: &'static str,
    (place, domains): (&Arc<dyn Place>, &str),
    lacks: Capabilities,
    says: Option<Says>,
    seed: u64,
) -> Open {
    let (place, domains) = (Arc::clone(place), domains.to_owned());
    let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
    Arc::new(move |domain| {
        let (place, rng, domain) = (Arc::clone(&place), Arc::clone(&rng), format!("{domains}/{domain}"));
        async move {
            let options = Options::new().timeout(TIMEOUT);
            let mut backend: Arc<dyn Backend> = Arc::new(Without::new(place.connect(&options).await?, lacks));
            if let Some(says) = says {
                backend = Arc::new(Faulty::new(backend, move |call| fault(call, says, &mut crate::locked(&rng))));
            }
            Handle::open(name, backend, &domain, &options)
        }
        .boxed()
    })
}

fn one(store: &Arc<dyn Store>, lacks: Capabilities, says: Says, seed: u64) -> Result<Ended, Failed> {
    crate::runtime().block_on(async {
        let place: Arc<dyn Place> = store.place().await?.into();
        // A place may be shared.
        let domains = format!("trial-{:016x}", rand::random::<u64>());
        let plan = Plan {
            name: format!("{} F7{}", store.name(), if lacks.is_empty() { "" } else { " by cuts" }),
            clients: 16,
            operations: OPERATIONS,
            seed,
            open: opener(store.name(), (&place, &domains), lacks, Some(says), seed),
            // What the clients may not use, the checks may.
            calm: opener(store.name(), (&place, &domains), Capabilities::empty(), None, seed),
            pinned: Vec::new(),
        };
        run(plan, async |_| Ok("3 of 100 writes without an answer".to_owned())).await
    })
}

/// Runs the clients against a store whose line loses requests and answers.
pub(crate) fn lost_answers(store: &Arc<dyn Store>, seed: u64) -> Result<(), Failed> {
    (0..RUNS).try_for_each(|n| one(store, Capabilities::empty(), Says::Unknown, seed.wrapping_add(n))?.report())
}

/// The same run on a store that tells cuts, reads no past and evaluates no transactions.
pub(crate) fn by_cuts(store: &Arc<dyn Store>, seed: u64) -> Result<(), Failed> {
    // With WATCH_RESUME: without it a create whose answer was lost, and that somebody deletes at once, is done again.
    let lacks = Capabilities::ORDERED_UPDATES | Capabilities::REVISION_READS | Capabilities::NATIVE_TXN;
    one(store, lacks, Says::Unknown, seed)?.report()
}

/// The same run finds a line that calls a write unsent whose answer it lost.
pub(crate) fn lies(store: &Arc<dyn Store>, seed: u64) -> Result<(), Failed> {
    let Ended { broken, .. } = one(store, Capabilities::empty(), Says::Unsent, seed)?;
    let by_history = store.capabilities().contains(Capabilities::ORDERED_UPDATES | Capabilities::WATCH_RESUME);
    for kind in ["is not linearizable", "doubled: "].iter().take(1 + usize::from(by_history)) {
        if !broken.iter().any(|broken| broken.contains(kind)) {
            return Err(format!("a lying line goes unnoticed, {kind:?} is not in {broken:#?}").into());
        }
    }
    println!("faults {} F7: a line that lies is found", store.name());
    Ok(())
}
