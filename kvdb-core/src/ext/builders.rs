//! The builders behind the verbs of [`crate::KvdbExt`]: each is a future once awaited.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::{Error, Result};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A refusal that is known before anything is sent.
fn refused<'a, T: Send + 'a>(error: Error) -> Boxed<'a, T> {
    Box::pin(std::future::ready(Err(error)))
}

macro_rules! shown {
    ($($builder:ident),*) => {$(
        impl<K: ?Sized> fmt::Debug for $builder<'_, K> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($builder)).field("options", &self.options).finish_non_exhaustive()
            }
        }
    )*};
}
macro_rules! timeout {
    () => {
        /// Sets the deadline of this call.
        pub fn timeout(mut self, timeout: Duration) -> Self {
            self.options.timeout = Some(timeout);
            self
        }
    };
}

macro_rules! freshness {
    () => {
        /// May lag behind: the cheapest read.
        pub fn stale(mut self) -> Self {
            self.options.consistency = Consistency::Stale;
            self
        }

        /// Linearizable on every store, at the price of a write where the store needs one.
        pub fn strict(mut self) -> Self {
            self.options.consistency = Consistency::Strict;
            self
        }

        /// Reads at a past revision (REVISION_READS).
        pub fn at(mut self, revision: impl Into<Revision>) -> Self {
            self.options.at = Some(revision.into());
            self
        }
    };
}

macro_rules! conditions {
    () => {
        /// The key must be present and unchanged since `pair` was read or written.
        pub fn if_unchanged(self, pair: &KvPair) -> Self {
            self.if_revision(pair.modified_index)
        }

        /// The key's last write must be this revision.
        pub fn if_revision(mut self, revision: impl Into<Revision>) -> Self {
            self.options.when.modified = Some(revision.into());
            self
        }

        /// The key must be of the incarnation that this revision created.
        pub fn if_created(mut self, revision: impl Into<Revision>) -> Self {
            self.options.when.created = Some(revision.into());
            self
        }

        /// The key must be present with exactly this value.
        pub fn if_value(mut self, value: impl IntoValue) -> Self {
            self.options.when.value = Some(value.into_value());
            self
        }

        /// Fails with `LockLost` once this lock is lost or passed on.
        pub fn fence(mut self, lock: &LockGuard) -> Self {
            self.options.fence = Some(lock.fence());
            self
        }

        /// Fails with `LockLost` once the lock of this fence is lost or passed on.
        pub fn fenced_by(mut self, fence: Fence) -> Self {
            self.options.fence = Some(fence);
            self
        }
    };
}

// Behind the macros, which they use.
mod delete;
mod get;
mod list;
mod lock;
mod put;
mod txn;
mod watch;

pub use delete::{Delete, DeleteTree};
pub use get::Get;
pub use list::{Keys, List};
pub use lock::Lock;
pub use put::Put;
pub use txn::TxnBuilder;
pub use watch::WatchBuilder;

shown!(Get, Put, Delete, DeleteTree, List, Keys, WatchBuilder, Lock);
