use std::time::Duration;

/// The options of the no-quorum wrapper.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NoQuorumConfig {
    /// Raise and lower by itself instead of being raised until it is taken off.
    pub auto: bool,
    /// How long a store must be out of reach before `auto` raises it.
    #[serde(with = "kvdb_core::options::duration")]
    pub unreachable: Duration,
    /// How often `auto` looks whether the store is back.
    #[serde(with = "kvdb_core::options::duration")]
    pub probe: Duration,
}

impl Default for NoQuorumConfig {
    /// 5 s without an answer is longer than a usual election; a probe a second costs nothing.
    fn default() -> Self {
        Self { auto: false, unreachable: Duration::from_secs(5), probe: Duration::from_secs(1) }
    }
}
