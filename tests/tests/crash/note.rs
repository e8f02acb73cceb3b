//! What a writer tells while it works: one line each, so that a pipe keeps it when the writer dies.

use std::fmt;
use std::str::FromStr;

/// A unit of work: writers number theirs without a gap or a repeat over the life of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct UnitId {
    pub(crate) writer: u32,
    pub(crate) number: u64,
}

/// A lease as its granter knows it, in milliseconds of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) lease: i64,
    pub(crate) ttl: u64,
    /// Before the store was asked.
    pub(crate) asked: u64,
    /// After it had answered.
    pub(crate) answered: u64,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// The writer is about to ask for this step.
    Started(UnitId, u8),
    /// The store acknowledged the step with this revision.
    Wrote(UnitId, u8, u64),
    /// The store granted or refreshed the unit's lease.
    Leased(UnitId, u8, Granted),
    /// The lease ran out before the step; the unit ends here.
    TooLate(UnitId, u8),
    /// A watch of the same process saw this revision write this key.
    Saw(u64, String),
    /// The store answered something that it must not.
    Wrong(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(unit, step) => write!(f, "S {} {} {step}", unit.writer, unit.number),
            Self::Wrote(unit, step, revision) => write!(f, "W {} {} {step} {revision}", unit.writer, unit.number),
            Self::Leased(unit, step, granted) => write!(
                f,
                "L {} {} {step} {} {} {} {}",
                unit.writer, unit.number, granted.lease, granted.ttl, granted.asked, granted.answered
            ),
            Self::TooLate(unit, step) => write!(f, "T {} {} {step}", unit.writer, unit.number),
            Self::Saw(revision, key) => write!(f, "E {revision} {key}"),
            Self::Wrong(text) => write!(f, "! {}", text.escape_debug()),
        }
    }
}

impl FromStr for Note {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let unreadable = || format!("no note: {line:?}");
        let (kind, rest) = line.split_once(' ').ok_or_else(unreadable)?;
        if kind == "!" {
            return Ok(Self::Wrong(rest.to_owned()));
        }
        if kind == "E" {
            let (revision, key) = rest.split_once(' ').ok_or_else(unreadable)?;
            return Ok(Self::Saw(revision.parse().map_err(|_| unreadable())?, key.to_owned()));
        }
        let numbers: Vec<i64> = rest.split(' ').map(str::parse).collect::<Result<_, _>>().map_err(|_| unreadable())?;
        let unit = |writer: i64, number: i64| UnitId { writer: writer as u32, number: number as u64 };
        match (kind, numbers.as_slice()) {
            ("S", &[writer, number, step]) => Ok(Self::Started(unit(writer, number), step as u8)),
            ("W", &[writer, number, step, revision]) => {
                Ok(Self::Wrote(unit(writer, number), step as u8, revision as u64))
            }
            ("L", &[writer, number, step, lease, ttl, asked, answered]) => {
                let granted = Granted { lease, ttl: ttl as u64, asked: asked as u64, answered: answered as u64 };
                Ok(Self::Leased(unit(writer, number), step as u8, granted))
            }
            ("T", &[writer, number, step]) => Ok(Self::TooLate(unit(writer, number), step as u8)),
            _ => Err(unreadable()),
        }
    }
}
