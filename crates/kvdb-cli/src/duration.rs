//! Durations on the command line: `500ms`, `10s`, `2m`; a bare number is seconds.

use std::time::Duration;

/// Reads a duration as options do.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    kvdb::options::duration::parse(text).map_err(|_| "write a duration such as 500ms, 10s or 2m".to_owned())
}
