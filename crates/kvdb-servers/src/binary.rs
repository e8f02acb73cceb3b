//! Where the servers are.

use std::io;
use std::path::PathBuf;

/// The directory that `fetch.sh` unpacks into.
pub(crate) fn directory() -> PathBuf {
    match std::env::var_os("KVDB_SERVERS_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/servers")),
    }
}

/// The binary `name` of the package `package`.
pub(crate) fn find(package: &str, name: &str) -> io::Result<PathBuf> {
    let path = directory().join(package).join("usr/bin").join(name);
    if path.is_file() {
        return Ok(path);
    }
    let text = format!("there is no {name} at {}: run crates/kvdb-servers/fetch.sh {package}", path.display());
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}
