//! Reads of one key, and of many nodes in one request.

use bytes::Bytes;
use kvdb_core::{Consistency, Entry, Fetched, Key, LeaseId, Read, Result, Revision};
use zookeeper::{Client, Error as Cause, MultiReadResult, Stat};

use crate::backend::Shared;
use crate::client::answer;
use crate::config::REQUEST_BYTES;
use crate::error::{Call, explain, mismatched};
use crate::{ground, path};

/// What a read in a multi-read takes beside its path.
const READ_BYTES: usize = 16;

/// What of a multi-read is not its reads.
const FRAME_BYTES: usize = 64;

/// One read of a multi-read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Data(String),
    Children(String),
}

impl Look {
    fn path(&self) -> &str {
        match self {
            Self::Data(path) | Self::Children(path) => path,
        }
    }

    pub(crate) fn into_path(self) -> String {
        match self {
            Self::Data(path) | Self::Children(path) => path,
        }
    }
}

/// What one read of a multi-read found.
#[derive(Debug)]
pub(crate) enum Sight {
    Data(Bytes, Stat),
    Children(Vec<String>),
    Absent,
}

impl Sight {
    pub(crate) fn data(self) -> Option<(Bytes, Stat)> {
        match self {
            Self::Data(data, stat) => Some((data, stat)),
            _ => None,
        }
    }
}

/// What several reads found.
pub(crate) struct Sights {
    /// Aligned with the reads.
    pub(crate) found: Vec<Sight>,
    /// All were done in one step: they fit one request.
    pub(crate) at_once: bool,
}

/// How many of the reads, from the first on, one request holds.
fn fitting(looks: &[Look]) -> usize {
    let mut bytes = FRAME_BYTES;
    let fits = |look: &&Look| {
        bytes += look.path().len() + READ_BYTES;
        bytes <= REQUEST_BYTES
    };
    looks.iter().take_while(fits).count()
}

/// Reads many nodes, in one step if one request holds them. After a sync they show every write that was answered before.
pub(crate) async fn look(client: &Client, looks: &[Look], sync: bool) -> Result<Sights> {
    // Sent now, and answered before what is sent after it.
    let synced = sync.then(|| client.sync("/"));
    let mut requests = Vec::new();
    let mut rest = looks;
    loop {
        let mut reader = client.new_multi_reader();
        let (now, later) = rest.split_at(fitting(rest).max(1).min(rest.len()));
        for look in now {
            let added = match look {
                Look::Data(path) => reader.add_get_data(path),
                Look::Children(path) => reader.add_get_children(path),
            };
            added.map_err(|cause| explain(Call::Read, cause))?;
        }
        requests.push(reader.commit());
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    if let Some(synced) = synced {
        answer(Call::Read, synced).await?;
    }
    let at_once = requests.len() == 1;
    let mut found = Vec::with_capacity(looks.len());
    for request in requests {
        for result in answer(Call::Read, request).await? {
            found.push(match result {
                MultiReadResult::Data { data, stat } => Sight::Data(data.into(), stat),
                MultiReadResult::Children { children } => Sight::Children(children),
                MultiReadResult::Error { err: Cause::NoNode } => Sight::Absent,
                MultiReadResult::Error { err } => return Err(explain(Call::Read, err)),
                _ => return Err(mismatched()),
            });
        }
    }
    if found.len() != looks.len() {
        return Err(mismatched());
    }
    Ok(Sights { found, at_once })
}

impl Shared {
    pub(crate) async fn get(&self, key: &Key, read: &Read) -> Result<Fetched> {
        let client = self.sessions.client().await?;
        let leaf = path::leaf(key.as_bytes());
        let mut shown = self.sessions.seen();
        if read.consistency == Consistency::Strict {
            shown = shown.max(self.pass_barrier(&client, key.as_bytes()).await?);
        }
        // Both are sent before either is awaited: one round trip.
        let synced = (read.consistency != Consistency::Stale).then(|| client.sync(&leaf));
        let data = client.get_data(&leaf);
        match synced {
            Some(synced) => answer(Call::Read, synced).await?,
            // What the session itself has not seen yet is not promised.
            None => shown = 1,
        }
        match data.await {
            Ok((value, stat)) => {
                self.sessions.note(stat.mzxid);
                let revision = Revision::new(shown.max(stat.mzxid).cast_unsigned());
                Ok(Fetched { entry: Some(self.entry(key.clone(), &leaf, value.into(), &stat)), revision })
            }
            Err(Cause::NoNode) => Ok(Fetched { entry: None, revision: Revision::new(shown.cast_unsigned()) }),
            Err(cause) => Err(explain(Call::Read, cause)),
        }
    }

    /// Keys at one moment; `None` for more than one request reads.
    pub(crate) async fn get_together(&self, keys: &[Key]) -> Result<Option<Vec<Fetched>>> {
        let client = self.sessions.client().await?;
        let leaves: Vec<String> = keys.iter().map(|key| path::leaf(key.as_bytes())).collect();
        let looks: Vec<Look> = leaves.iter().cloned().map(Look::Data).collect();
        if fitting(&looks) < looks.len() {
            return Ok(None);
        }
        let shown = self.sessions.seen();
        let nodes = look(&client, &looks, true).await?.found.into_iter().map(Sight::data).collect::<Vec<_>>();
        // What one of them shows is a moment that all the others show, too.
        let newest = nodes.iter().flatten().map(|(_, stat)| stat.mzxid).fold(shown, i64::max);
        self.sessions.note(newest);
        let revision = Revision::new(newest.cast_unsigned());
        let fetched = keys.iter().zip(&leaves).zip(nodes).map(|((key, leaf), node)| {
            let entry = node.map(|(value, stat)| self.entry(key.clone(), leaf, value, &stat));
            Fetched { entry, revision }
        });
        Ok(Some(fetched.collect()))
    }

    /// The entry at a leaf.
    pub(crate) fn entry(&self, key: Key, leaf: &str, value: Bytes, stat: &Stat) -> Entry {
        let owner = stat.ephemeral_owner;
        Entry {
            key,
            value,
            created: Revision::new(stat.czxid.cast_unsigned()),
            modified: Revision::new(stat.mzxid.cast_unsigned()),
            version: Some(u64::from(stat.version.cast_unsigned()) + 1),
            // Of another handle's lease only its session is known.
            lease: (owner != 0).then(|| LeaseId::Number(self.leases.name(leaf, owner).unwrap_or(owner))),
            ttl: None,
        }
    }

    /// Writes, so that what is read then is not older than that write, whatever became of the leader; answers the
    /// write's transaction.
    pub(crate) async fn pass_barrier(&self, client: &Client, key: &[u8]) -> Result<i64> {
        let barrier = path::barrier(key);
        loop {
            match client.set_data(&barrier, b"", None).await {
                Ok(stat) => {
                    self.sessions.note(stat.mzxid);
                    return Ok(stat.mzxid);
                }
                Err(Cause::NoNode) => ground::make(client, &[], &[&barrier], &self.sessions.settings.acl).await?,
                // It changes nothing that anybody sees.
                Err(cause) => return Err(explain(Call::Read, cause)),
            }
        }
    }
}
