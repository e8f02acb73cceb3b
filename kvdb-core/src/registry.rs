//! The backends that are linked in or were registered at run time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, RwLock};

use crate::{Backend, Capabilities, Error, ErrorKind, Limits, Options, Result};

/// The future a factory answers with.
pub type Connecting<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// How the registry knows a backend. Each backend crate has one as `pub static FACTORY` and submits it:
/// `inventory::submit! { Registration(&FACTORY) }`.
pub struct BackendFactory {
    /// The name apps use.
    pub name: &'static str,
    /// Other names for it, the reference library's included.
    pub aliases: &'static [&'static str],
    /// The reference library's name of the API, such as `etcdv3`; `version` answers it.
    pub api: &'static str,
    /// The crate and its version, to tell two linked versions apart.
    pub package: &'static str,
    /// What a store of this kind can do, as far as it is known without one.
    pub capabilities: Capabilities,
    /// What a store of this kind can take, as far as it is known without one.
    pub limits: fn() -> Limits,
    /// Opens a store. Endpoints are the backend's own: addresses, a path, a name; none means the default one.
    pub connect: fn(Vec<String>, Options) -> Connecting<Arc<dyn Backend>>,
    /// Asks the store behind one endpoint for its version.
    pub version: fn(String, Options) -> Connecting<String>,
}

impl fmt::Debug for BackendFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendFactory({} of {})", self.name, self.package)
    }
}

impl BackendFactory {
    fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// What a backend crate submits to `inventory`.
#[derive(Debug)]
pub struct Registration(pub &'static BackendFactory);

inventory::collect!(Registration);

static AT_RUN_TIME: RwLock<Vec<&'static BackendFactory>> = RwLock::new(Vec::new());

/// Adds a factory at run time: for static libraries, which lose what `inventory` collects, and for tests. Adding the
/// same one twice is Ok.
///
/// # Errors
/// `InvalidConfig` when a different factory has one of its names.
pub fn register(factory: &'static BackendFactory) -> Result<()> {
    let mut added = AT_RUN_TIME.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let submitted = inventory::iter::<Registration>.into_iter().map(|registration| registration.0);
    for present in submitted.chain(added.iter().copied()) {
        if std::ptr::eq(present, factory) {
            return Ok(());
        }
        let names = std::iter::once(&factory.name).chain(factory.aliases);
        if let Some(name) = names.into_iter().find(|name| present.answers_to(name)) {
            return Err(clash(name, present, factory));
        }
    }
    added.push(factory);
    Ok(())
}

/// All factories: `linked` (the facade's own list), what was submitted, what was added at run time; doubles removed
/// by address, sorted by name.
#[must_use]
pub fn factories(linked: &[&'static BackendFactory]) -> Vec<&'static BackendFactory> {
    let added = AT_RUN_TIME.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let submitted = inventory::iter::<Registration>.into_iter().map(|registration| registration.0);
    let mut all: Vec<&'static BackendFactory> = Vec::new();
    for factory in linked.iter().copied().chain(submitted).chain(added.iter().copied()) {
        if !all.iter().any(|known| std::ptr::eq(*known, factory)) {
            all.push(factory);
        }
    }
    all.sort_by_key(|factory| factory.name);
    all
}

/// The factory that answers to `name`.
///
/// # Errors
/// `UnknownBackend` listing the linked ones; `InvalidConfig` when two different factories answer to the name.
pub fn find(name: &str, linked: &[&'static BackendFactory]) -> Result<&'static BackendFactory> {
    let all = factories(linked);
    let mut found = all.iter().copied().filter(|factory| factory.answers_to(name));
    match (found.next(), found.next()) {
        (Some(factory), None) => Ok(factory),
        (Some(one), Some(other)) => Err(clash(name, one, other)),
        (None, _) => {
            let linked = all.iter().map(|factory| factory.name).collect::<Vec<_>>().join(", ");
            let linked = if linked.is_empty() { "none".to_owned() } else { linked };
            Err(Error::new(
                ErrorKind::UnknownBackend,
                format!("`{}` is not linked in; linked are: {linked}", name.escape_debug()),
            ))
        }
    }
}

fn clash(name: &str, one: &BackendFactory, other: &BackendFactory) -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        format!("two backends answer to `{name}`: {} and {}; link only one of them", one.package, other.package),
    )
}
