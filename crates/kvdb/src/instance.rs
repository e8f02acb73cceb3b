//! The one handle that a whole program may share.

use std::sync::{PoisonError, RwLock};

use kvdb_core::Handle;

static INSTANCE: RwLock<Option<Handle>> = RwLock::new(None);

/// Sets the handle that [`instance`] answers from now on, in place of an earlier one. The earlier one is not closed.
pub fn set_instance(handle: Handle) {
    *INSTANCE.write().unwrap_or_else(PoisonError::into_inner) = Some(handle);
}

/// The handle that [`set_instance`] was given last; clones of it share everything.
#[must_use]
pub fn instance() -> Option<Handle> {
    INSTANCE.read().unwrap_or_else(PoisonError::into_inner).clone()
}
