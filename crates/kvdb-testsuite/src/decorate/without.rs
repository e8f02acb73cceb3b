use std::sync::Arc;

use kvdb_core::{Backend, Capabilities, Pin};

/// A backend that says it cannot do what it can: what lacks a capability is refused before it is asked.
#[derive(Debug)]
pub struct Without {
    inner: Arc<dyn Backend>,
    lacks: Capabilities,
    pinless: bool,
}

impl Without {
    /// `inner` without these capabilities.
    #[must_use]
    pub fn new(inner: Arc<dyn Backend>, lacks: Capabilities) -> Self {
        Self { inner, lacks, pinless: false }
    }

    /// `inner` without pins: its snapshots are copies.
    #[must_use]
    pub fn pins(inner: Arc<dyn Backend>) -> Self {
        Self { inner, lacks: Capabilities::empty(), pinless: true }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Without {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities() - self.lacks
    }

    /// A pin is history that is kept: a store that cannot read the past has none.
    fn pin(&self) -> Option<Pin> {
        let pinless = self.pinless || self.lacks.intersects(Capabilities::REVISION_READS | Capabilities::WATCH_RESUME);
        if pinless { None } else { self.inner.pin() }
    }

    forward! {
        limits get list commit watch grant keep_alive revoke lease_info compact native_txn get_together at_once admin details close
    }
}
