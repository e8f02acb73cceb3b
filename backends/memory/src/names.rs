use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use crate::core::Core;

/// The stores of this process that have a name.
static NAMED: LazyLock<Mutex<HashMap<String, Named>>> = LazyLock::new(Mutex::default);

enum Named {
    /// Lives as long as a handle does.
    WhileUsed(Weak<Core>),
    /// Lives as long as the process.
    Kept(Arc<Core>),
}

/// The store of this name, made with `make` if there is none.
pub(crate) fn shared(name: &str, keep: bool, make: impl FnOnce() -> Core) -> Arc<Core> {
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    named.retain(|_, store| !matches!(store, Named::WhileUsed(core) if core.strong_count() == 0));
    let present = named.get(name).and_then(|store| match store {
        Named::WhileUsed(core) => core.upgrade(),
        Named::Kept(core) => Some(Arc::clone(core)),
    });
    let kept = matches!(named.get(name), Some(Named::Kept(_)));
    let core = present.unwrap_or_else(|| Arc::new(make()));
    let entry = if keep || kept { Named::Kept(Arc::clone(&core)) } else { Named::WhileUsed(Arc::downgrade(&core)) };
    named.insert(name.to_owned(), entry);
    core
}
