//! Why a command failed, and what the shell is told.

use std::error::Error as _;
use std::io;

use kvdb::{Error, ErrorKind, Retry};
use serde_json::{Value, json};

/// Why a command ended without success.
#[derive(Debug)]
pub enum Failure {
    /// The library refused or failed.
    Store(Error),
    /// Something of this machine failed: a file, a terminal, a child process. What was being done, and the cause.
    Io(String, io::Error),
    /// This machine's files are not as they would have to be: what kind of refusal, and why.
    Refused {
        /// The kind's name in JSON.
        kind: &'static str,
        /// What was refused, and the way out.
        message: String,
    },
    /// The command was called in a way that makes no sense.
    Usage(String),
    /// The exit code says it all: a child's own, or one whose reason is printed already.
    Exit(u8),
}

impl Failure {
    /// The exit code: 1 error, 2 wrong usage, 3 not found, 4 a condition failed, 5 timeout.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Store(error) => match error.kind() {
                ErrorKind::InvalidArgument
                | ErrorKind::InvalidConfig
                | ErrorKind::UnknownBackend
                | ErrorKind::TtlNotSupported { .. } => 2,
                ErrorKind::NotFound | ErrorKind::LeaseNotFound => 3,
                ErrorKind::AlreadyExists | ErrorKind::Modified | ErrorKind::ValueMismatch => 4,
                ErrorKind::Timeout | ErrorKind::LockTimeout { .. } | ErrorKind::Contention => 5,
                _ => 1,
            },
            Self::Io(..) | Self::Refused { .. } => 1,
            Self::Usage(_) => 2,
            Self::Exit(code) => *code,
        }
    }

    /// Whether the reader of our output has gone, as `head` does: nobody is left to be told.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(_, error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What is printed, with every cause; `None` when it was told already.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Store(error) => {
                let mut text = error.to_string();
                let mut cause = error.source();
                while let Some(error) = cause {
                    let shown = error.to_string();
                    cause = error.source();
                    // Some messages quote their cause already, or the cause of that one.
                    let quoted = |words: String| !words.is_empty() && text.contains(&words);
                    if !text.contains(&shown) && !cause.is_some_and(|deeper| quoted(deeper.to_string())) {
                        text = format!("{text}: {shown}");
                    }
                }
                Some(text)
            }
            Self::Io(what, error) => Some(format!("{what}: {error}")),
            Self::Refused { message, .. } => Some(message.clone()),
            Self::Usage(text) => Some(format!("{text}; `kvdb help` shows how")),
            Self::Exit(_) => None,
        }
    }

    /// The error as JSON.
    pub(crate) fn json(&self) -> Value {
        let (kind, key, retry) = match self {
            Self::Store(error) => (kind_name(error.kind()), error.key(), error.retry()),
            Self::Io(..) => ("Io".to_owned(), None, Retry::Never),
            Self::Refused { kind, .. } => ((*kind).to_owned(), None, Retry::Never),
            Self::Usage(_) => ("Usage".to_owned(), None, Retry::Never),
            Self::Exit(_) => ("Exit".to_owned(), None, Retry::Never),
        };
        let retry = format!("{retry:?}").to_lowercase();
        json!({ "kind": kind, "message": self.message(), "key": key, "retry": retry })
    }
}

/// The kind's name without its fields.
fn kind_name(kind: &ErrorKind) -> String {
    format!("{kind:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        for (kind, code) in [
            (ErrorKind::Unavailable, 1),
            (ErrorKind::AlreadyOpen, 1),
            (ErrorKind::InvalidArgument, 2),
            (ErrorKind::UnknownBackend, 2),
            (ErrorKind::NotFound, 3),
            (ErrorKind::LeaseNotFound, 3),
            (ErrorKind::AlreadyExists, 4),
            (ErrorKind::Modified, 4),
            (ErrorKind::ValueMismatch, 4),
            (ErrorKind::Timeout, 5),
            (ErrorKind::LockTimeout { holder: None }, 5),
        ] {
            assert_eq!(Failure::from(Error::new(kind.clone(), "")).exit_code(), code, "{kind:?}");
        }
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
    }

    /// An error with a text and a cause.
    #[derive(Debug)]
    struct Told(&'static str, Option<Box<Self>>);

    impl std::fmt::Display for Told {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Told {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn a_cause_is_told_once_and_what_only_wraps_it_not_at_all() {
        let told =
            |source| Failure::from(Error::new(ErrorKind::Unavailable, "no: refused").with_source(source)).message();
        let refused = || Some(Box::new(Told("refused", None)));
        assert!(told(Told("code 14, source Refused", refused())).unwrap().ends_with("no: refused"));
        assert!(
            told(Told("while dialing", Some(Box::new(Told("no route", None)))))
                .unwrap()
                .ends_with("no: refused: while dialing: no route")
        );
    }

    #[test]
    fn an_error_is_told_as_json_with_kind_message_key_and_retry() {
        let error =
            Error::new(ErrorKind::LockTimeout { holder: Some("me".to_owned()) }, "held by `me`").with_key("job");
        let told = Failure::from(error).json();
        assert_eq!(told["kind"], "LockTimeout");
        assert_eq!(told["key"], "job");
        assert_eq!(told["retry"], "never");
        assert!(told["message"].as_str().unwrap().contains("held by `me`"));
    }
}
