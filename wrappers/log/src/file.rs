use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use kvdb_core::{Error, ErrorKind, Result};

/// Opens a log for appending; a new one can be read by its owner alone.
pub(crate) fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    options.open(path).map_err(|source| {
        let message = format!("the log {} cannot be opened; check log_path and its rights", path.display());
        Error::new(ErrorKind::InvalidConfig, message).with_source(source)
    })
}

/// Appends one line in one write, so that lines of several processes do not mix.
pub(crate) fn append(mut file: &File, line: &serde_json::Value) {
    let mut text = line.to_string();
    text.push('\n');
    // A full disk must not fail the call that is logged.
    if let Err(error) = file.write_all(text.as_bytes()) {
        tracing::warn!(target: "kvdb::log", %error, "the log cannot be written");
    }
}
