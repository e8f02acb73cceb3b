use std::future::IntoFuture;
use std::time::Duration;

use bytes::Bytes;

use super::{Boxed, refused};
use crate::{Fence, IntoValue, KvFlags, KvPair, Kvdb, LeaseId, LockGuard, Precondition, PutOptions, Result, Revision};

/// Writes a key.
#[must_use = "a builder does nothing until it is awaited"]
pub struct Put<'a, K: ?Sized> {
    kv: &'a K,
    key: &'a str,
    value: Result<Bytes>,
    pub(super) options: PutOptions,
}

impl<'a, K: Kvdb + ?Sized> Put<'a, K> {
    pub(in crate::ext) fn new(kv: &'a K, key: &'a str, value: Result<Bytes>) -> Self {
        Self { kv, key, value, options: PutOptions::default() }
    }

    pub(in crate::ext) fn compare(kv: &'a K, pair: &'a KvPair, flags: KvFlags, previous: Option<Bytes>) -> Self {
        let mut options = PutOptions { previous: true, ..PutOptions::default() };
        if flags.contains(KvFlags::TTL) {
            options.ttl = pair.ttl;
        }
        let value = Precondition::from_flags(pair, flags, previous).map(|when| {
            options.when = when;
            pair.value.clone()
        });
        Self { kv, key: &pair.key, value, options }
    }

    /// Deletes the key after this long (TTL).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// Attaches the key to a lease.
    pub fn lease(mut self, lease: &LeaseId) -> Self {
        self.options.lease = Some(lease.clone());
        self
    }

    /// The key must be absent. Of this and [`Put::if_present`] the last one counts.
    pub fn if_absent(mut self) -> Self {
        self.options.when.exists = Some(false);
        self
    }

    /// The key must be present. Of this and [`Put::if_absent`] the last one counts.
    pub fn if_present(mut self) -> Self {
        self.options.when.exists = Some(true);
        self
    }

    /// Answers the pair before the write, in `previous`.
    pub fn previous(mut self) -> Self {
        self.options.previous = true;
        self
    }

    conditions!();
    timeout!();
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for Put<'a, K> {
    type Output = Result<KvPair>;
    type IntoFuture = Boxed<'a, KvPair>;

    fn into_future(self) -> Self::IntoFuture {
        match self.value {
            Ok(value) => self.kv.put_opts(self.key, value, self.options),
            Err(error) => refused(error),
        }
    }
}
