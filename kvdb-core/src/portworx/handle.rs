//! What the Go library can set on a store, and its wrappers.

use std::time::Duration;

use super::{FatalErrorCB, WrapperName};
use crate::{Handle, Options, Result};

/// The Go library's settings of a store. `set_lock_hold_duration` is the handle's own method of that name.
pub trait Settings {
    /// Sets what is called when something breaks that no call can report. It may call anything, this included.
    fn set_fatal_cb(&self, callback: FatalErrorCB);

    /// How long a lock may be held before the fatal callback is called; zero is for ever.
    fn get_lock_hold_duration(&self) -> Duration;

    /// How long taking a lock waits unless told otherwise.
    fn get_lock_try_duration(&self) -> Duration;
}

impl Settings for Handle {
    fn set_fatal_cb(&self, callback: FatalErrorCB) {
        self.set_fatal_callback(callback);
    }

    fn get_lock_hold_duration(&self) -> Duration {
        self.lock_hold_duration().unwrap_or_default()
    }

    fn get_lock_try_duration(&self) -> Duration {
        self.lock_try_duration()
    }
}

/// Puts a wrapper around the store and answers the handle. Every clone of it is wrapped too, so nobody needs to fetch
/// the store anew, as in the Go library.
///
/// # Errors
/// `UnknownWrapper` listing the linked ones; `InvalidArgument` when it is on already.
pub fn add_wrapper(wrapper: WrapperName, kvdb: &Handle, options: &Options) -> Result<Handle> {
    kvdb.add_wrapper(wrapper, options)?;
    Ok(kvdb.clone())
}

/// Takes a wrapper off and answers the handle; one that is not on is Ok.
///
/// # Errors
/// `UnknownWrapper` listing the linked ones.
pub fn remove_wrapper(wrapper: WrapperName, kvdb: &Handle) -> Result<Handle> {
    kvdb.remove_wrapper(wrapper)?;
    Ok(kvdb.clone())
}
