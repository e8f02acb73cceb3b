//! The highest index that a handle has seen.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a consistent read shows when it begins after an index was seen holds every write up to that index, though
/// Consul's own answer tells the index of the last change below its prefix only. So revisions never fall in a handle.
#[derive(Debug, Default)]
pub(crate) struct Highest(AtomicU64);

impl Highest {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn saw(&self, index: u64) {
        self.0.fetch_max(index, Ordering::AcqRel);
    }

    /// Begins anew: indexes go back when an operator restores the store.
    pub(crate) fn forget(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Notes the index of a write that was sent when `before` was the highest.
    pub(crate) fn wrote(&self, before: u64, index: u64) {
        if index <= before {
            self.forget();
        }
        self.saw(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_until_a_write_shows_that_indexes_went_back() {
        let highest = Highest::default();
        highest.saw(7);
        highest.saw(5);
        assert_eq!(highest.get(), 7);
        // Sent before the 7 was seen.
        highest.wrote(4, 6);
        assert_eq!(highest.get(), 7);
        highest.wrote(7, 3);
        assert_eq!(highest.get(), 3);
    }
}
