//! What redb's errors mean.

use std::fmt;
use std::io;
use std::sync::Arc;

use kvdb_core::{Error, ErrorKind, Retry};

/// Why the store cannot go on. Kept, so that every later call answers the same.
#[derive(Clone)]
pub(crate) struct Failure {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Lets many errors share one source.
#[derive(Debug)]
struct Shared(Arc<dyn std::error::Error + Send + Sync>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// What an error of the storage means.
    pub(crate) fn of(error: impl Into<redb::Error>) -> Self {
        let error = error.into();
        let (kind, message) = meaning(&error);
        Self { kind, message: message.to_owned(), source: Some(Arc::new(error)) }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, what)
    }

    /// Says in front what was being done, or to which file.
    pub(crate) fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// For a call that came after the failure: surely nothing was written.
    pub(crate) fn error(&self) -> Error {
        let error = Error::new(self.kind.clone(), self.message.clone()).with_retry(Retry::Never);
        match &self.source {
            Some(source) => error.with_source(Shared(Arc::clone(source))),
            None => error,
        }
    }

    /// For a write that was in flight.
    pub(crate) fn ambiguous(&self) -> Error {
        self.error().with_retry(Retry::Ambiguous)
    }
}

/// The one mapping of redb's errors.
fn meaning(error: &redb::Error) -> (ErrorKind, &'static str) {
    use redb::Error as E;
    match error {
        E::DatabaseAlreadyOpen => {
            (ErrorKind::AlreadyOpen, "another handle or process has the file open: close it first, or share its handle")
        }
        E::Corrupted(_) | E::RepairAborted => {
            (ErrorKind::Corrupt, "the file is damaged: restore it from a copy, or move it away to start anew")
        }
        E::UpgradeRequired(_) => (
            ErrorKind::Corrupt,
            "the file has another format of the storage library: open it with the release that wrote it",
        ),
        E::TableTypeMismatch { .. }
        | E::TableIsMultimap(_)
        | E::TableIsNotMultimap(_)
        | E::TypeDefinitionChanged { .. }
        | E::TableDoesNotExist(_) => {
            (ErrorKind::Corrupt, "the file is not a kvdb store: name another one, or move it away to start anew")
        }
        E::Io(source) => io_meaning(source),
        E::PreviousIo => (ErrorKind::Unavailable, "the disk failed before: open the file again"),
        E::DatabaseClosed => (ErrorKind::Closed, "open the store again"),
        E::ValueTooLarge(_) => (ErrorKind::TooLarge { limit: 3 << 30 }, "a row may have at most 3 GiB"),
        E::Unsupported => {
            (ErrorKind::Unavailable, "the storage cannot do what a store needs, such as locking the file")
        }
        // What is left is the misuse of the library: a bug of this crate.
        _ => (ErrorKind::Internal, "the storage was used wrongly: report this, and open the file again"),
    }
}

fn io_meaning(error: &io::Error) -> (ErrorKind, &'static str) {
    use io::ErrorKind as K;
    match error.kind() {
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge => {
            (ErrorKind::StorageFull, "the disk is full: make room, then open the file again")
        }
        K::PermissionDenied | K::ReadOnlyFilesystem => {
            (ErrorKind::PermissionDenied, "the file may not be read and written by this user")
        }
        K::InvalidData | K::UnexpectedEof => (
            ErrorKind::Corrupt,
            "the file is damaged or not a kvdb store: name another one, or move it away to start anew",
        ),
        K::NotFound => (ErrorKind::InvalidConfig, "the directory of the file does not exist: create it first"),
        K::IsADirectory => (ErrorKind::InvalidConfig, "it is a directory: name a file"),
        _ => (ErrorKind::Unavailable, "the disk failed: open the file again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_storage_error_has_a_kind_and_a_way_out() {
        let io = |kind: io::ErrorKind| redb::Error::Io(io::Error::from(kind));
        let table = [
            (redb::Error::DatabaseAlreadyOpen, ErrorKind::AlreadyOpen, "close it"),
            (redb::Error::Corrupted("x".into()), ErrorKind::Corrupt, "copy"),
            (redb::Error::RepairAborted, ErrorKind::Corrupt, "copy"),
            (redb::Error::UpgradeRequired(2), ErrorKind::Corrupt, "release"),
            (redb::Error::TableDoesNotExist("log".into()), ErrorKind::Corrupt, "name another"),
            (redb::Error::TableIsMultimap("log".into()), ErrorKind::Corrupt, "name another"),
            (redb::Error::PreviousIo, ErrorKind::Unavailable, "again"),
            (redb::Error::DatabaseClosed, ErrorKind::Closed, "again"),
            (redb::Error::ValueTooLarge(1), ErrorKind::TooLarge { limit: 3 << 30 }, "GiB"),
            (redb::Error::InvalidSavepoint, ErrorKind::Internal, "report"),
            (redb::Error::from(redb::CommitError::TransactionPoisoned), ErrorKind::Internal, "report"),
            (io(io::ErrorKind::StorageFull), ErrorKind::StorageFull, "room"),
            (io(io::ErrorKind::QuotaExceeded), ErrorKind::StorageFull, "room"),
            (io(io::ErrorKind::PermissionDenied), ErrorKind::PermissionDenied, "user"),
            (io(io::ErrorKind::InvalidData), ErrorKind::Corrupt, "move it away"),
            (io(io::ErrorKind::UnexpectedEof), ErrorKind::Corrupt, "move it away"),
            (io(io::ErrorKind::NotFound), ErrorKind::InvalidConfig, "create it"),
            (io(io::ErrorKind::IsADirectory), ErrorKind::InvalidConfig, "name a file"),
            (io(io::ErrorKind::Other), ErrorKind::Unavailable, "again"),
        ];
        for (error, kind, way_out) in table {
            let text = error.to_string();
            let answer = Failure::of(error).error();
            assert_eq!(*answer.kind(), kind, "{text}");
            assert!(answer.to_string().contains(way_out), "{answer}");
            assert!(std::error::Error::source(&answer).is_some(), "{answer}");
        }
    }

    #[test]
    fn only_a_write_in_flight_is_ambiguous() {
        let failure = Failure::of(redb::Error::PreviousIo);
        assert_eq!(failure.error().retry(), Retry::Never);
        assert_eq!(failure.ambiguous().retry(), Retry::Ambiguous);
    }
}
