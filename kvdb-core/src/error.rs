//! One error type that answers: which kind, may I retry, what was being done to which key, what caused it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::{Capabilities, Operation, Revision};

/// The result of every fallible call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. One pointer wide; it never holds a value or a secret.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    message: Cow<'static, str>,
    operation: Option<Operation>,
    key: Option<String>,
    backend: Option<&'static str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Whether the same call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// The same call fails again until something else changes.
    Never,
    /// Surely nothing was written: the same call may be made again.
    Safe,
    /// The write was sent and not answered: it may or may not stand. Read before writing again.
    Ambiguous,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The key is absent.
    NotFound,
    /// The key is present and should not be.
    AlreadyExists,
    /// The key was written since the revision that was named.
    Modified,
    /// The key's value is not the one that was named.
    ValueMismatch,
    /// The store cannot do this; the capability it lacks.
    Unsupported(Capabilities),
    /// No linked backend has this name.
    UnknownBackend,
    /// No linked wrapper has this name.
    UnknownWrapper,
    /// A value could not be encoded or decoded.
    Serialization,
    /// The call's arguments make no sense.
    InvalidArgument,
    /// The options or endpoints make no sense; nothing was connected.
    InvalidConfig,
    /// The TTL is outside the store's bounds.
    TtlNotSupported {
        /// The shortest TTL.
        min: Duration,
        /// The longest TTL, where there is one.
        max: Option<Duration>,
    },
    /// The guard does not belong to this store or handle, or others take the lock in another way.
    InvalidLock,
    /// The lock was not free within the wait.
    LockTimeout {
        /// The id of the one who holds it.
        holder: Option<String>,
    },
    /// The lock was lost: it is no longer held by this guard.
    LockLost,
    /// The lock was held longer than was allowed.
    LockHoldTimeout,
    /// This handle holds the lock already.
    LockHeld,
    /// The store cannot be reached.
    Unavailable,
    /// The store's cluster has lost its quorum.
    NoQuorum,
    /// The watch was stopped.
    WatchStopped,
    /// The history that was asked for is gone.
    Compacted {
        /// The oldest revision that can still be read.
        oldest: Revision,
    },
    /// The revision lies in the future.
    FutureRevision {
        /// The store's present revision.
        current: Revision,
    },
    /// The cluster has no such member.
    MemberNotFound,
    /// The directory has keys.
    NotEmpty,
    /// The stored data is damaged or foreign.
    Corrupt,
    /// The disk is full.
    StorageFull,
    /// Another handle or process has the file open.
    AlreadyOpen,
    /// Over a limit; nothing was sent.
    TooLarge {
        /// The limit, in the unit that the message names.
        limit: usize,
    },
    /// The store does not know who we are.
    Unauthenticated,
    /// The store knows us and refuses.
    PermissionDenied,
    /// The lease does not exist or has run out.
    LeaseNotFound,
    /// Others wrote the same keys until the deadline.
    Contention,
    /// The deadline passed.
    Timeout,
    /// The handle cannot write.
    ReadOnly,
    /// The handle was closed.
    Closed,
    /// A bug in this library, or a callback's own failure.
    Internal,
}

impl ErrorKind {
    /// The kind in plain words.
    #[must_use]
    pub const fn describe(&self) -> &'static str {
        match self {
            Self::NotFound => "key not found",
            Self::AlreadyExists => "key already exists",
            Self::Modified => "key was modified",
            Self::ValueMismatch => "value mismatch",
            Self::Unsupported(_) => "not supported by this store",
            Self::UnknownBackend => "unknown backend",
            Self::UnknownWrapper => "unknown wrapper",
            Self::Serialization => "cannot encode or decode the value",
            Self::InvalidArgument => "invalid argument",
            Self::InvalidConfig => "invalid configuration",
            Self::TtlNotSupported { .. } => "TTL not supported",
            Self::InvalidLock => "invalid lock",
            Self::LockTimeout { .. } => "lock not acquired in time",
            Self::LockLost => "lock lost",
            Self::LockHoldTimeout => "lock held too long",
            Self::LockHeld => "lock already held",
            Self::Unavailable => "store unavailable",
            Self::NoQuorum => "store has no quorum",
            Self::WatchStopped => "watch stopped",
            Self::Compacted { .. } => "history compacted",
            Self::FutureRevision { .. } => "revision is in the future",
            Self::MemberNotFound => "member not found",
            Self::NotEmpty => "directory not empty",
            Self::Corrupt => "stored data is corrupt",
            Self::StorageFull => "storage full",
            Self::AlreadyOpen => "already open",
            Self::TooLarge { .. } => "too large",
            Self::Unauthenticated => "not authenticated",
            Self::PermissionDenied => "permission denied",
            Self::LeaseNotFound => "lease not found",
            Self::Contention => "too much contention",
            Self::Timeout => "timed out",
            Self::ReadOnly => "read only",
            Self::Closed => "handle is closed",
            Self::Internal => "internal error",
        }
    }
}

