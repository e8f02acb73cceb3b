use std::future::IntoFuture;
use std::time::Duration;

use super::{Boxed, refused};
use crate::{
    DeleteOptions, Error, Fence, IntoValue, KvFlags, KvPair, Kvdb, LockGuard, Precondition, Result, Revision, Target,
};

/// Deletes a key.
#[must_use = "a builder does nothing until it is awaited"]
pub struct Delete<'a, K: ?Sized> {
    kv: &'a K,
    key: &'a str,
    pub(super) options: DeleteOptions,
    refusal: Option<Error>,
}

impl<'a, K: Kvdb + ?Sized> Delete<'a, K> {
    pub(in crate::ext) fn new(kv: &'a K, key: &'a str) -> Self {
        Self { kv, key, options: DeleteOptions::default(), refusal: None }
    }

    pub(in crate::ext) fn compare(kv: &'a K, pair: &'a KvPair, flags: KvFlags) -> Self {
        let mut delete = Self::new(kv, &pair.key);
        let value = (flags - KvFlags::TTL).is_empty().then(|| pair.value.clone());
        match Precondition::from_flags(pair, flags, value) {
            Ok(when) => delete.options.when = when,
            Err(error) => delete.refusal = Some(error),
        }
        delete
    }

    conditions!();
    timeout!();
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for Delete<'a, K> {
    type Output = Result<KvPair>;
    type IntoFuture = Boxed<'a, KvPair>;

    fn into_future(self) -> Self::IntoFuture {
        if let Some(error) = self.refusal {
            return refused(error);
        }
        Box::pin(async move {
            let deleted = self.kv.delete_opts(Target::Key(self.key), self.options).await?;
            deleted
                .pair
                .ok_or_else(|| Error::new(crate::ErrorKind::Internal, "a deletion answered no pair").with_key(self.key))
        })
    }
}

/// Deletes a directory.
#[must_use = "a builder does nothing until it is awaited"]
pub struct DeleteTree<'a, K: ?Sized> {
    kv: &'a K,
    target: Target<'a>,
    pub(super) options: DeleteOptions,
}

impl<'a, K: Kvdb + ?Sized> DeleteTree<'a, K> {
    pub(in crate::ext) fn new(kv: &'a K, target: Target<'a>) -> Self {
        Self { kv, target, options: DeleteOptions::default() }
    }

    /// Fails with `LockLost` once this lock is lost or passed on.
    pub fn fence(mut self, lock: &LockGuard) -> Self {
        self.options.fence = Some(lock.fence());
        self
    }

    timeout!();
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for DeleteTree<'a, K> {
    type Output = Result<u64>;
    type IntoFuture = Boxed<'a, u64>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.kv.delete_opts(self.target, self.options).await?.removed) })
    }
}
