//! Going through all keys of both sides and writing what differs.

use super::batch::{Batch, is_same};
use super::position::Position;
use super::target::Target;
use super::{Mirror, MirrorReason, MirrorStage, Stop, gone};
use crate::recipes::sorted::{Side, Sorted, next};
use crate::{Kvdb, Snapshot};

/// After so many keys that are the same on both sides the position is kept, although there is nothing to write.
const SAME: u64 = 5_000;

impl Mirror {
    /// Makes the target what the source is at one revision. From `begun` on if a copy was cut short there, else from the
    /// first key on. Answers where the source's changes are to be followed from: also the snapshot that was copied,
    /// where the source keeps no history.
    pub(super) async fn copy(
        &mut self,
        target: &mut Target,
        begun: Option<Position>,
        reason: MirrorReason,
    ) -> Result<(Position, Option<Snapshot>), Stop> {
        self.enter(MirrorStage::Copying(reason));
        let (from, to, prefix) = (self.from.clone(), self.to.clone(), self.prefix.clone());
        let snapshot = match self.keeps_history() {
            true => None,
            false => Some(from.snapshot_opts(&[&prefix], crate::SnapshotOptions::default()).await?),
        };
        let after = begun.as_ref().and_then(|begun| begun.copied.clone()).filter(|key| !key.is_empty());
        let mut source = match &snapshot {
            Some(snapshot) => Sorted::new(snapshot, &prefix, after.clone(), None)?,
            None => Sorted::new(&from, &prefix, after.clone(), begun.as_ref().map(|begun| begun.revision))?,
        };
        let mut present = Sorted::new(&to, &prefix, after, None)?;
        source.peek().await.map_err(gone)?;
        if snapshot.is_none() {
            source.pin();
        }
        self.progress.revision = snapshot.as_ref().map_or(source.revision(), Snapshot::revision);
        if self.counted {
            self.progress.total = Some(source.count().await.map_err(gone)?);
        }
        let mut position = match begun {
            Some(begun) => begun,
            None => {
                let position = Position::begin(&self.source, self.progress.revision);
                // From now on this copy is what there is to go on with, whatever was kept before.
                self.write(target, &Batch::default(), &position).await?;
                position
            }
        };
        self.again = None;
        let (mut batch, mut same) = (Batch::default(), 0);
        loop {
            // The two sides' failures mean different things.
            source.peek().await.map_err(gone)?;
            let Some(side) = next(&mut source, &mut present).await? else { break };
            self.progress.read += u64::from(!matches!(side, Side::Right(_)));
            let (key, change) = match side {
                Side::Both(ours, theirs) if is_same(&ours, &theirs) => (ours.key, None),
                Side::Left(pair) | Side::Both(pair, _) => (pair.key, Some(Some(pair.value))),
                Side::Right(pair) => (pair.key, Some(None)),
            };
            let more = match change {
                Some(value) => Batch::of(key.clone(), value, target.room()),
                None => Batch::default(),
            };
            same += u64::from(more.is_empty());
            let full = batch.merge(more, target.room()).err();
            if full.is_some() || same >= SAME || !batch.fits(target.room()) {
                self.write(target, &batch, &position).await?;
                (batch, same) = (full.unwrap_or_default(), 0);
            }
            position.copied = Some(key);
        }
        position.copied = None;
        self.write(target, &batch, &position).await?;
        Ok((position, snapshot))
    }
}
