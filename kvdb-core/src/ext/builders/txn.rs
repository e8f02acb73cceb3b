use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use super::Boxed;
use crate::{CallOptions, Compare, Kvdb, Result, Txn, TxnOp, TxnReply};

/// If/then/else on any keys.
#[must_use = "a builder does nothing until it is awaited"]
pub struct TxnBuilder<'a, K: ?Sized> {
    kv: &'a K,
    txn: Txn,
    options: CallOptions,
}

impl<'a, K: Kvdb + ?Sized> TxnBuilder<'a, K> {
    pub(in crate::ext) fn new(kv: &'a K) -> Self {
        Self { kv, txn: Txn::default(), options: CallOptions::default() }
    }

    /// Adds a compare; all of them must hold for `then` to run.
    pub fn when(mut self, compare: impl Into<Compare>) -> Self {
        self.txn.when.push(compare.into());
        self
    }

    /// Adds an operation of the branch that runs if all compares hold.
    pub fn then(mut self, op: TxnOp) -> Self {
        self.txn.then.push(op);
        self
    }

    /// Adds an operation of the branch that runs if one does not.
    pub fn otherwise(mut self, op: TxnOp) -> Self {
        self.txn.otherwise.push(op);
        self
    }

    /// Sets the deadline of this call.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }
}

impl<'a, K: Kvdb + ?Sized> IntoFuture for TxnBuilder<'a, K> {
    type Output = Result<TxnReply>;
    type IntoFuture = Boxed<'a, TxnReply>;

    fn into_future(self) -> Self::IntoFuture {
        self.kv.txn_opts(self.txn, self.options)
    }
}

impl<K: ?Sized> fmt::Debug for TxnBuilder<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxnBuilder").field("txn", &self.txn).finish_non_exhaustive()
    }
}
