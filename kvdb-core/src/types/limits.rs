use std::time::Duration;

/// What a store can take, as left for the caller: the engine refuses more before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a key, the domain included.
    pub key_bytes: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Guards and writes of one batch.
    pub batch_ops: usize,
    /// Bytes of one batch: all its keys and values.
    pub batch_bytes: usize,
    /// Different leases in one batch.
    pub leases_per_batch: usize,
    /// The shortest TTL that is granted.
    pub ttl_min: Duration,
    /// The longest TTL, where there is a bound.
    pub ttl_max: Option<Duration>,
    /// TTLs are rounded up to a multiple of this.
    pub ttl_granularity: Duration,
    /// How long after its TTL a key may still be seen.
    pub ttl_slack: Duration,
}
