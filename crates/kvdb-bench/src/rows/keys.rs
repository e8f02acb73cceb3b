//! The keys and values that all rows use.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::Failure;

/// How many keys a store holds.
pub(super) const KEYS: usize = 100_000;
/// The domain of our handles.
pub(super) const DOMAIN: &str = "bench";

/// The keys in an order that no cache can guess, the same in every run.
pub(super) fn shuffled() -> Vec<String> {
    let mut keys: Vec<_> = (0..KEYS).map(key).collect();
    keys.shuffle(&mut StdRng::seed_from_u64(10));
    keys
}

/// The n-th key, relative to the domain.
pub(super) fn key(n: usize) -> String {
    format!("config/service-{n:06}/replicas")
}

/// 100 bytes: about what configuration is made of.
pub(super) fn value() -> Bytes {
    Bytes::from(vec![b'v'; 100])
}

/// Runs `operation` until the window is over, looking at the clock only once in 256 times.
pub(super) fn busy(window: Duration, mut operation: impl FnMut() -> Result<(), Failure>) -> Result<u64, Failure> {
    let end = Instant::now() + window;
    let mut operations = 0;
    while Instant::now() < end {
        for _ in 0..256 {
            operation()?;
        }
        operations += 256;
    }
    Ok(operations)
}

/// The key after the last one, round and round.
pub(super) fn next<'a>(keys: &'a [String], at: &mut usize) -> &'a str {
    *at = (*at + 1) % keys.len();
    keys.get(*at).map_or("", String::as_str)
}
