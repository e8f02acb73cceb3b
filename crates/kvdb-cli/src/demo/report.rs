//! What the demo tells: a line for each promise.

use std::fmt;

use kvdb::{Capabilities, Error};

use crate::failure::Failure;

/// What an act showed: the proof, or what the store lacks for it; or how the promise broke.
pub(super) type Shown = Result<Proof, Broken>;

/// How an act ended that broke nothing.
#[derive(Debug)]
pub(super) enum Proof {
    /// The promise held; what proves it.
    Held(String),
    /// The store does not have this.
    Absent(Capabilities),
}

/// How a promise broke.
#[derive(Debug)]
pub(super) struct Broken(String);

impl From<String> for Broken {
    fn from(how: String) -> Self {
        Self(how)
    }
}

impl From<&str> for Broken {
    fn from(how: &str) -> Self {
        Self(how.to_owned())
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self(Failure::from(error).message().unwrap_or_default())
    }
}

/// Breaks the promise unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($how:tt)+) => {
        if !$holds {
            return Err(format!($($how)+).into());
        }
    };
}
pub(super) use ensure;

/// How a promise fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It held.
    Held,
    /// It broke.
    Broken,
    /// The store lacks the capability, and says so: not counted.
    Absent,
}

impl Verdict {
    /// Its name in lines and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "BROKEN",
            Self::Absent => "absent",
        }
    }
}

/// One promise, how it fared, and what proves that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The promise's name.
    pub promise: &'static str,
    /// How it fared.
    pub verdict: Verdict,
    /// What was seen.
    pub proof: String,
}

impl Line {
    pub(super) fn new(promise: &'static str, shown: Shown) -> Self {
        let (verdict, proof) = match shown {
            Ok(Proof::Held(proof)) => (Verdict::Held, proof),
            Ok(Proof::Absent(capability)) => (Verdict::Absent, format!("this store lacks {capability}; not counted")),
            Err(Broken(how)) => (Verdict::Broken, how),
        };
        Self { promise, verdict, proof }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<6}  {:<16}  {}", self.verdict.name(), self.promise, self.proof)
    }
}

/// All lines of a demo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The lines in the order they were shown.
    pub lines: Vec<Line>,
}

impl Report {
    pub(super) fn add(
        &mut self,
        line: Line,
        out: &mut impl FnMut(&Line) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        out(&line)?;
        self.lines.push(line);
        Ok(())
    }

    /// How many lines have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|line| line.verdict == verdict).count()
    }

    /// 0 if nothing broke, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(self.count(Verdict::Broken) > 0)
    }

    /// All in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let [held, broken, absent] =
            [Verdict::Held, Verdict::Broken, Verdict::Absent].map(|verdict| self.count(verdict));
        format!("{held} of {} promises held, {broken} broken, {absent} absent in this store", held + broken)
    }
}
