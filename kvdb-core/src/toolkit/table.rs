use std::hash::{BuildHasher, RandomState};

/// Finds slots by key: open addressing with linear probing over 8 bytes a place, the keys themselves stay in their
/// slots. A standard hash map of keys takes five times the memory and one more cache miss on every look-up, which is
/// what a look-up costs.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// A power of two of places, or none.
    places: Vec<Place>,
    used: usize,
    /// Random for each table, so that nobody can choose keys that collide.
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    tag: u32,
    slot: u32,
}

const EMPTY: Place = Place { tag: 0, slot: u32::MAX };

impl Table {
    /// The number of slots in the table.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// What is kept of a key.
    pub(super) fn tag(&self, key: &[u8]) -> u32 {
        // The upper half: which one does not matter for this hasher.
        (self.hasher.hash_one(key) >> 32) as u32
    }

    /// The slot with this tag for which `is_it` holds.
    pub(super) fn find(&self, tag: u32, mut is_it: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut at = self.home(tag)?;
        loop {
            let place = self.places.get(at)?;
            if place.slot == EMPTY.slot {
                return None;
            }
            if place.tag == tag && is_it(place.slot as usize) {
                return Some(place.slot as usize);
            }
            at = self.after(at);
        }
    }

    /// Adds a slot that is not in the table.
    pub(super) fn insert(&mut self, tag: u32, slot: usize) {
        // Four fifths full at most: a search looks at two or three places, which are neighbours in memory, and a
        // table half as large misses the caches less often.
        if (self.used + 1) * 5 > self.places.len() * 4 {
            self.grow();
        }
        // Memory ends long before 32 bits of slots do.
        let Ok(slot) = u32::try_from(slot) else { return };
        self.used += 1;
        self.place(Place { tag, slot });
    }

    /// Removes a slot.
    pub(super) fn remove(&mut self, tag: u32, slot: usize) {
        let Some(mut hole) = self.home(tag) else { return };
        loop {
            match self.places.get(hole) {
                Some(place) if place.slot as usize == slot => break,
                Some(place) if place.slot != EMPTY.slot => hole = self.after(hole),
                _ => return,
            }
        }
        self.used -= 1;
        // What follows moves up as far as its home allows, so that no search ends too early.
        let mut at = hole;
        loop {
            at = self.after(at);
            let Some(place) = self.places.get(at).copied().filter(|place| place.slot != EMPTY.slot) else { break };
            let Some(home) = self.home(place.tag) else { break };
            if self.distance(home, at) >= self.distance(hole, at) {
                self.set(hole, place);
                hole = at;
            }
        }
        self.set(hole, EMPTY);
    }

    fn grow(&mut self) {
        let places = (self.places.len() * 2).max(16);
        let old = std::mem::replace(&mut self.places, vec![EMPTY; places]);
        for place in old.into_iter().filter(|place| place.slot != EMPTY.slot) {
            self.place(place);
        }
    }

    fn place(&mut self, place: Place) {
        let Some(mut at) = self.home(place.tag) else { return };
        while self.places.get(at).is_some_and(|there| there.slot != EMPTY.slot) {
            at = self.after(at);
        }
        self.set(at, place);
    }

    fn set(&mut self, at: usize, place: Place) {
        if let Some(there) = self.places.get_mut(at) {
            *there = place;
        }
    }

    /// Where a tag belongs: its upper bits.
    fn home(&self, tag: u32) -> Option<usize> {
        let bits = self.places.len().checked_ilog2()?;
        Some(((u64::from(tag) << bits) >> 32) as usize)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.places.len().wrapping_sub(1))
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.places.len().wrapping_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Few tags, so that runs of places grow long and wrap around.
    fn check(seed: u64, tags: u64) {
        let mut state = seed;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mut table = Table::default();
        let mut model = BTreeMap::new();
        for _ in 0..20_000 {
            let slot = usize::try_from(random() % 500).unwrap();
            if let Some(tag) = model.remove(&slot) {
                table.remove(tag, slot);
            } else {
                let tag = u32::MAX - u32::try_from(random() % tags).unwrap() * 0x0100_0000;
                model.insert(slot, tag);
                table.insert(tag, slot);
            }
            let slot = usize::try_from(random() % 500).unwrap();
            let tag = model.get(&slot).copied();
            assert_eq!(table.find(tag.unwrap_or(u32::MAX), |it| it == slot), tag.map(|_| slot));
            assert_eq!(table.len(), model.len());
        }
        for (slot, tag) in model {
            assert_eq!(table.find(tag, |it| it == slot), Some(slot));
        }
    }

    #[test]
    fn a_table_finds_exactly_what_is_in_it() {
        for (seed, tags) in [(1, 1), (2, 3), (3, 40), (4, 256)] {
            check(seed, tags);
        }
    }

    #[test]
    fn tags_differ_from_table_to_table() {
        let (one, other) = (Table::default(), Table::default());
        assert!((0..100_u8).any(|key| one.tag(&[key]) != other.tag(&[key])));
    }
}
