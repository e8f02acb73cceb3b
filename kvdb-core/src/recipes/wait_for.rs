//! Waiting until a key is as wanted (contract 13.9).
//!
//! Key layout: none of its own. Timing: one watch that begins with the present state and begins with it again after
//! every break, so that the wait outlasts the way to the store; it ends by what the store told, never by a break.

use std::time::Duration;

use bytes::Bytes;

use super::follow::{Follow, Place, Step};
use crate::{Error, ErrorKind, Event, Handle, KvPair, Kvdb, Operation, Result, Revision};

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// The key is there.
    Exists,
    /// The key is not there.
    Absent,
    /// The key is there with exactly this value.
    Value(Bytes),
    /// The key is there, written after this revision.
    Above(Revision),
}

impl Condition {
    fn is_met_by(&self, pair: &KvPair) -> bool {
        match self {
            Self::Exists => true,
            Self::Absent => false,
            Self::Value(value) => pair.value == *value,
            Self::Above(revision) => pair.modified_index > *revision,
        }
    }
}

/// Waits until `condition` holds at `key`; answers the pair that met it, or `None` for [`Condition::Absent`]. What
/// holds already is answered at once, as fresh as a plain read is.
///
/// The condition held at the moment that the pair names: by now it may be otherwise. Without ORDERED_UPDATES, or while
/// the store is out of reach, a state that came and went may pass unseen.
///
/// It waits for ever: bound it with [`wait_for_within`] or a timeout of your own.
///
/// # Errors
/// What waiting does not cure: `InvalidArgument`, `PermissionDenied`, `Closed`, ..
///
/// # Cancel safety
/// Dropping the future ends its watch and leaves nothing.
pub async fn wait_for(kv: &Handle, key: &str, condition: Condition) -> Result<Option<KvPair>> {
    let mut follow = Follow::new(kv, Place::Key(key.to_owned()));
    // Whether the key is there, and whether that is the whole of the present state.
    let (mut there, mut whole) = (false, false);
    loop {
        match follow.next().await? {
            Step::Begin => (there, whole) = (false, false),
            Step::Event(Event::Put(pair)) if condition.is_met_by(&pair) => return Ok(Some(pair)),
            Step::Event(Event::Put(_)) => there = true,
            Step::Event(Event::Delete(_) | Event::Expire(_)) => there = false,
            Step::Event(Event::Synced(_)) => whole = true,
            Step::Event(_) => {}
        }
        if whole && !there && condition == Condition::Absent {
            return Ok(None);
        }
    }
}

/// The same for at most so long.
///
/// # Errors
/// `Timeout` once the time is over; as [`wait_for`].
///
/// # Cancel safety
/// As [`wait_for`].
pub async fn wait_for_within(kv: &Handle, key: &str, condition: Condition, time: Duration) -> Result<Option<KvPair>> {
    tokio::time::timeout(time, wait_for(kv, key, condition)).await.unwrap_or_else(|_| {
        let over = Error::new(ErrorKind::Timeout, format!("not as wanted within {time:?}"));
        Err(over.with_operation(Operation::Watch).with_key(key).with_backend(kv.info().backend))
    })
}
