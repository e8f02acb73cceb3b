//! What was last seen of keys: a guess at what stands there, so that a write's first try is the right one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kvdb_core::{Entry, Key, LeaseId, Revision};

/// Keys of each of the two generations, of which the older is forgotten when the younger is full.
const KEYS: usize = 8192;

/// A key as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) modified: Revision,
    /// The session that held it.
    pub(crate) holder: Option<Arc<str>>,
}

/// The present keys that a handle has seen last, at most 16,384. It may be wrong in everything: each write checks what
/// it took from here.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Sight>,
    old: HashMap<Key, Sight>,
}

impl Seen {
    pub(crate) fn get(&self, key: &Key) -> Option<Sight> {
        let generations = self.lock();
        generations.young.get(key).or_else(|| generations.old.get(key)).cloned()
    }

    pub(crate) fn note(&self, entry: &Entry) {
        let holder = match &entry.lease {
            Some(LeaseId::Text(session)) => Some(Arc::clone(session)),
            _ => None,
        };
        let mut generations = self.lock();
        if generations.young.len() >= KEYS {
            generations.old = std::mem::take(&mut generations.young);
        }
        // Not the caller's own buffer, which may be a part of something large.
        let key = Key::copy_from(entry.key.as_bytes());
        generations.young.insert(key, Sight { modified: entry.modified, holder });
    }

    pub(crate) fn forget(&self, key: &Key) {
        let mut generations = self.lock();
        generations.young.remove(key);
        generations.old.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: usize, session: Option<&str>) -> Entry {
        Entry {
            key: Key::from(key.to_string()),
            value: "v".into(),
            created: Revision::new(1),
            modified: Revision::new(2),
            version: None,
            lease: session.map(|session| LeaseId::Text(session.into())),
            ttl: None,
        }
    }

    #[test]
    fn the_last_keys_are_remembered_and_no_more() {
        let seen = Seen::default();
        for key in 0..5 * KEYS {
            seen.note(&entry(key, None));
        }
        let newest = seen.get(&Key::from((5 * KEYS - 1).to_string()));
        assert_eq!(newest, Some(Sight { modified: Revision::new(2), holder: None }));
        assert_eq!(seen.get(&Key::from("0")), None);
        let generations = seen.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * KEYS);
    }

    #[test]
    fn a_forgotten_key_is_unknown_in_both_generations() {
        let seen = Seen::default();
        for key in 0..=KEYS {
            seen.note(&entry(key, Some("s")));
        }
        for key in [0, KEYS] {
            let key = Key::from(key.to_string());
            assert_eq!(seen.get(&key).and_then(|sight| sight.holder).as_deref(), Some("s"));
            seen.forget(&key);
            assert_eq!(seen.get(&key), None);
        }
    }
}
