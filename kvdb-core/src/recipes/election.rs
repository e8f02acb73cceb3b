//! Leader election (contract 13.13).
//!
//! Keys: those of the lock of the same name, `<domain>/_kvdb/lock/<name>/_kvdb/<unique id>`, one for each candidate,
//! attached to its handle's kept-alive lease; it holds the candidate's id and value. The leader is the one whose key was
//! created first. So there is one key that elects it, shows it and fences its writes: the record of a leader neither
//! precedes its leadership nor outlives it, on any store.
//!
//! Timing: a candidate watches the one before it and asks nothing meanwhile. A leader that resigns or is dropped makes way
//! at once; one that dies, within the TTL (16 s unless set) and the store's slack. It takes itself for lost when the store
//! says so, or when a TTL has passed since its last good keep-alive was sent, which is before the next one can lead.
//!
//! Loss: `Lost` is told, and once that was read the campaign begins anew behind all others. A process that was suspended
//! hears of it late: what only the leader may write carries its fence.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;

use crate::{Bytes, CallOptions, Handle, IntoValue, Kvdb, LockHolder, LockOptions, Result, Revision};

mod campaign;

pub use campaign::{Campaign, ElectionEvent};

/// An election of one leader among any number of candidates, first come, first served.
///
/// It is the exclusive lock of its name: whoever holds that by another way leads, too.
#[derive(Clone, Debug)]
pub struct Election {
    kv: Handle,
    name: String,
}

/// How a candidate campaigns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElectionOptions {
    /// Who it is: shown to others; a random id unless given.
    pub id: Option<String>,
    /// How long after the leader's death another one leads; `None` takes the handle's for locks (16 s).
    pub ttl: Option<Duration>,
    /// The deadline of each round trip; `None` takes the handle's.
    pub timeout: Option<Duration>,
}

impl ElectionOptions {
    /// A random id, and the handle's TTL and deadline.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets who it is.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets how long after the leader's death another one leads.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets the deadline of each round trip.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn lock(self, value: Bytes) -> LockOptions {
        LockOptions {
            id: self.id,
            ttl: self.ttl,
            timeout: self.timeout,
            value,
            wait: Some(Duration::MAX),
            // Nobody leads too long.
            hold: Some(Duration::ZERO),
            ..LockOptions::default()
        }
    }
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// The id that it gave.
    pub id: String,
    /// The value that it campaigns with.
    pub value: Bytes,
    /// Its fencing token: rises with every leader.
    pub token: Revision,
    /// When it became a candidate, by its own clock.
    pub since: SystemTime,
}

impl From<LockHolder> for Leader {
    fn from(holder: LockHolder) -> Self {
        Self { id: holder.id, value: holder.value, token: holder.token, since: holder.since }
    }
}

impl Election {
    /// The election of this name; nothing is sent.
    #[must_use]
    pub fn new(kv: &Handle, name: &str) -> Self {
        Self { kv: kv.clone(), name: name.to_owned() }
    }

    /// Becomes a candidate, and leads once all who came before have left, until the campaign is resigned or dropped.
    /// Waits for nothing: [`Campaign::next`] does. `value` is what others see of the leader, such as its address.
    ///
    /// # Errors
    /// `InvalidArgument` or `TooLarge` for a name or value that the store does not take, `TtlNotSupported` for a TTL
    /// outside its bounds, `Unsupported` without LEASES, `Closed`.
    #[allow(clippy::unused_async, reason = "callers await it as every other way to take something at the store")]
    pub async fn campaign(&self, value: impl IntoValue, options: ElectionOptions) -> Result<Campaign> {
        let options = options.lock(value.into_value());
        self.kv.engine().check_lock(&self.name, options.clone())?;
        Ok(Campaign::start(&self.kv, &self.name, options))
    }

    /// Who leads now; `None` if nobody does. A candidate that is on its way out may be the answer for a moment.
    ///
    /// # Errors
    /// Those of a read; `InvalidLock` when something else stands in the queue.
    pub async fn leader(&self) -> Result<Option<Leader>> {
        Ok(self.kv.lock_holder_opts(&self.name, CallOptions::default()).await?.map(Leader::from))
    }

    /// Follows who leads. Asks the store once here, so that one that cannot be reached is told at once.
    ///
    /// # Errors
    /// As [`Election::leader`].
    pub async fn observe(&self) -> Result<LeaderWatch> {
        self.leader().await?;
        let holders = self.kv.engine().holders(&self.name)?;
        Ok(LeaderWatch(holders.map(|holder| Ok(holder?.map(Leader::from))).boxed()))
    }
}

/// Who leads from now on, the present leader first; `None` is nobody. A reader that falls behind sees the newest. While
/// the store is out of reach it tells nothing, and goes on afterwards; an error is its last item.
#[must_use = "a watch does nothing until it is read"]
pub struct LeaderWatch(BoxStream<'static, Result<Option<Leader>>>);

impl LeaderWatch {
    /// The next leader, or that nobody leads.
    ///
    /// # Errors
    /// One that waiting does not cure, such as `Closed`; nothing follows it.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Option<Leader>>> {
        self.0.next().await
    }
}

impl Stream for LeaderWatch {
    type Item = Result<Option<Leader>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for LeaderWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaderWatch(..)")
    }
}
