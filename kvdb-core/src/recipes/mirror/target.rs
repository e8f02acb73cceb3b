//! The store that is written to: changes and the position in one commit, guarded so that one mirror alone writes.

use super::batch::{Batch, Room};
use super::position::Position;
use crate::{
    Bytes, CallOptions, Compare, Error, ErrorKind, Fence, GetOptions, Handle, Kvdb, Note, Precondition, PutOptions,
    Result, Revision, Target as Of, Txn,
};

/// What the lock and the position's key are called.
const RECIPE: &str = "mirror";

pub(super) struct Target {
    to: Handle,
    /// The lock of whoever mirrors to this place.
    lock: Fence,
    /// Where the position is, and its last write; zero if there is none.
    kept: Fence,
    room: Room,
}

impl Target {
    pub(super) fn new(to: &Handle, prefix: &str, source: &str, lock: Fence) -> Result<Self> {
        let key = to.engine().note_key(RECIPE, prefix)?;
        let room = Room::new(&to.limits(), &to.info().domain, [&lock.key, &key], &key, source);
        let kept = Fence { key, token: Revision::ZERO };
        Ok(Self { to: to.clone(), lock, kept, room })
    }

    /// The name of the lock: one for each directory that is mirrored to.
    pub(super) fn lock_name(prefix: &str) -> String {
        format!("kvdb-{RECIPE}/{prefix}")
    }

    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// The position as it was kept last.
    pub(super) async fn kept(&mut self) -> Result<Option<Bytes>> {
        let found = self.to.engine().peek(&self.kept.key).await?;
        let (value, token) = found.map_or((None, Revision::ZERO), |(value, token)| (Some(value), token));
        self.kept.token = token;
        Ok(value)
    }

    /// Writes changes and the position that they lead to, all or nothing. Changes that no commit has room for beside a
    /// position are written before it: doing them again changes nothing.
    ///
    /// # Errors
    /// `LockLost` once another mirror may write here; `Contention` when the position is not the one that this mirror
    /// kept last, perhaps by a write of its own that was given up for lost: read it and go on from there.
    pub(super) async fn commit(&mut self, batch: &Batch, position: &Position) -> Result<()> {
        let mut ops = batch.ops();
        if !batch.fits(&self.room)
            && let Some((key, value)) = batch.only()
        {
            self.alone(key, value).await?;
            ops.clear();
        }
        let txn = Txn {
            when: vec![Compare::Held(self.lock.clone()), Compare::Held(self.kept.clone())],
            then: ops,
            note: Some(Note { key: self.kept.key.clone(), value: position.write()? }),
            ..Txn::default()
        };
        let reply = self.to.txn_opts(txn, CallOptions::default()).await?;
        if reply.succeeded {
            self.kept.token = reply.revision;
            return Ok(());
        }
        self.still_ours().await?;
        Err(Error::new(ErrorKind::Contention, "the mirror's position was changed; it goes on from what is there"))
    }

    /// Writes one long value, in the place of what is there now and of nothing else.
    async fn alone(&self, key: &str, value: Option<&Bytes>) -> Result<()> {
        let fence = Some(self.lock.clone());
        let Some(value) = value else {
            let options = crate::DeleteOptions { fence, ..crate::DeleteOptions::default() };
            return match self.to.delete_opts(Of::Key(key), options).await {
                Err(error) if *error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        };
        let when = match self.to.get_opts(key, GetOptions::default()).await? {
            Some(pair) => Precondition { modified: Some(pair.modified_index), ..Precondition::default() },
            None => Precondition { exists: Some(false), ..Precondition::default() },
        };
        let options = PutOptions { when, fence, ..PutOptions::default() };
        self.to.put_opts(key, value.clone(), options).await.map(drop)
    }

    async fn still_ours(&self) -> Result<()> {
        let held = self.to.engine().peek(&self.lock.key).await?;
        if held.is_some_and(|(_, token)| token == self.lock.token) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::LockLost, "another mirror may write here now; nothing was written"))
    }

    /// Whether this store is the one behind `other`: then our lock is seen there too.
    pub(super) async fn is_behind(&self, other: &Handle) -> Result<bool> {
        let seen = other.engine().peek(&self.lock.key).await?;
        Ok(seen.is_some_and(|(_, token)| token == self.lock.token))
    }
}
