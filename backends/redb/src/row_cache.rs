//! The small values that were read last.

use std::fmt;
use std::sync::{Mutex, OnceLock};

use bytes::Bytes;

/// Values over this many bytes are read from the file each time: copying them costs more than finding them.
const VALUE_BYTES: usize = 512;

/// Places that are allocated together, once one of them is needed.
const CHUNK: usize = 1024;

/// Rows of the log by revision and place in it.
///
/// A row never changes and its number never comes again, so that nothing here is ever out of date. Each row has one
/// place, which the last one read there keeps: rows of the last so-many revisions do not push each other out. A get
/// that finds its row here takes a third of the time of one that goes through the file's pages.
pub(crate) struct RowCache {
    chunks: Box<[OnceLock<Chunk>]>,
}

type Chunk = Box<[Mutex<Option<Cached>>]>;

struct Cached {
    at: (u64, u32),
    value: Bytes,
}

impl fmt::Debug for RowCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowCache").field("rows", &(self.chunks.len() * CHUNK)).finish()
    }
}

impl RowCache {
    /// Room for about so many rows; 0 is no cache.
    pub(crate) fn new(rows: usize) -> Self {
        Self { chunks: (0..rows.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect() }
    }

    pub(crate) fn get(&self, at: (u64, u32)) -> Option<Bytes> {
        let (chunk, place) = self.place(at)?;
        // A place that somebody else looks at just now is not worth waiting for.
        let cached = self.chunks.get(chunk)?.get()?.get(place)?.try_lock().ok()?;
        cached.as_ref().filter(|cached| cached.at == at).map(|cached| cached.value.clone())
    }

    /// Keeps a value that was copied out of the file.
    pub(crate) fn keep(&self, at: (u64, u32), value: &Bytes) {
        if value.len() > VALUE_BYTES {
            return;
        }
        let Some((chunk, place)) = self.place(at) else { return };
        let Some(chunk) = self.chunks.get(chunk) else { return };
        let chunk = chunk.get_or_init(|| (0..CHUNK).map(|_| Mutex::new(None)).collect());
        if let Some(Ok(mut cached)) = chunk.get(place).map(Mutex::try_lock) {
            *cached = Some(Cached { at, value: value.clone() });
        }
    }

    fn place(&self, (revision, sub): (u64, u32)) -> Option<(usize, usize)> {
        let places = (self.chunks.len() * CHUNK) as u64;
        let place = revision.wrapping_add(u64::from(sub)).checked_rem(places)?;
        let place = usize::try_from(place).ok()?;
        Some((place / CHUNK, place % CHUNK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_until_another_takes_its_place() {
        let cache = RowCache::new(2000);
        let value = Bytes::from_static(b"v");
        for revision in 0..2048 {
            cache.keep((revision, 0), &value);
        }
        assert!((0..2048).all(|revision| cache.get((revision, 0)).is_some()));
        assert_eq!(cache.get((0, 1)), None, "another row of the same place or the next is not taken for it");
        assert_eq!(cache.get((2048, 0)), None);
        cache.keep((2048, 0), &value);
        assert_eq!((cache.get((0, 0)), cache.get((2048, 0))), (None, Some(value)));
    }

    #[test]
    fn great_values_are_not_kept_and_a_cache_may_have_no_room() {
        let (cache, none) = (RowCache::new(1), RowCache::new(0));
        cache.keep((1, 0), &Bytes::from(vec![0; VALUE_BYTES + 1]));
        none.keep((1, 0), &Bytes::new());
        assert_eq!((cache.get((1, 0)), none.get((1, 0))), (None, None));
    }
}