impl Error {
    /// An error of this kind; `message` says what was wrong and what to do, without values or secrets.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let retry = match kind {
            ErrorKind::Unavailable | ErrorKind::NoQuorum | ErrorKind::Contention => Retry::Safe,
            _ => Retry::Never,
        };
        Self(Box::new(Inner {
            kind,
            retry,
            message: message.into(),
            operation: None,
            key: None,
            backend: None,
            source: None,
        }))
    }

    /// `Unsupported`, naming the capability the store lacks.
    #[must_use]
    pub fn unsupported(capability: Capabilities) -> Self {
        Self::new(ErrorKind::Unsupported(capability), format!("the store lacks {capability}"))
    }

    /// `InvalidArgument` with a message.
    #[must_use]
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// Sets whether the call may be made again.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Names the operation, unless one is named already.
    #[must_use]
    pub fn with_operation(mut self, operation: Operation) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Names the key, unless one is named already.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.0.key.get_or_insert_with(|| key.into());
        self
    }

    /// Names the backend, unless one is named already.
    #[must_use]
    pub fn with_backend(mut self, backend: &'static str) -> Self {
        self.0.backend.get_or_insert(backend);
        self
    }

    /// Keeps what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Whether the same call may be made again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// What was being done.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// To which key, relative to the domain.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// On which backend.
    #[must_use]
    pub fn backend(&self) -> Option<&'static str> {
        self.0.backend
    }

    /// What was wrong and what to do, without the context that `Display` adds.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

/// A copy without the source: readers that share one failure each get their own.
impl Error {
    pub(crate) fn duplicate(&self) -> Self {
        let inner = &self.0;
        Self(Box::new(Inner {
            kind: inner.kind.clone(),
            retry: inner.retry,
            message: match &inner.source {
                Some(source) => format!("{} ({source})", inner.message).into(),
                None => inner.message.clone(),
            },
            operation: inner.operation,
            key: inner.key.clone(),
            backend: inner.backend,
            source: None,
        }))
    }
}

/// The key as a message shows it: on one line, and so short that the rest is still read.
fn shown(key: &str) -> String {
    const CHARACTERS: usize = 200;
    match key.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}… ({} bytes)", key.get(..end).unwrap_or_default().escape_debug(), key.len()),
        None => key.escape_debug().to_string(),
    }
}

/// `put config/a on redb: key not found: message`; a long key is cut, [`Error::key`] has the whole.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        let about = [
            inner.operation.map(|operation| operation.as_str().to_owned()),
            inner.key.as_deref().map(shown),
            inner.backend.map(|backend| format!("on {backend}")),
        ];
        let about: Vec<String> = about.into_iter().flatten().collect();
        if !about.is_empty() {
            write!(f, "{}: ", about.join(" "))?;
        }
        f.write_str(inner.kind.describe())?;
        if !inner.message.is_empty() {
            write!(f, ": {}", inner.message)?;
        }
        if inner.retry == Retry::Ambiguous {
            f.write_str(" (the write may or may not stand: read before writing again)")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        f.debug_struct("Error")
            .field("kind", &inner.kind)
            .field("retry", &inner.retry)
            .field("operation", &inner.operation)
            .field("key", &inner.key)
            .field("backend", &inner.backend)
            .field("message", &inner.message)
            .field("source", &inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn the_text_names_operation_key_backend_and_the_way_out() {
        let error = Error::new(ErrorKind::NotFound, "create it first")
            .with_operation(Operation::Update)
            .with_key("a/b")
            .with_backend("redb");
        assert_eq!(error.to_string(), "update a/b on redb: key not found: create it first");
        let error = Error::new(ErrorKind::UnknownBackend, "link it").with_operation(Operation::Connect);
        assert_eq!(error.to_string(), "connect: unknown backend: link it");
    }

    #[test]
    fn a_long_key_does_not_hide_the_message() {
        let key = "ü".repeat(40_000);
        let error = Error::new(ErrorKind::TooLarge { limit: 65_536 }, "shorten it").with_key(key.as_str());
        let text = error.to_string();
        assert!(text.len() < 600 && text.contains("80000 bytes") && text.ends_with("too large: shorten it"), "{text}");
        assert_eq!(error.key(), Some(key.as_str()));
    }
}
