//! The Go package's actions and errors by their names.
#![allow(non_upper_case_globals, reason = "they are the Go package's spellings")]

use std::fmt;

use kvdb::{Capabilities, Error, ErrorKind};

/// What an event is about, with the Go package's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Action {
    /// The watch broke; nothing comes after it (-1).
    Error = -1,
    /// A key was read; no watch tells it (0).
    Get = 0,
    /// A key was written; watches tell it as [`Action::Update`] (1).
    Set = 1,
    /// A key was written: made or changed (2).
    Update = 2,
    /// A key was deleted, or its time to live ran out; or the watched directory is gone (3).
    Delete = 3,
    /// All that is watched as it is when the watch begins (4).
    Init = 4,
}

impl Action {
    /// The Go package's number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }
}

/// As the Go package writes it: a set is an update.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Get => "get",
            Self::Set | Self::Update => "update",
            Self::Delete => "delete",
            Self::Init => "init",
        })
    }
}

/// The watch broke; nothing comes after it.
pub const ERROR: Action = Action::Error;
/// A key was read; no watch tells it.
pub const GET: Action = Action::Get;
/// A key was written; watches tell it as [`UPDATE`].
pub const SET: Action = Action::Set;
/// A key was written: made or changed.
pub const UPDATE: Action = Action::Update;
/// A key was deleted, or its time to live ran out; or the watched directory is gone.
pub const DELETE: Action = Action::Delete;
/// All that is watched as it is when the watch begins.
pub const INIT: Action = Action::Init;

/// An error by the Go package's name: an [`Error`] equals the one that it is. The variants are the constants `Err..`.
///
/// ```
/// use kvdb::{Error, ErrorKind};
/// use kvdb_compat::libkv::{ErrKeyExists, ErrKeyNotFound};
///
/// let error = Error::new(ErrorKind::NotFound, "");
/// assert!(error == ErrKeyNotFound && error != ErrKeyExists);
/// assert_eq!(*Error::from(ErrKeyExists).kind(), ErrorKind::AlreadyExists);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorName {
    /// No linked or registered store has the name: `UnknownBackend`.
    BackendNotSupported,
    /// The store cannot do this: `Unsupported`.
    CallNotSupported,
    /// The store cannot be reached: `Unavailable`, `NoQuorum`, `Timeout` or `Closed`.
    NotReachable,
    /// A lock could not be had: `LockTimeout`, `LockHeld` or `LockLost`.
    CannotLock,
    /// The key was written since: `Modified` or `ValueMismatch`.
    KeyModified,
    /// The key is absent: `NotFound`.
    KeyNotFound,
    /// The condition of an atomic call is missing: `InvalidArgument`.
    PreviousNotSpecified,
    /// The key is present and should not be: `AlreadyExists`.
    KeyExists,
}

/// No linked or registered store has the name.
pub const ErrBackendNotSupported: ErrorName = ErrorName::BackendNotSupported;
/// The store cannot do this.
pub const ErrCallNotSupported: ErrorName = ErrorName::CallNotSupported;
/// The store cannot be reached.
pub const ErrNotReachable: ErrorName = ErrorName::NotReachable;
/// A lock could not be had.
pub const ErrCannotLock: ErrorName = ErrorName::CannotLock;
/// The key was written since.
pub const ErrKeyModified: ErrorName = ErrorName::KeyModified;
/// The key is absent.
pub const ErrKeyNotFound: ErrorName = ErrorName::KeyNotFound;
/// The condition of an atomic call is missing.
pub const ErrPreviousNotSpecified: ErrorName = ErrorName::PreviousNotSpecified;
/// The key is present and should not be.
pub const ErrKeyExists: ErrorName = ErrorName::KeyExists;

impl ErrorName {
    /// Whether an error of this kind is the one that is meant.
    #[must_use]
    pub const fn is(self, kind: &ErrorKind) -> bool {
        match self {
            Self::BackendNotSupported => matches!(kind, ErrorKind::UnknownBackend),
            Self::CallNotSupported => matches!(kind, ErrorKind::Unsupported(_)),
            Self::NotReachable => {
                matches!(kind, ErrorKind::Unavailable | ErrorKind::NoQuorum | ErrorKind::Timeout | ErrorKind::Closed)
            }
            Self::CannotLock => {
                matches!(kind, ErrorKind::LockTimeout { .. } | ErrorKind::LockHeld | ErrorKind::LockLost)
            }
            Self::KeyModified => matches!(kind, ErrorKind::Modified | ErrorKind::ValueMismatch),
            Self::KeyNotFound => matches!(kind, ErrorKind::NotFound),
            Self::PreviousNotSpecified => matches!(kind, ErrorKind::InvalidArgument),
            Self::KeyExists => matches!(kind, ErrorKind::AlreadyExists),
        }
    }

    /// The kind that an error of this name is made with.
    const fn kind(self) -> ErrorKind {
        match self {
            Self::BackendNotSupported => ErrorKind::UnknownBackend,
            Self::CallNotSupported => ErrorKind::Unsupported(Capabilities::empty()),
            Self::NotReachable => ErrorKind::Unavailable,
            Self::CannotLock => ErrorKind::LockTimeout { holder: None },
            Self::KeyModified => ErrorKind::Modified,
            Self::KeyNotFound => ErrorKind::NotFound,
            Self::PreviousNotSpecified => ErrorKind::InvalidArgument,
            Self::KeyExists => ErrorKind::AlreadyExists,
        }
    }
}

impl PartialEq<ErrorName> for Error {
    fn eq(&self, name: &ErrorName) -> bool {
        name.is(self.kind())
    }
}

/// For stores of one's own that answer by the Go package's names.
impl From<ErrorName> for Error {
    fn from(name: ErrorName) -> Self {
        Self::new(name.kind(), "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_the_one_it_is_made_of_and_no_other() {
        let all = [
            ErrBackendNotSupported,
            ErrCallNotSupported,
            ErrNotReachable,
            ErrCannotLock,
            ErrKeyModified,
            ErrKeyNotFound,
            ErrPreviousNotSpecified,
            ErrKeyExists,
        ];
        for made in all {
            let error = Error::from(made);
            for name in all {
                assert_eq!(error == name, made == name, "{made:?} and {name:?}");
            }
        }
    }
}
