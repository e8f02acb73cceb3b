//! Reading one key, and entries as pairs.

use std::ops::Bound;

use super::Shared;
use super::deadline::Deadline;
use crate::{
    Capabilities, Change, Entry, Error, ErrorKind, Event, Fetched, GetOptions, Key, KeyRange, KvAction, KvPair, Read,
    Result, Revision, Target,
};

impl Shared {
    pub(super) async fn get(&self, name: &str, options: GetOptions) -> Result<Option<KvPair>> {
        self.ensure_open()?;
        let key = self.domain.key(name)?;
        self.check_key_size(&key)?;
        if options.at.is_some() {
            self.require(Capabilities::REVISION_READS)?;
        }
        let read = Read { at: options.at, consistency: options.consistency };
        let mut deadline = self.deadline(options.timeout);
        let fetched = deadline.read(|| self.backend.get(&key, &read)).await?;
        self.seen.note(fetched.revision);
        Ok(fetched.entry.and_then(|entry| self.pair(entry, KvAction::Get, fetched.revision)))
    }

    /// What is there now, by absolute key.
    pub(super) async fn fetch(&self, key: &Key, deadline: &mut Deadline) -> Result<Fetched> {
        let read = Read::default();
        let fetched = deadline.read(|| self.backend.get(key, &read)).await?;
        self.seen.note(fetched.revision);
        Ok(fetched)
    }

    pub(super) fn deadline(&self, timeout: Option<std::time::Duration>) -> Deadline {
        Deadline::new(timeout.unwrap_or(self.timeout))
    }

    pub(super) fn require(&self, capability: Capabilities) -> Result<()> {
        if self.backend.capabilities().contains(capability) { Ok(()) } else { Err(Error::unsupported(capability)) }
    }

    /// The range of a target. A key that bounds it is checked as any key: beyond one that is too long no key lies, and
    /// the store need not be told of it.
    pub(super) fn target_range(&self, target: Target<'_>) -> Result<KeyRange> {
        let range = self.domain.range(target)?;
        if let Some(key) = range.as_single() {
            self.check_key_size(key)?;
            return Ok(range);
        }
        for bound in [&range.start, &range.end] {
            if let Bound::Included(key) | Bound::Excluded(key) = bound {
                self.check_key_size(key)?;
            }
        }
        Ok(range)
    }

    pub(super) fn check_key_size(&self, key: &Key) -> Result<()> {
        let limit = self.backend.limits().key_bytes;
        if key.len() > limit {
            return Err(Error::new(
                ErrorKind::TooLarge { limit },
                format!("the key has {} bytes with its domain, the store takes {limit}", key.len()),
            ));
        }
        Ok(())
    }

    /// The pair of an entry; `None` for what users do not see.
    pub(super) fn pair(&self, entry: Entry, action: KvAction, index: Revision) -> Option<KvPair> {
        let key = self.domain.relative(&entry.key)?.to_owned();
        Some(pair(entry, key, action, index))
    }

    /// The pair of a deletion: the old pair with the deletion's revision.
    pub(super) fn deleted_pair(&self, key: &Key, old: Option<Entry>, at: Revision, action: KvAction) -> Option<KvPair> {
        let mut pair = match old {
            Some(old) => self.pair(old, action, at)?,
            None => KvPair { action, kvdb_index: at, ..KvPair::new(self.domain.relative(key)?, "") },
        };
        pair.modified_index = at;
        Some(pair)
    }

    /// The event of a change; `None` for what users do not see.
    pub(super) fn event(&self, change: &Change, index: Revision, previous: bool) -> Option<Event> {
        let before = |entry: &Option<Entry>| {
            let entry = entry.as_ref().filter(|_| previous)?;
            self.pair(entry.clone(), KvAction::Get, index).map(Box::new)
        };
        match change {
            Change::Put { entry, previous: old } => {
                let action = action_of(entry);
                let mut pair = self.pair(entry.clone(), action, index)?;
                pair.previous = before(old);
                Some(Event::Put(pair))
            }
            Change::Delete { key, revision, expired, previous: old } => {
                let action = if *expired { KvAction::Expire } else { KvAction::Delete };
                let mut pair = self.deleted_pair(key, old.clone(), *revision, action)?;
                pair.previous = before(old);
                Some(if *expired { Event::Expire(pair) } else { Event::Delete(pair) })
            }
        }
    }
}

/// Create or Set, by what the write left.
pub(super) fn action_of(entry: &Entry) -> KvAction {
    if entry.created == entry.modified { KvAction::Create } else { KvAction::Set }
}

/// The pair of an entry whose name is known.
pub(super) fn pair(entry: Entry, key: String, action: KvAction, index: Revision) -> KvPair {
    KvPair {
        key,
        value: entry.value,
        action,
        ttl: entry.ttl,
        lease: entry.lease,
        created_index: entry.created,
        modified_index: entry.modified,
        version: entry.version,
        kvdb_index: index,
        previous: None,
    }
}
