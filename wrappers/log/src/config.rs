use std::path::PathBuf;

use serde::Deserialize;

/// The options of the log wrapper.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LogConfig {
    /// A file that lines are appended to as JSON (the reference library's `LogPathOption`); made with mode 0600.
    /// `/dev/stderr` is the stderr of the process.
    pub log_path: Option<PathBuf>,
}
