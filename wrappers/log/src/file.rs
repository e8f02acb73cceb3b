use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use kvdb_core::{Error, ErrorKind, Result};

/// Where lines go.
#[derive(Debug)]
pub(crate) enum Sink {
    /// The end of a file.
    File(File),
    /// The stderr that the process has.
    Stderr,
}

/// Opens a log for appending; a new one can be read by its owner alone.
pub(crate) fn open(path: &Path) -> Result<Sink> {
    // Opened by its name, a stderr that is a file would have two places to write at, each over what the other wrote,
    // and one that is a socket would be refused.
    if path == Path::new("/dev/stderr") {
        return Ok(Sink::Stderr);
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    options.open(path).map(Sink::File).map_err(|source| {
        let message = format!("the log {} cannot be opened; check log_path and its rights", path.display());
        Error::new(ErrorKind::InvalidConfig, message).with_source(source)
    })
}

impl Sink {
    /// Appends one line in one write, so that lines of several processes do not mix.
    pub(crate) fn append(&self, line: &serde_json::Value) {
        let mut text = line.to_string();
        text.push('\n');
        let written = match self {
            Self::File(file) => (&mut &*file).write_all(text.as_bytes()),
            Self::Stderr => io::stderr().lock().write_all(text.as_bytes()),
        };
        // A full disk must not fail the call that is logged.
        if let Err(error) = written {
            tracing::warn!(target: "kvdb::log", %error, "the log cannot be written");
        }
    }
}
