use std::time::Duration;

use kvdb_core::Limits;
use kvdb_core::options::duration;
use kvdb_core::toolkit::{History, TTL_MAX, TTL_MIN, TTL_SLACK};
use serde::Deserialize;

/// The options of a memory store. Of a store shared by name those of its first handle count.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfig {
    /// How many revisions of history are kept at least, for watches and past reads; 0 keeps all. Default 10,000.
    pub history_revisions: u64,
    /// How long history is kept at least; what is older may go even within `history_revisions`. Off by default.
    #[serde(with = "duration::optional")]
    pub history_age: Option<Duration>,
    /// The largest value in bytes. Default 16 MiB.
    pub max_value_bytes: usize,
    /// How long an unfinished listing holds the history it reads. Default 60 s.
    #[serde(with = "duration")]
    pub list_life: Duration,
    /// Keep a named store for the life of the process, even while no handle is open.
    pub keep: bool,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            history_revisions: 10_000,
            history_age: None,
            max_value_bytes: 16 << 20,
            list_life: Duration::from_secs(60),
            keep: false,
        }
    }
}

impl MemoryConfig {
    pub(crate) fn limits(&self) -> Limits {
        const KEY_BYTES: usize = 64 << 10;
        Limits {
            key_bytes: KEY_BYTES,
            value_bytes: self.max_value_bytes,
            batch_ops: 100_000,
            // Whatever a value may have, one must fit.
            batch_bytes: (16 << 20).max(self.max_value_bytes.saturating_add(KEY_BYTES)),
            leases_per_batch: 100_000,
            ttl_min: TTL_MIN,
            ttl_max: Some(TTL_MAX),
            ttl_granularity: TTL_MIN,
            ttl_slack: TTL_SLACK,
        }
    }

    pub(crate) fn history(&self) -> History {
        History::new(self.history_revisions, self.history_age)
    }
}
