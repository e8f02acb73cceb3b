//! `kvdb demo`: every promise of the contract's heart, shown on a real store, one a line.

mod fence;
mod lock;
mod put_get;
mod race;
mod reopen;
mod report;
mod ttl;
mod watch;

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kvdb::prelude::*;

pub use report::{Line, Report, Verdict};

use crate::failure::Failure;
use report::Shown;

/// Longer than any promise takes on a store that is alive; a line that takes longer is broken.
const LIMIT: Duration = Duration::from_secs(60);

/// Opens the store, shows every promise below a directory of its own, removes that again and closes the store.
///
/// `open` is called twice on a durable store, which is closed in between; `out` gets each line as it is known.
///
/// # Errors
/// What `open`, the removal, closing or `out` answers. A broken promise is no error but a line of the report.
pub async fn run<F, Fut>(open: F, out: &mut impl FnMut(&Line) -> Result<(), Failure>) -> Result<Report, Failure>
where
    F: Fn() -> Fut,
    Fut: Future<Output = kvdb::Result<Handle>>,
{
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let base = format!("kvdb-demo/{}-{}", std::process::id(), now.as_nanos());
    let kv = open().await?;
    let mut report = Report::default();
    report.add(show("put and get", put_get::show(&kv, &base)).await, out)?;
    report.add(show("compare and set", race::show(&kv, &base)).await, out)?;
    report.add(show("watch", watch::show(&kv, &base)).await, out)?;
    report.add(show("lock", lock::show(&kv, &base)).await, out)?;
    report.add(show("fence", fence::show(&kv, &base)).await, out)?;
    report.add(show("time to live", ttl::show(&kv, &base)).await, out)?;
    let (line, kv) = reopen::show(kv, &base, &open).await?;
    report.add(line, out)?;
    kv.delete_tree(&base).await?;
    kv.close().await?;
    Ok(report)
}

/// Runs an act within the time it may take.
async fn show(promise: &'static str, act: impl Future<Output = Shown>) -> Line {
    let shown = tokio::time::timeout(LIMIT, act).await;
    let shown = shown.unwrap_or_else(|_| Err(format!("nothing came of it within {LIMIT:?}").into()));
    Line::new(promise, shown)
}
