//! What stores on real servers share.

use std::io;

use kvdb_core::{Error, ErrorKind, Result};

/// Runs what waits for servers beside the runtime.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done);
    done.map_err(|source| Error::new(ErrorKind::Internal, "the servers of the trial failed").with_source(source))
}

/// The answer to a trial that would restart servers which are not its own.
pub(crate) fn shared() -> Error {
    Error::new(ErrorKind::Internal, "other trials use these servers too")
}
