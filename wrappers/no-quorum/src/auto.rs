//! Raising and lowering by itself.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use kvdb_core::{Error, ErrorKind, GetOptions, Kvdb};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::NoQuorumConfig;

/// What `auto` needs: the store below all wrappers for its probes, and since when it has been out of reach.
#[derive(Debug)]
pub(crate) struct Auto {
    base: Weak<dyn Kvdb>,
    runtime: tokio::runtime::Handle,
    unreachable: Duration,
    probe: Duration,
    failing_since: Mutex<Option<Instant>>,
}

impl Auto {
    pub(crate) fn new(config: &NoQuorumConfig, base: &Arc<dyn Kvdb>, runtime: tokio::runtime::Handle) -> Self {
        Self {
            base: Arc::downgrade(base),
            runtime,
            unreachable: config.unreachable,
            probe: config.probe,
            failing_since: Mutex::new(None),
        }
    }

    /// Looks at how a call ended; raises if it is time to.
    pub(crate) fn saw(&self, error: Option<&Error>, raised: &watch::Sender<bool>) {
        let lost = match error.map(Error::kind) {
            Some(ErrorKind::NoQuorum) => true,
            Some(ErrorKind::Unavailable | ErrorKind::Timeout) => {
                let mut since = self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
                since.get_or_insert_with(Instant::now).elapsed() >= self.unreachable
            }
            // Any other answer came from the store.
            _ => {
                *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
                false
            }
        };
        let rises = lost && raised.send_if_modified(|raised| !std::mem::replace(raised, true));
        if rises {
            // The next outage begins anew.
            *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
            tracing::warn!(target: "kvdb::no_quorum", "the store is out of reach: calls are refused until it is back");
            self.runtime.spawn(probe(self.base.clone(), self.probe, raised.clone()));
        }
    }
}

/// Asks the store until it answers, then lowers. Ends with the handle.
async fn probe(base: Weak<dyn Kvdb>, pause: Duration, raised: watch::Sender<bool>) {
    loop {
        tokio::time::sleep(pause).await;
        let Some(kvdb) = base.upgrade() else { return };
        let mut options = GetOptions::default();
        options.timeout = Some(pause.max(Duration::from_millis(100)));
        let answer = kvdb.get_opts("no-quorum-probe", options).await;
        let out_of_reach =
            |error: &Error| matches!(error.kind(), ErrorKind::NoQuorum | ErrorKind::Unavailable | ErrorKind::Timeout);
        if !answer.as_ref().is_err_and(out_of_reach) {
            raised.send_replace(false);
            tracing::info!(target: "kvdb::no_quorum", "the store is back");
            return;
        }
    }
}
