use std::fmt;

use futures_util::future::BoxFuture;
use kvdb_core::Capabilities;

use crate::{Ctx, Proof};

/// One trial of the suite.
#[derive(Clone)]
pub struct Trial {
    /// The number of the statement it proves, a space, and what it shows. Without a number for the trials that prove
    /// no single statement.
    pub name: &'static str,
    /// What the store must be able to do; lacking it, the trial shows as ignored.
    pub needs: Capabilities,
    /// For a twin: the capability without which the calls answer `Unsupported`. The twin's handles lack it.
    pub lacks: Capabilities,
    /// It compacts a store that can, without being about that.
    pub alone: bool,
    /// Proves it.
    pub run: fn(Ctx) -> BoxFuture<'static, Proof>,
}

impl Trial {
    /// The number of the statement, such as `3.10`; none for a trial that proves no single one.
    #[must_use]
    pub fn number(&self) -> Option<&'static str> {
        let first = self.name.split(' ').next()?;
        let (chapter, statement) = first.split_once('.')?;
        (chapter.parse::<u32>().is_ok() && statement.parse::<u32>().is_ok()).then_some(first)
    }

    /// Whether the trial would disturb others in the same store: it restarts or compacts it.
    #[must_use]
    pub(crate) fn needs_its_own(&self) -> bool {
        self.needs.intersects(Capabilities::DURABLE | Capabilities::COMPACT) || self.alone || self.number().is_none()
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("name", &self.name).field("needs", &self.needs).finish_non_exhaustive()
    }
}

/// Lists trials as `pub(crate) const TRIALS: &[Trial]`. Each line is a name and an `async fn(Ctx) -> Proof`, with
/// `needs` and the capabilities of the store that the trial is about, or with `lacks` for a twin:
///
/// `@alone` before the function gives it a store that no other trial uses at the same time.
///
/// ```ignore
/// trials! {
///     "5.6 a listing at a past revision shows it", needs(REVISION_READS) => at_a_past_revision;
///     "5.6 unsupported: a listing at a revision", lacks(REVISION_READS) => at_unsupported;
/// }
/// ```
#[macro_export]
macro_rules! trials {
    ($($name:literal $(, needs($($need:ident)|+))? $(, lacks($lack:ident))? => $(@$alone:ident)? $run:path;)*) => {
        /// The trials of this chapter.
        pub(crate) const TRIALS: &[$crate::Trial] = &[$($crate::Trial {
            name: $name,
            needs: kvdb_core::Capabilities::empty()$($(.union(kvdb_core::Capabilities::$need))+)?,
            lacks: kvdb_core::Capabilities::empty()$(.union(kvdb_core::Capabilities::$lack))?,
            alone: { const MARKS: &[&str] = &[$(stringify!($alone))?]; !MARKS.is_empty() },
            run: |ctx| Box::pin($run(ctx)),
        }),*];
    };
}
