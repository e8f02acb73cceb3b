use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use kvdb::{Error, ErrorKind, Operation, Options, Result};

use super::{KvStore, Store};

/// What an [`Initializer`] answers with.
pub type Initializing = Pin<Box<dyn Future<Output = Result<Arc<dyn Store>>> + Send>>;

/// Opens a store at these addresses.
pub type Initializer = Arc<dyn Fn(Vec<String>) -> Initializing + Send + Sync>;

static REGISTERED: RwLock<BTreeMap<String, Initializer>> = RwLock::new(BTreeMap::new());

/// Makes a store known to [`new`] by a name, in place of what had the name before, a linked backend included.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kvdb::Result<()> {
/// use kvdb_compat::libkv::{self, KvStore};
/// use std::sync::Arc;
///
/// libkv::register("shared", |_addrs| async {
///     let store: Arc<dyn libkv::Store> = Arc::new(KvStore::over(kvdb::connect("mem:shared").await?));
///     Ok(store)
/// });
/// libkv::new("shared", &[]).await?.put("a", b"1").await
/// # }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
pub fn register<F>(name: &str, f: impl Fn(Vec<String>) -> F + Send + Sync + 'static)
where
    F: Future<Output = Result<Arc<dyn Store>>> + Send + 'static,
{
    let initializer: Initializer = Arc::new(move |addrs| Box::pin(f(addrs)));
    REGISTERED.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), initializer);
}

/// Opens the store of this name at these addresses: one that was registered, else a linked backend of `kvdb`. For a
/// backend with a domain or with options open a handle and take [`KvStore::over`].
///
/// # Errors
/// `UnknownBackend` (`ErrBackendNotSupported`) listing the names that are known; what opening the store answers.
///
/// # Cancel safety
/// A dropped future opens nothing, or what it opened is closed again.
pub async fn new(name: &str, addrs: &[&str]) -> Result<Arc<dyn Store>> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
    if let Some(initializer) = registered {
        return initializer(addrs.iter().map(|addr| (*addr).to_owned()).collect()).await;
    }
    match kvdb::new(name, "", addrs, Options::new()).await {
        Ok(handle) => Ok(Arc::new(KvStore::over(handle))),
        Err(error) if *error.kind() == ErrorKind::UnknownBackend => Err(unknown(&error)),
        Err(error) => Err(error),
    }
}

/// The error that lists the linked backends, with what was registered.
fn unknown(error: &Error) -> Error {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    let names = registered.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { "none".to_owned() } else { names };
    Error::new(ErrorKind::UnknownBackend, format!("{}; registered are: {names}", error.message()))
        .with_operation(Operation::Connect)
}

/// The addresses as endpoints with this scheme, in their order; one that has a scheme already stays as it is.
#[must_use]
pub fn create_endpoints(addrs: &[&str], scheme: &str) -> Vec<String> {
    let endpoint = |addr: &&str| match addr.contains("://") {
        true => (*addr).to_owned(),
        false => format!("{scheme}://{addr}"),
    };
    addrs.iter().map(endpoint).collect()
}

#[cfg(test)]
mod tests {
    use super::create_endpoints;

    #[test]
    fn endpoints_have_the_scheme_once() {
        assert_eq!(create_endpoints(&["h1:2379", "http://h2:2379"], "https"), ["https://h1:2379", "http://h2:2379"]);
        assert_eq!(create_endpoints(&[], "http"), [""; 0]);
    }
}
