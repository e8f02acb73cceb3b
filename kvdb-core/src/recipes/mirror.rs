//! A directory of one store kept the same in another one, across kills and outages of both.
//!
//! In the target, beside the keys that are copied (`D` is the target's domain, `P` the directory):
//!
//! * `D/_kvdb/mirror/P/_kvdb` is the position: which source, and what of it is here. It is written in the same commit as
//!   what it tells of, so a kill at any moment loses nothing and has nothing done twice.
//! * The lock `kvdb-mirror/P` is held by the mirror that writes. Its fence and the position's last write guard every
//!   commit, so two mirrors never write by turns and one that was suspended writes nothing.
//!
//! Timing: the lock's TTL is 5 s, or what the target grants near it; after a sudden death the next mirror waits so long.
//! While it follows, a change is in the target one commit after the source's watch tells it. A position alone is kept
//! every 10 s at most. What fails because a store is out of reach is tried again for a minute without progress.

use std::fmt;
use std::time::Duration;

mod batch;
mod copy;
mod follow;
mod position;
mod progress;
mod tail;
mod target;

use position::{Position, identity};
pub use progress::{MirrorProgress, MirrorReason, MirrorStage};
use target::Target;

use crate::engine::Deadline;
use crate::{Capabilities, Error, ErrorKind, Handle, Kvdb, LockGuard, LockOptions, Result, Retry};

/// How long after a sudden death the target is free for the next mirror, where it grants that.
const TTL: Duration = Duration::from_secs(5);
/// How long a store may be out of reach.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a directory of one store, the target, what it is in another one, the source, and keeps it so.
///
/// Keys have the same names relative to each domain. Below the prefix the target gets what the source has and loses what
/// it has not; leased keys become permanent, and are deleted once they are gone from the source. `_kvdb` is never
/// touched. A transaction of the source is one commit in the target where that has room for it; several that come fast
/// may be one together.
///
/// First everything is compared, at one revision of the source; then its changes are followed. A later run goes on
/// where the last one ended, whichever way it ended, if the source keeps its history (REVISION_READS, WATCH_RESUME) that
/// far; else it compares everything and writes what differs. What others write below the prefix of the target in the
/// meantime is not seen: compare again with [`Mirror::compare`].
///
/// ```no_run
/// # use kvdb_core::{Handle, recipes::Mirror};
/// # async fn example(from: Handle, to: Handle) -> kvdb_core::Result<()> {
/// let mirrored = Mirror::new(&from, &to).prefix("config").once().run().await?;
/// println!("{} keys read, {} written", mirrored.read, mirrored.copied);
/// # Ok(())
/// # }
/// ```
#[must_use = "a mirror does nothing until it is run"]
pub struct Mirror {
    from: Handle,
    to: Handle,
    prefix: String,
    once: bool,
    counted: bool,
    id: Option<String>,
    ttl: Option<Duration>,
    wait: Option<Duration>,
    tell: Option<Tell>,
    /// What a position must name to be one in this source.
    source: String,
    /// Why everything is compared, whatever the position says.
    again: Option<MirrorReason>,
    progress: MirrorProgress,
}

type Tell = Box<dyn FnMut(&MirrorProgress) + Send>;

impl Mirror {
    /// Mirrors everything of `from` to `to`.
    pub fn new(from: &Handle, to: &Handle) -> Self {
        Self {
            from: from.clone(),
            to: to.clone(),
            prefix: String::new(),
            once: false,
            counted: false,
            id: None,
            ttl: None,
            wait: None,
            tell: None,
            // Without an identity it is one that no later run has.
            source: identity(&from.info()).unwrap_or_else(|| format!("{:032x}", rand::random::<u128>())),
            again: None,
            progress: MirrorProgress::default(),
        }
    }

    /// Only the keys below this directory.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Ends when the target is what the source was when the last pass began, in place of following it for ever.
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Compares everything, whatever the position says: for a target that others wrote to, and for a source that was
    /// restored from a copy.
    pub fn compare(mut self) -> Self {
        self.again = Some(MirrorReason::Asked);
        self
    }

    /// Counts the source's keys before they are copied, for [`MirrorProgress::total`]: one more walk over their names.
    pub fn counted(mut self) -> Self {
        self.counted = true;
        self
    }

    /// Who mirrors: shown to another one that has to wait. Random unless given.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// How long after a sudden death the next mirror may begin; 5 s, or what the target grants near it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How long to wait for another mirror to end; twice the TTL and the target's slack unless given, so that one that
    /// died suddenly is waited for and one that lives is not.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Calls `tell` with every step: it must not block.
    pub fn on_progress(mut self, tell: impl FnMut(&MirrorProgress) + Send + 'static) -> Self {
        self.tell = Some(Box::new(tell));
        self
    }

