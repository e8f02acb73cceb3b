//! What a mirror tells of itself.

use crate::Revision;

/// How far a run of a mirror has come. Counts begin at zero with each run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorProgress {
    /// What it is doing.
    pub stage: MirrorStage,
    /// Keys and changes that were read from the source.
    pub read: u64,
    /// How many keys the source has, where that was counted ([`crate::recipes::Mirror::counted`]).
    pub total: Option<u64>,
    /// Keys that were written to the target.
    pub copied: u64,
    /// Keys that were deleted from the target.
    pub deleted: u64,
    /// Bytes of keys and values that were written.
    pub bytes: u64,
    /// The source's revision that is being copied, or up to which the target has everything.
    pub revision: Revision,
}

/// What a mirror is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MirrorStage {
    /// It has not begun.
    #[default]
    Begin,
    /// It waits for another mirror of the same target to end, or for its lock to run out.
    Waiting {
        /// The id of the other one, where it is known.
        holder: Option<String>,
    },
    /// It goes through all keys and writes what differs.
    Copying(MirrorReason),
    /// It follows the source's changes.
    Following,
}

/// Why a mirror goes through all keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MirrorReason {
    /// The target has no position: nothing was ever copied.
    First,
    /// A copy was cut short; it goes on behind the last key that was copied.
    Resumed,
    /// The source has dropped the history since the position.
    Compacted,
    /// The position lies in the source's future: the source was restored to an older state.
    Restored,
    /// The source keeps no history to go on from.
    NoHistory,
    /// The position is one of another source.
    OtherSource,
    /// It was asked to.
    Asked,
}

impl MirrorReason {
    /// The reason in plain words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::First => "nothing was copied before",
            Self::Resumed => "the copy goes on where it was cut short",
            Self::Compacted => "the source has dropped the history since the position; comparing again",
            Self::Restored => "the source was restored to before the position; comparing again",
            Self::NoHistory => "the source keeps no history to go on from; comparing again",
            Self::OtherSource => "the position is one of another source; comparing again",
            Self::Asked => "comparing again, as asked",
        }
    }
}
