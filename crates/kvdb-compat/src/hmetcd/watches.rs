use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError};

use kvdb::prelude::*;
use kvdb::recipes::{CallbackWatch, call_back};
use kvdb::{ErrorKind, Operation};

use super::kvi::Inner;
use super::{KVC_KEYCHANGE_DELETE, KVC_KEYCHANGE_PUT, Kvi};
use crate::text;

/// What [`Kvi::watch_with_cb`] calls: with the key, its value (empty when it was deleted), what happened to it
/// ([`KVC_KEYCHANGE_PUT`] or [`KVC_KEYCHANGE_DELETE`]) and the user's data; `false` ends the watch. Any closure of this
/// shape will do.
pub type WatchCBFunc<U> = Box<dyn FnMut(&str, &str, i32, &U) -> bool + Send>;

/// A watch with a callback, for [`Kvi::watch_cb_cancel`]. A clone is of the same watch; dropping it ends nothing.
#[derive(Clone)]
pub struct WatchCBHandle {
    watch: CallbackWatch,
    failed: Arc<OnceLock<ErrorKind>>,
}

impl WatchCBHandle {
    /// Whether the callback will not be called again.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.watch.is_finished()
    }

    /// Why the watch ended, if it was for another reason than the three that are meant: `Closed`, `Compacted`, ..
    #[must_use]
    pub fn failure(&self) -> Option<ErrorKind> {
        self.failed.get().cloned()
    }
}

impl fmt::Debug for WatchCBHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchCBHandle")
            .field("finished", &self.is_finished())
            .field("failure", &self.failure())
            .finish()
    }
}

impl Kvi {
    /// Waits for the first change of a key: its new value and [`KVC_KEYCHANGE_PUT`], or an empty text and
    /// [`KVC_KEYCHANGE_DELETE`]. It need not exist yet. The Go package cannot tell an error here; this one does.
    ///
    /// # Errors
    /// Those of a watch; `Serialization` for a value that is not text.
    ///
    /// # Cancel safety
    /// A dropped future ends the watch.
    pub async fn watch(&self, key: &str) -> Result<(String, i32)> {
        let mut watch = self.inner.kv.watch_key(key).await?;
        loop {
            match watch.next().await.transpose()? {
                Some(Event::Put(pair)) => return Ok((text(&pair.key, &pair.value)?, KVC_KEYCHANGE_PUT)),
                Some(Event::Delete(_) | Event::Expire(_)) => return Ok((String::new(), KVC_KEYCHANGE_DELETE)),
                Some(_) => {}
                None => {
                    let ended = Error::new(ErrorKind::WatchStopped, "the watch has ended");
                    return Err(ended.with_operation(Operation::Watch).with_key(key));
                }
            }
        }
    }

    /// Calls `cb` with every change of a key that is an `op`, [`KVC_KEYCHANGE_PUT`] or [`KVC_KEYCHANGE_DELETE`], one
    /// after the other, from the return of this call on.
    ///
    /// The watch ends when `cb` answers `false`, by [`Kvi::watch_cb_cancel`], and when the key is deleted (after `cb`
    /// was called with it, if `op` is a deletion), unless the option `end_on_delete` is off; also with the handle.
    /// Nothing is called after [`Kvi::watch_cb_cancel`] or [`Kvi::close`] has returned.
    ///
    /// `cb` runs on a worker of the runtime and may call anything, but not block for long.
    ///
    /// # Errors
    /// `InvalidArgument` for another `op`; those of a watch.
    ///
    /// # Cancel safety
    /// A dropped future leaves no watch.
    pub async fn watch_with_cb<U: Send + 'static>(
        &self,
        key: &str,
        op: i32,
        mut cb: impl FnMut(&str, &str, i32, &U) -> bool + Send + 'static,
        userdata: U,
    ) -> Result<WatchCBHandle> {
        if op != KVC_KEYCHANGE_PUT && op != KVC_KEYCHANGE_DELETE {
            let message =
                format!("{op} is no change to watch for; they are KVC_KEYCHANGE_PUT and KVC_KEYCHANGE_DELETE");
            return Err(Error::invalid(message).with_operation(Operation::Watch).with_key(key));
        }
        let watch = self.inner.kv.watch_key(key).await?;
        let end_on_delete = self.inner.settings.end_on_delete;
        let failed = Arc::<OnceLock<ErrorKind>>::default();
        let failure = Arc::clone(&failed);
        // Told to `call_back` alone, which then ends the watch.
        let over = || Err(Error::new(ErrorKind::WatchStopped, ""));
        let mut is_over = false;
        let watch = call_back(watch, move |told| {
            let change = told.and_then(|pair| {
                let deleted = matches!(pair.action, KvAction::Delete | KvAction::Expire);
                let value = if deleted { String::new() } else { text(&pair.key, &pair.value)? };
                Ok((pair.key, value, deleted))
            });
            match change {
                Ok((key, value, deleted)) => {
                    let what = if deleted { KVC_KEYCHANGE_DELETE } else { KVC_KEYCHANGE_PUT };
                    let goes_on = what != op || cb(&key, &value, what, &userdata);
                    is_over = !goes_on || deleted && end_on_delete;
                    if is_over { over() } else { Ok(()) }
                }
                Err(error) => {
                    if !is_over {
                        // The first reason stays: behind it comes the last call, that the watch was stopped.
                        let _ = failure.set(error.kind().clone());
                    }
                    over()
                }
            }
        })?;
        self.inner.keep(&watch);
        Ok(WatchCBHandle { watch, failed })
    }

    /// Ends a watch with a callback: once this has returned the callback is neither running nor called again. Any
    /// number of times is fine, also after the watch has ended, and from inside of the callback, where the call under
    /// way is the last one.
    pub fn watch_cb_cancel(&self, cbh: &WatchCBHandle) {
        cbh.watch.cancel();
    }
}

impl Inner {
    fn keep(&self, watch: &CallbackWatch) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| !watch.is_finished());
        watches.push(watch.clone());
    }

    pub(super) fn cancel_watches(&self) {
        let watches = std::mem::take(&mut *self.watches.lock().unwrap_or_else(PoisonError::into_inner));
        // Not under the lock: a callback may set up a watch.
        watches.iter().for_each(CallbackWatch::cancel);
    }
}