    /// Runs it: with [`Mirror::once`] to its end, else until something fails for good or a handle is closed.
    ///
    /// # Errors
    /// `InvalidArgument` when both sides are one place of one store; `LockTimeout` when another mirror writes there and
    /// does not end; `TooLarge` naming the key that the target does not take; `Closed`; what a store answers for longer
    /// than a minute.
    ///
    /// # Cancel safety
    /// Dropping the future ends the mirror. The position is kept, and its lock released in the background.
    pub async fn run(mut self) -> Result<MirrorProgress> {
        let mut patience = Deadline::new(PATIENCE);
        loop {
            let before = self.progress.clone();
            match self.hold().await {
                Ok(()) => return Ok(self.progress),
                Err(error) if may_pass(&error) => {
                    if self.progress != before {
                        patience = patience.renewed();
                    }
                    tracing::warn!(%error, "the mirror goes on from its position");
                    patience.pause(error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Mirrors while it holds the lock.
    async fn hold(&mut self) -> Result<()> {
        let lock = self.take().await?;
        let done = self.under(&lock).await;
        // One that cannot be released now runs out by itself.
        let released = lock.release().await;
        done?;
        if let Err(error) = released {
            tracing::debug!(%error, "the mirror's lock runs out by itself");
        }
        Ok(())
    }

    async fn take(&mut self) -> Result<LockGuard> {
        let limits = self.to.limits();
        let ttl = self.ttl.unwrap_or(TTL.clamp(limits.ttl_min, limits.ttl_max.unwrap_or(Duration::MAX)));
        let wait = self.wait.unwrap_or(ttl * 2 + limits.ttl_slack);
        let name = Target::lock_name(&self.prefix);
        let options = |wait| LockOptions {
            id: self.id.clone(),
            wait: Some(wait),
            ttl: Some(ttl),
            // As long as it takes.
            hold: Some(Duration::ZERO),
            ..LockOptions::default()
        };
        match self.to.lock_opts(&name, options(Duration::ZERO)).await {
            Err(error) if !wait.is_zero() => {
                let ErrorKind::LockTimeout { holder } = error.kind() else { return Err(error) };
                let (stage, options) = (MirrorStage::Waiting { holder: holder.clone() }, options(wait));
                self.enter(stage);
                self.to.lock_opts(&name, options).await
            }
            taken => taken,
        }
    }

    async fn under(&mut self, lock: &LockGuard) -> Result<()> {
        let mut target = Target::new(&self.to, &self.prefix, &self.source, lock.fence())?;
        let (from, to) = (self.from.engine().place(&self.prefix)?, self.to.engine().place(&self.prefix)?);
        if from.overlaps(&to) && target.is_behind(&self.from).await? {
            let message = "source and target are one place of one store; mirror to another domain or store";
            return Err(Error::invalid(message));
        }
        loop {
            match self.pass(&mut target, lock).await {
                Err(Stop::Again(reason)) => self.again = Some(reason),
                Err(Stop::Failed(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// From the position that is kept on, or from the first key.
    async fn pass(&mut self, target: &mut Target, lock: &LockGuard) -> Result<(), Stop> {
        let kept = target.kept().await?;
        let position = kept.as_ref().and_then(|kept| Position::read(kept, &self.source));
        let (position, snapshot) = match (self.again, position) {
            (Some(reason), _) => self.copy(target, None, reason).await?,
            (None, Some(_)) if !self.keeps_history() => self.copy(target, None, MirrorReason::NoHistory).await?,
            (None, Some(begun)) if begun.copied.is_some() => {
                self.copy(target, Some(begun), MirrorReason::Resumed).await?
            }
            (None, Some(position)) => (position, None),
            (None, None) if kept.is_some() => self.copy(target, None, MirrorReason::OtherSource).await?,
            (None, None) => self.copy(target, None, MirrorReason::First).await?,
        };
        self.follow(target, position, snapshot, lock).await
    }

    /// Whether the source can be read and followed from a revision on.
    fn keeps_history(&self) -> bool {
        self.from.capabilities().contains(Capabilities::REVISION_READS | Capabilities::WATCH_RESUME)
    }

    fn enter(&mut self, stage: MirrorStage) {
        self.progress.stage = stage;
        self.tell();
    }

    fn tell(&mut self) {
        if let Some(tell) = &mut self.tell {
            tell(&self.progress);
        }
    }
}

/// Why a pass over the source ended.
enum Stop {
    /// The source cannot be followed from the position: everything is compared.
    Again(MirrorReason),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What an error of the source means.
fn gone(error: Error) -> Stop {
    match error.kind() {
        ErrorKind::Compacted { .. } => Stop::Again(MirrorReason::Compacted),
        ErrorKind::FutureRevision { .. } => Stop::Again(MirrorReason::Restored),
        _ => Stop::Failed(error),
    }
}

/// Whether going on from the position may help: whatever became of a write, the position tells.
fn may_pass(error: &Error) -> bool {
    let changed = matches!(error.kind(), ErrorKind::LockLost | ErrorKind::Modified | ErrorKind::AlreadyExists);
    changed || *error.kind() == ErrorKind::Timeout || error.retry() != Retry::Never
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("prefix", &self.prefix)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mirror is run in a task.
    #[test]
    fn the_future_may_be_sent() {
        fn is_send<T: Send>(_: fn(Mirror) -> T) {}
        is_send(Mirror::run);
    }
}
