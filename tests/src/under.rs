//! The stores once more, under each wrapper: the suite must not see a difference.

use std::sync::Arc;

use async_trait::async_trait;
use kvdb::{Capabilities, Handle, Limits, Options, Result};
use kvdb_testsuite::{Place, Store, Trial};

/// The variable that narrows the wrappers to a list such as `log,no-quorum`; `none` leaves the bare stores alone.
const NARROW: &str = "KVDB_TEST_WRAPPERS";

/// A store whose trials run under a wrapper.
#[derive(Clone, Debug)]
struct Under {
    store: Arc<dyn Store>,
    wrapper: &'static str,
    options: Options,
}

/// What a wrapped run leaves to the bare one: random programs, which take their time to look for what is not the
/// wrapper's, and what goes to the backend without passing any wrapper.
const LEFT_OUT: &[&str] = &["property ", "10.7 the backend "];

/// The stores under `log`, and under `no-quorum` that rises by itself, over a store that is healthy.
///
/// # Panics
/// When the variable names a wrapper that is none: a run that silently tests nothing would look green.
#[must_use]
pub fn wrapped(stores: &[Arc<dyn Store>]) -> Vec<Arc<dyn Store>> {
    let all = [("log", Options::new()), ("no-quorum", Options::new().set("auto", true))];
    let wanted = std::env::var(NARROW).unwrap_or_default();
    let wanted: Vec<&str> = wanted.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = wanted.iter().find(|name| **name != "none" && !all.iter().any(|(known, _)| known == *name)) {
        panic!("{NARROW} names {unknown:?}; the wrappers are log, no-quorum, or none");
    }
    // Makes the linked wrappers known, as opening a store through the facade does.
    assert!(!kvdb::wrappers().is_empty(), "no wrapper is linked");
    let chosen = all.into_iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name));
    let under = |(wrapper, options): (&'static str, Options)| {
        stores.iter().map(move |store| {
            let store = Arc::clone(store);
            Arc::new(Under { store, wrapper, options: options.clone() }) as Arc<dyn Store>
        })
    };
    chosen.flat_map(under).collect()
}

#[async_trait]
impl Store for Under {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn unsupported(&self) -> &'static [&'static str] {
        self.store.unsupported()
    }

    fn counts_exactly(&self) -> bool {
        self.store.counts_exactly()
    }

    fn leases_make_anew(&self) -> bool {
        self.store.leases_make_anew()
    }

    fn shares_the_machine(&self) -> bool {
        self.store.shares_the_machine()
    }

    fn label(&self) -> String {
        format!("{} under {}", self.store.label(), self.wrapper)
    }

    fn wrap(&self, kv: &Handle) -> Result<()> {
        kv.add_wrapper(self.wrapper, &self.options)
    }

    fn runs(&self, trial: &Trial) -> bool {
        self.store.runs(trial) && !LEFT_OUT.iter().any(|name| trial.name.starts_with(name))
    }

    async fn place(&self) -> Result<Box<dyn Place>> {
        self.store.place().await
    }

    async fn place_of_its_own(&self) -> Result<Box<dyn Place>> {
        self.store.place_of_its_own().await
    }
}
