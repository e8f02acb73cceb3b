//! What etcd can take, with its default settings.

use std::time::Duration;

use kvdb_core::Limits;

/// A whole request as etcd's log has it: its `--max-request-bytes` is 1.5 MiB unless set otherwise.
const REQUEST_BYTES: usize = 1536 << 10;
/// What a request adds to its keys and values: at most about 50 bytes for each of its parts, of which there are
/// [`BATCH_OPS`], and the user's name.
const OVERHEAD_BYTES: usize = 16 << 10;
/// Bytes of a key. etcd has no such bound of its own; this one leaves each key room for each value.
const KEY_BYTES: usize = 64 << 10;
/// etcd's `--max-txn-ops` is 128 unless set otherwise. It counts compares, `then` and `otherwise` apart.
const BATCH_OPS: usize = 128;
/// etcd's own bound, in seconds (`lease.MaxLeaseTTL`).
const TTL_MAX: u64 = 9_000_000_000;
/// The leader looks for leases that ran out every 500 ms, and none ends while the members elect a new one, which takes
/// one to two election timeouts (1 s by default). A new leader begins every lease's time anew.
const TTL_SLACK: Duration = Duration::from_secs(3);

/// The limits of a store whose shortest time to live is known to be this many seconds.
pub(crate) const fn limits(ttl_min: u64) -> Limits {
    let batch_bytes = REQUEST_BYTES - OVERHEAD_BYTES;
    Limits {
        key_bytes: KEY_BYTES,
        value_bytes: batch_bytes - KEY_BYTES,
        batch_ops: BATCH_OPS,
        batch_bytes,
        leases_per_batch: BATCH_OPS,
        ttl_min: Duration::from_secs(ttl_min),
        ttl_max: Some(Duration::from_secs(TTL_MAX)),
        ttl_granularity: Duration::from_secs(1),
        ttl_slack: TTL_SLACK,
    }
}
