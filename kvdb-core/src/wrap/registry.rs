//! The wrappers that are linked in or were registered at run time.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::Wrapper;
use crate::{Error, ErrorKind, Kvdb, Options, Result};

/// Makes a wrapper from its options and the store below all wrappers.
pub type MakeWrapper = fn(&Options, &Arc<dyn Kvdb>) -> Result<Arc<dyn Wrapper>>;

/// How the registry knows a wrapper. Each wrapper crate has one as `pub static FACTORY` and submits it:
/// `inventory::submit! { WrapperRegistration(&FACTORY) }`.
pub struct WrapperFactory {
    /// The name apps use.
    pub name: &'static str,
    /// Other names for it, the reference library's included.
    pub aliases: &'static [&'static str],
    /// The crate and its version.
    pub package: &'static str,
    /// Makes one from its options; the store below all wrappers is for probes.
    pub make: MakeWrapper,
}

impl fmt::Debug for WrapperFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrapperFactory({} of {})", self.name, self.package)
    }
}

/// What a wrapper crate submits to `inventory`.
#[derive(Debug)]
pub struct WrapperRegistration(pub &'static WrapperFactory);

inventory::collect!(WrapperRegistration);

static AT_RUN_TIME: RwLock<Vec<&'static WrapperFactory>> = RwLock::new(Vec::new());

/// Adds a wrapper's factory at run time; adding the same one twice is Ok.
///
/// # Errors
/// `InvalidConfig` when a different one has its name.
pub fn register_wrapper(factory: &'static WrapperFactory) -> Result<()> {
    let known = wrapper_factories();
    if known.iter().any(|present| std::ptr::eq(*present, factory)) {
        return Ok(());
    }
    if let Some(present) = known.iter().find(|present| present.name == factory.name) {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            format!("two wrappers are named `{}`: {} and {}", factory.name, present.package, factory.package),
        ));
    }
    AT_RUN_TIME.write().unwrap_or_else(PoisonError::into_inner).push(factory);
    Ok(())
}

/// All wrappers' factories, sorted by name.
#[must_use]
pub fn wrapper_factories() -> Vec<&'static WrapperFactory> {
    let added = AT_RUN_TIME.read().unwrap_or_else(PoisonError::into_inner);
    let submitted = inventory::iter::<WrapperRegistration>.into_iter().map(|registration| registration.0);
    let mut all: Vec<&'static WrapperFactory> = Vec::new();
    for factory in submitted.chain(added.iter().copied()) {
        if !all.iter().any(|known| std::ptr::eq(*known, factory)) {
            all.push(factory);
        }
    }
    all.sort_by_key(|factory| factory.name);
    all
}

/// The factory that answers to `name`.
pub(super) fn find(name: &str) -> Result<&'static WrapperFactory> {
    let all = wrapper_factories();
    let found = all.iter().copied().find(|factory| factory.name == name || factory.aliases.contains(&name));
    found.ok_or_else(|| {
        let known = all.iter().map(|factory| factory.name).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none".to_owned() } else { known };
        Error::new(
            ErrorKind::UnknownWrapper,
            format!("`{}` is not linked in; linked wrappers are: {known}", name.escape_debug()),
        )
    })
}
