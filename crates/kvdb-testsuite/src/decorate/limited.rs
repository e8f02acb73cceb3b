use std::sync::Arc;

use kvdb_core::{Backend, Limits};

/// The real store with tighter limits, as another store has them: the engine must keep within them by itself, for the
/// store behind takes more.
#[derive(Debug)]
pub struct Limited {
    inner: Arc<dyn Backend>,
    limits: Limits,
}

impl Limited {
    /// `tighten` changes the store's own limits.
    pub fn new(inner: Arc<dyn Backend>, tighten: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = inner.limits();
        tighten(&mut limits);
        Self { inner, limits }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Limited {
    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    forward! {
        capabilities get list commit watch grant keep_alive revoke lease_info compact native_txn get_together pin at_once
        admin details close
    }
}
