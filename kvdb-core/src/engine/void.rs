//! Voids: keys whose presence keeps a write that may still be on its way from being done.
//!
//! Of a write whose outcome is unknown a reading tells only that it was not done yet. One that is to be sent again asks
//! for the absence of a key that nobody else knows, `<key>/_kvdb/void/<unique id>`; once that key is there the first
//! try cannot be done any more, however late it arrives. (A guard that names a revision needs none: it never holds
//! again.)

use std::time::Duration;

use bytes::Bytes;

use super::Shared;
use super::deadline::Deadline;
use super::lock_ids::unique;
use super::write_key::KeyWrite;
use crate::{Batch, Capabilities, Error, Fetched, Key, Op, Result, Revision};

/// How long a void is there: far longer than any server keeps a request that it has read and not answered.
const LIFE: Duration = Duration::from_secs(600);

/// What a void's name adds to the key's: `/_kvdb/void/` and the id.
const ADDED: usize = 12 + 32;

/// Guards and writes of a batch with a void: the key's guard, the fence's, the void's, and the write.
const PARTS: usize = 4;

impl Shared {
    /// A void for a write, before it is sent; `None` where it could not be made or found out about later.
    pub(super) fn void_of(&self, write: &KeyWrite<'_>) -> Option<Key> {
        if !self.backend.capabilities().contains(Capabilities::WATCH_RESUME | Capabilities::LEASES) {
            return None;
        }
        let limits = self.backend.limits();
        let bytes = ADDED + 2 * write.key.len() + write.value_len();
        let fits = write.key.len() + ADDED <= limits.key_bytes && bytes <= limits.batch_bytes;
        (fits && PARTS <= limits.batch_ops).then(|| Key::from(format!("{}/_kvdb/void/{}", write.key, unique())))
    }

    /// Makes sure that a write whose outcome is unknown is never done from now on and was not done so far; then the key
    /// as it is. It was not done if its history after `since` holds nothing that it can have written.
    ///
    /// # Errors
    /// `unsure`, if it cannot be made sure.
    pub(super) async fn surely_undone(
        &self,
        write: &KeyWrite<'_>,
        void: Option<&Key>,
        since: Revision,
        unsure: Error,
        deadline: &mut Deadline,
    ) -> Result<(Fetched, Error)> {
        let Some(void) = void else { return Err(unsure) };
        if self.make(void, deadline).await.is_err() {
            return Err(unsure);
        }
        let Ok(now) = self.fetch(write.key, deadline).await else { return Err(unsure) };
        // An entry that is older than the try: nothing has touched the key since.
        let older = since <= now.revision && now.entry.as_ref().is_some_and(|entry| entry.modified <= since);
        let ours = |change: &_| write.may_be(change);
        if older || self.history_clears(write.key, since, now.revision, ours, deadline).await {
            Ok((now, unsure))
        } else {
            Err(unsure)
        }
    }

    async fn make(&self, void: &Key, deadline: &mut Deadline) -> Result<()> {
        let limits = self.backend.limits();
        let life = limits.ttl_max.map_or(LIFE, |max| LIFE.min(max)).max(limits.ttl_min);
        let (lease, _) = deadline.harmless(|| self.backend.grant(life)).await?;
        let put = Op::Put { key: void.clone(), value: Bytes::new(), lease: Some(lease), previous: false };
        let batch = Batch { guards: Vec::new(), ops: vec![put] };
        deadline.harmless(|| self.backend.commit(&batch)).await.map(drop)
    }
}
