use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use futures_util::stream::Fuse;
use kvdb::{Bytes, Error, KvPair};

use super::Action;

/// A key with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KVPair {
    /// The key: whole, without a slash at the start.
    pub key: String,
    /// The value; cloning shares the bytes.
    pub value: Bytes,
    /// The index of its last write; of a directory one from which on a watch of it misses nothing.
    pub last_index: u64,
}

impl From<KvPair> for KVPair {
    fn from(pair: KvPair) -> Self {
        Self { key: pair.key, value: pair.value, last_index: pair.modified_index.get() }
    }
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub action: Action,
    /// The key that changed; the watched one of an `INIT` and an `ERROR`.
    pub key: String,
    /// The index of the change; of an `INIT` that of the state.
    pub modified_index: u64,
    /// The changed pair, without a value if it was deleted; of `watch_tree` and of an `INIT` all of what is watched; of
    /// an `ERROR` one pair `error` with its text.
    pub data: Vec<KVPair>,
}

impl Event {
    /// The text of an `ERROR`; else empty.
    #[must_use]
    pub fn error(&self) -> String {
        let text = self.data.iter().find(|pair| self.action == Action::Error && pair.key == "error");
        text.map_or(String::new(), |pair| String::from_utf8_lossy(&pair.value).into_owned())
    }

    pub(super) fn of_error(key: &str, error: &Error) -> Self {
        let told = KVPair { key: "error".to_owned(), value: error.to_string().into(), last_index: 0 };
        Self { action: Action::Error, key: key.to_owned(), modified_index: 0, data: vec![told] }
    }
}

/// As the Go package writes it, values included: `update a/b: a/b => 1,`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.action, self.key)?;
        self.data.iter().try_for_each(|pair| write!(f, "{} => {},", pair.key, String::from_utf8_lossy(&pair.value)))
    }
}

/// The events of a watch, in order: the Go package's channel. It ends after an `ERROR`, or when the watched directory
/// is gone; dropping it ends the watch.
pub struct Events(Fuse<BoxStream<'static, Event>>);

impl Events {
    /// Events from any stream: for stores of your own.
    #[must_use]
    pub fn new(events: BoxStream<'static, Event>) -> Self {
        Self(events.fuse())
    }

    /// The next event; `None` after the last one, however often it is asked for.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.next().await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
