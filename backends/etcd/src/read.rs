//! Reading one key, and what is asked to explain why the past cannot be read.

use std::time::Duration;

use etcd_client::{GetOptions, WatchOptions};
use kvdb_core::{Consistency, Error, ErrorKind, Fetched, Key, Read, Result, Revision};

use crate::client::Client;
use crate::convert::{entry, number, revision, shown};
use crate::error::{Call, error};

/// How long a member may take to tell what it still remembers: it looks every 100 ms.
const PATIENCE: Duration = Duration::from_secs(2);

/// When and how fresh a read is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// A past revision, 0 for now.
    at: i64,
    /// Whatever the member knows that is asked.
    stale: bool,
}

impl Moment {
    pub(crate) fn of(read: &Read) -> Self {
        // The empty store is at revision 1; etcd reads 0 as now.
        Self { at: read.at.map_or(0, |at| number(at).max(1)), stale: read.consistency == Consistency::Stale }
    }

    /// This past revision, from any member: one that has reached it shows it whole.
    pub(crate) fn pinned(at: Revision) -> Self {
        Self { at: number(at).max(1), stale: true }
    }

    pub(crate) fn options(self) -> GetOptions {
        let options = GetOptions::new().with_revision(self.at);
        if self.stale { options.with_serializable() } else { options }
    }

    /// After a failed read: whether it may do better with a member that is up to date, as it is asked for from now on.
    pub(crate) fn freshen(&mut self, failed: &Error) -> bool {
        std::mem::take(&mut self.stale) && matches!(failed.kind(), ErrorKind::FutureRevision { .. })
    }
}

/// Reads one key.
pub(crate) async fn get(client: &Client, key: &Key, read: &Read) -> Result<Fetched> {
    let mut moment = Moment::of(read);
    loop {
        let mut kv = client.lend();
        match kv.get(key.as_bytes(), Some(moment.options())).await {
            Ok(answer) => {
                client.give_back(kv);
                let answer = answer.0;
                let revision = read.at.map_or_else(|| shown(answer.header.as_ref()), Ok)?;
                return Ok(Fetched { entry: answer.kvs.into_iter().next().map(entry), revision });
            }
            Err(source) => {
                let failed = error(Call::Read, source);
                if !moment.freshen(&failed) {
                    return Err(explain(client, key.as_bytes().to_vec(), read.at, failed).await);
                }
            }
        }
    }
}

/// The store's present revision, by a read of this key that answers nothing else.
pub(crate) async fn present(client: &Client, key: Vec<u8>) -> Result<Revision> {
    let options = GetOptions::new().with_count_only();
    let answer = client.kv().get(key, Some(options)).await.map_err(|source| error(Call::Read, source))?.0;
    shown(answer.header.as_ref())
}

/// The revision that the member is at, which anybody may ask for.
pub(crate) async fn at_member(client: &Client) -> Result<Revision> {
    let status = client.maintenance().status().await.map_err(|source| error(Call::Read, source))?.0;
    shown(status.header.as_ref())
}

/// Fills in the numbers that etcd's refusal to read `key` at `at` lacks.
pub(crate) async fn explain(client: &Client, key: Vec<u8>, at: Option<Revision>, failed: Error) -> Error {
    match failed.kind() {
        ErrorKind::FutureRevision { .. } => match (present(client, key).await, at) {
            // It may be reached by now: then it was not a moment ago.
            (Ok(current), Some(at)) => future(current.min(Revision::new(at.get().saturating_sub(1)))),
            (Ok(current), None) => future(current),
            (Err(error), _) => error,
        },
        ErrorKind::Compacted { .. } => match oldest(client, key).await {
            Ok(oldest) => compacted(oldest),
            Err(error) => error,
        },
        _ => failed,
    }
}

pub(crate) fn future(current: Revision) -> Error {
    Error::new(ErrorKind::FutureRevision { current }, format!("the store is at revision {current}"))
}

pub(crate) fn compacted(oldest: Revision) -> Error {
    Error::new(ErrorKind::Compacted { oldest }, format!("the oldest revision that can be read is {oldest}"))
}

/// The oldest revision that can be read: only the refusal of a watch tells it.
async fn oldest(client: &Client, key: Vec<u8>) -> Result<Revision> {
    let answer = async {
        let options = WatchOptions::new().with_start_revision(1);
        let mut stream = client.watch().watch(key, Some(options)).await?;
        while let Some(response) = stream.message().await? {
            if response.0.canceled && response.0.compact_revision != 0 {
                return Ok(Some(revision(response.0.compact_revision)));
            }
            if response.0.canceled || !response.0.created {
                break;
            }
        }
        Ok(None)
    };
    // A member that has not compacted yet keeps silent or tells events.
    let unknown = || Error::new(ErrorKind::Unavailable, "the members do not yet agree on what is compacted");
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(oldest)) => oldest.ok_or_else(unknown),
        Ok(Err(source)) => Err(error(Call::Read, source)),
        Err(_) => Err(unknown()),
    }
}
