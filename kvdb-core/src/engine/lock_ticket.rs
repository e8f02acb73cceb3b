//! What a waiter's key holds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::types::in_json::{from_base64, to_base64};
use crate::{Entry, Error, ErrorKind, LockHolder, LockMode, Result};

#[derive(Debug, Serialize, Deserialize)]
struct Ticket {
    id: String,
    /// Milliseconds since 1970 by the waiter's clock.
    since: u64,
    #[serde(default, skip_serializing_if = "LockMode::is_exclusive")]
    mode: LockMode,
    #[serde(
        default,
        skip_serializing_if = "Bytes::is_empty",
        serialize_with = "to_base64",
        deserialize_with = "from_base64"
    )]
    value: Bytes,
}

/// The part of a ticket that those behind it go by.
#[derive(Deserialize)]
struct Mode {
    #[serde(default)]
    mode: LockMode,
}

/// What a waiter writes that comes now.
pub(super) fn write(id: &str, mode: LockMode, value: &Bytes) -> Result<Bytes> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let ticket = Ticket { id: id.to_owned(), since, mode, value: value.clone() };
    let text = serde_json::to_vec(&ticket)
        .map_err(|source| Error::new(ErrorKind::Serialization, "the lock's id has no JSON form").with_source(source))?;
    Ok(text.into())
}

/// How a waiter takes the lock. One that cannot be read, such as a newer library's, is waited for by all.
pub(super) fn mode(waiter: &Entry) -> LockMode {
    serde_json::from_slice::<Mode>(&waiter.value).map_or(LockMode::Exclusive, |ticket| ticket.mode)
}

/// What a waiter says of itself.
pub(super) fn read(waiter: &Entry) -> Result<LockHolder> {
    let ticket: Ticket = serde_json::from_slice(&waiter.value).map_err(|source| {
        Error::new(ErrorKind::InvalidLock, "what stands in the lock's queue was not written by this library")
            .with_source(source)
    })?;
    Ok(LockHolder {
        id: ticket.id,
        since: UNIX_EPOCH + Duration::from_millis(ticket.since),
        token: waiter.created,
        mode: ticket.mode,
        value: ticket.value,
    })
}

/// Who a waiter says that it is, for messages.
pub(super) fn shown(waiter: Option<&Entry>) -> (Option<String>, String) {
    let id = waiter.and_then(|waiter| read(waiter).ok()).map(|waiter| waiter.id);
    let text = id.as_ref().map_or("somebody else".to_owned(), |id| format!("`{}`", id.escape_debug()));
    (id, text)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::{Key, Revision};

    fn entry(value: Bytes) -> Entry {
        let at = Revision::new(7);
        Entry { key: Key::from("k"), value, created: at, modified: at, version: None, lease: None, ttl: None }
    }

    #[test]
    fn a_ticket_reads_as_it_was_written() {
        for mode in [LockMode::Exclusive, LockMode::Shared, LockMode::Permits(NonZeroU32::new(3).unwrap())] {
            let waiter = entry(write("me", mode, &Bytes::from_static(b"\xff1")).unwrap());
            let read = read(&waiter).unwrap();
            assert_eq!((read.id.as_str(), read.mode, &read.value[..]), ("me", mode, &b"\xff1"[..]));
            assert_eq!(super::mode(&waiter), mode);
        }
    }

    #[test]
    fn an_exclusive_ticket_is_what_it_was_before_there_were_modes() {
        let ticket = write("me", LockMode::Exclusive, &Bytes::new()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&ticket).unwrap();
        assert_eq!(value.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "since"]);
        let old = entry(Bytes::from_static(br#"{"id":"old","since":1}"#));
        assert_eq!(read(&old).unwrap().mode, LockMode::Exclusive);
    }

    #[test]
    fn what_cannot_be_read_is_waited_for() {
        for value in ["", "7", r#"{"id":"new","since":1,"mode":"upgradable"}"#] {
            let waiter = entry(Bytes::from_static(value.as_bytes()));
            assert_eq!(mode(&waiter), LockMode::Exclusive, "{value}");
            assert_eq!(*read(&waiter).unwrap_err().kind(), ErrorKind::InvalidLock, "{value}");
        }
    }
}
