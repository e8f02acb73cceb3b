use std::fmt;
use std::panic::Location;

/// How a trial ends.
pub type Proof<T = ()> = Result<T, Failure>;

/// Why a trial failed, and where in its text.
pub struct Failure {
    text: String,
}

impl Failure {
    /// A failure with a message, at the caller's place.
    #[must_use]
    #[track_caller]
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: format!("{} ({})", text, Location::caller()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Any error that a trial did not expect fails it, at the place of its `?`.
impl<E: std::error::Error> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::new(format_args!("unexpected error: {error}"))
    }
}

/// Fails the trial unless the condition holds; further arguments are a message as for `format!`.
#[macro_export]
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        if !$condition {
            return Err($crate::Failure::new(concat!("does not hold: ", stringify!($condition))));
        }
    };
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::Failure::new(format!($($message)+)));
        }
    };
}

/// Fails the trial unless both sides are equal; further arguments are a message as for `format!`.
#[macro_export]
macro_rules! ensure_eq {
    ($left:expr, $right:expr $(,)?) => {
        match (&$left, &$right) {
            (left, right) => {
                if *left != *right {
                    return Err($crate::Failure::new(format!(
                        "{} is {left:?}, expected {} = {right:?}", stringify!($left), stringify!($right)
                    )));
                }
            }
        }
    };
    ($left:expr, $right:expr, $($message:tt)+) => {
        match (&$left, &$right) {
            (left, right) => {
                if *left != *right {
                    return Err($crate::Failure::new(format!(
                        "{}: is {left:?}, expected {right:?}", format_args!($($message)+)
                    )));
                }
            }
        }
    };
}

/// Fails the trial with a message as for `format!`.
#[macro_export]
macro_rules! fail {
    ($($message:tt)+) => {
        return Err($crate::Failure::new(format!($($message)+)))
    };
}
