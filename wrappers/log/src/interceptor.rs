use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use kvdb_core::{
    Before, Call, End, Interceptor, Kvdb, Options, Placement, Result, Wrapper, WrapperFactory, WrapperRegistration,
};
use serde_json::json;

use crate::LogConfig;
use crate::file::{self, Sink};

/// How the registry knows this wrapper.
pub static FACTORY: WrapperFactory = WrapperFactory {
    name: "log",
    aliases: &["Wrapper_Log"],
    package: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
    make,
};

kvdb_core::inventory::submit! { WrapperRegistration(&FACTORY) }

fn make(options: &Options, _base: &Arc<dyn Kvdb>) -> Result<Arc<dyn Wrapper>> {
    Ok(Arc::new(Log::new(&options.backend_config()?)?))
}

/// Writes a line when a call has ended.
#[derive(Debug)]
pub struct Log {
    file: Option<Sink>,
}

impl Log {
    /// A log to `tracing` and, if the config names one, to a file.
    ///
    /// # Errors
    /// `InvalidConfig` naming the file that cannot be opened.
    pub fn new(config: &LogConfig) -> Result<Self> {
        Ok(Self { file: config.log_path.as_deref().map(file::open).transpose()? })
    }
}

impl Interceptor for Log {
    type Note = Instant;

    fn name(&self) -> &'static str {
        FACTORY.name
    }

    fn placement(&self) -> Placement {
        Placement::Observe
    }

    fn before<'a>(&'a self, _call: &Call<'_>) -> Before<'a, Instant> {
        Before::Go(Instant::now())
    }

    fn after(&self, began: Instant, call: &Call<'_>, end: &End<'_>) {
        let elapsed = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let verb = call.operation.as_str();
        let kind = end.error.map(|error| error.kind().describe());
        let outcome = if end.error.is_some() { "error" } else { "ok" };
        let revision = end.revision.map(kvdb_core::Revision::get);
        tracing::info!(
            target: "kvdb::log",
            verb, key = call.key, outcome, kind, revision, sent = call.sent, received = end.received, elapsed_us = elapsed,
        );
        if let Some(log) = &self.file {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
            let line = json!({
                "time": now, "verb": verb, "key": call.key, "outcome": outcome, "kind": kind, "revision": revision,
                "sent": call.sent, "received": end.received, "elapsed_us": elapsed,
            });
            log.append(&line);
        }
    }
}
