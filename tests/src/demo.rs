//! What `kvdb demo` shows holds on every store.

use std::sync::Arc;

use kvdb::prelude::*;
use kvdb_cli::demo::{self, Verdict};
use kvdb_core::Capabilities;
use kvdb_testsuite::{Failure, Place, Proof, Store, ensure, ensure_eq};
use libtest_mimic::{Failed, Trial};

/// The promises that the demo shows.
const PROMISES: usize = 7;

/// A trial of each store.
#[must_use]
pub fn trials(stores: &[Arc<dyn Store>]) -> Vec<Trial> {
    let trial = |store: &Arc<dyn Store>| {
        let store = Arc::clone(store);
        Trial::test(format!("demo: every promise that it shows holds [{}]", store.label()), move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(show(&*store)).map_err(|failure| Failed::from(failure.to_string()))
        })
    };
    stores.iter().map(trial).collect()
}

async fn show(store: &dyn Store) -> Proof {
    let place: Arc<dyn Place> = store.place().await?.into();
    // A place may be shared.
    let domain = format!("trial-{:016x}", rand::random::<u64>());
    let (name, options) = (store.name(), Options::new());
    let open = || async {
        let backend = place.connect(&options).await?;
        Handle::open(name, backend, &domain, &options)
    };
    let mut told = Vec::new();
    let mut tell = |line: &demo::Line| {
        told.push(line.to_string());
        Ok(())
    };
    let report = demo::run(open, &mut tell).await;
    let report = report.map_err(|failure| Failure::new(format_args!("the demo broke off: {failure:?}")))?;
    ensure!(report.exit_code() == 0, "{}:\n{}", report.summary(), told.join("\n"));
    // Nothing but a store that dies with its process leaves one out.
    let absent = usize::from(!store.capabilities().contains(Capabilities::DURABLE));
    ensure_eq!(report.count(Verdict::Absent), absent, "left out of:\n{}", told.join("\n"));
    ensure_eq!(report.count(Verdict::Held), PROMISES - absent, "held of:\n{}", told.join("\n"));
    Ok(())
}
