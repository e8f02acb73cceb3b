//! Reads a file's whole history back through a watch.

use kvdb::prelude::*;

use crate::note::Note;
use crate::work::{Sink, Store};

/// The key that marks where the history ended.
pub(crate) const END: &str = "end-of-history";

/// Every event of the domain so far, in order.
pub(crate) async fn all(store: &Store) -> Result<Vec<(u64, String)>> {
    let mut watch = store.kv.watch_tree("").after(Revision::ZERO).await?;
    let end = store.kv.put(END, "").await?.modified_index;
    let mut events = Vec::new();
    while let Some(event) = watch.next().await {
        match event?.pair() {
            Some(pair) if pair.modified_index == end => return Ok(events),
            Some(pair) => events.push((pair.modified_index.get(), pair.key.clone())),
            None => {}
        }
    }
    Err(Error::new(ErrorKind::WatchStopped, "the history ended before its own revision"))
}

/// Tells every event from now on, until the store fails.
pub(crate) async fn follow(store: Store, sink: Sink) -> Result<()> {
    let mut watch = store.kv.watch_tree("").await?;
    while let Some(event) = watch.next().await {
        if let Some(pair) = event?.pair() {
            sink(Note::Saw(pair.modified_index.get(), pair.key.clone()));
        }
    }
    Ok(())
}
