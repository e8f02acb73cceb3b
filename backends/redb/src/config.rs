use std::time::Duration;

use kvdb_core::Limits;
use kvdb_core::options::duration;
use kvdb_core::toolkit::{History, TTL_MAX, TTL_MIN, TTL_SLACK};
use serde::Deserialize;

/// When a write counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// On disk, in two phases, with what a fast repair needs: opening after a crash takes no walk over the file.
    #[default]
    Full,
    /// On disk, in one phase: fewer syncs, but opening after a crash checks the whole file first.
    Fast,
    /// In memory: lost when the process or the machine dies, all since the last orderly close. For throw-away data.
    None,
}

/// The options of a file store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedbConfig {
    /// When a write counts as done: `full`, `fast` or `none`. Default `full`.
    pub durability: Durability,
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
    /// Memory for pages of the file, in bytes. Default 128 MiB.
    pub cache_bytes: usize,
    /// How many small values, of 512 bytes at most, are kept in memory once they were read. Default 131,072; 0 is
    /// none.
    pub cached_rows: usize,
    /// Memory for writes that wait for their turn, in bytes; more writers wait. Default 64 MiB.
    pub queue_bytes: usize,
}

impl Default for RedbConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            history_revisions: 10_000,
            history_age: None,
            max_value_bytes: 16 << 20,
            list_life: Duration::from_secs(60),
            cache_bytes: 128 << 20,
            cached_rows: 128 << 10,
            queue_bytes: 64 << 20,
        }
    }
}

impl RedbConfig {
    pub(crate) fn limits(&self) -> Limits {
        const KEY_BYTES: usize = 64 << 10;
        Limits {
            key_bytes: KEY_BYTES,
            // Rows hold a value's length as 32 bits.
            value_bytes: self.max_value_bytes.min(2 << 30),
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
