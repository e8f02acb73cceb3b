//! Opening a store by name or by URI.

use kvdb_core::registry::BackendFactory;
use kvdb_core::{Error, Handle, Operation, Options, Result};

use crate::uri::StoreUri;
use crate::{linked, password};

/// Opens the store that `name` and `endpoints` tell; every key is below `domain`.
///
/// Names and aliases are the reference library's too: [`crate::backends`] lists what this build has. No endpoints
/// mean the store's default: localhost, a private store in memory. A user without a password gets the one in
/// `password_file` or in the variable `KVDB_PASSWORD`.
///
/// Runs inside a tokio runtime with its timer enabled; the handle lives no longer than that runtime.
///
/// # Errors
/// `UnknownBackend` naming the linked ones and what adds the missing one; `InvalidConfig` for options that make no
/// sense, before anything is opened; what the store itself answers.
///
/// # Cancel safety
/// A dropped future opens nothing, or what it opened is closed again.
pub async fn new(name: &str, domain: &str, endpoints: &[&str], options: Options) -> Result<Handle> {
    let endpoints = endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect();
    open(name, domain, endpoints, options).await
}

/// Opens the store behind a URI, options and domain included.
///
/// `mem:` is a private store, `mem:name` one that this process shares by name; `redb:app.redb` and
/// `redb:///var/lib/app.redb?domain=myapp` are files. Stores behind a network are
/// `scheme://host:port,host:port/domain?option=value`, as `etcd://h1,h2:2379/myapp?username=me`; with TLS
/// `etcd+https://h1/myapp?ca_file=/etc/etcd/ca.pem`. Percent-encoded bytes are decoded.
///
/// # Errors
/// As [`new`]; `InvalidConfig` for a URI that makes no sense.
///
/// # Cancel safety
/// As [`new`].
pub async fn connect(uri: &str) -> Result<Handle> {
    connect_with(uri, Options::new()).await
}

/// Opens the store behind a URI with options beside those that the URI has; the option `domain` is the domain.
///
/// # Errors
/// As [`connect`]; `InvalidConfig` for an option or a domain that is given here and there, with different values.
///
/// # Cancel safety
/// As [`new`].
pub async fn connect_with(uri: &str, options: Options) -> Result<Handle> {
    let (uri, options) = read(uri, options).map_err(|error| error.with_operation(Operation::Connect))?;
    let domain = options.get("domain").unwrap_or_default().to_owned();
    open(&uri.backend, &domain, uri.endpoints, options.without("domain")).await
}

fn read(uri: &str, options: Options) -> Result<(StoreUri, Options)> {
    let uri = StoreUri::parse(uri)?;
    let options = uri.options_over(options)?;
    Ok((uri, options))
}

async fn open(name: &str, domain: &str, endpoints: Vec<String>, options: Options) -> Result<Handle> {
    linked::register_wrappers()?;
    let factory = linked::find(name).map_err(|error| error.with_operation(Operation::Connect))?;
    let opened = async {
        let options = password::fill(options)?;
        let backend = (factory.connect)(endpoints, options.clone()).await?;
        Handle::open(factory.name, backend, domain, &options)
    };
    opened.await.map_err(|error| named(error, factory))
}

fn named(error: Error, factory: &BackendFactory) -> Error {
    error.with_operation(Operation::Connect).with_backend(factory.name)
}

/// What [`version`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Version {
    /// The reference library's name of the API, such as `etcdv3`.
    pub api: &'static str,
    /// The version that the store tells of itself.
    pub server: String,
}

/// Asks the store behind a URI, its first endpoint, for its version, without opening a handle.
///
/// # Errors
/// As [`connect`].
///
/// # Cancel safety
/// A dropped future leaves nothing.
pub async fn version_at(uri: &str, options: Options) -> Result<Version> {
    let (uri, options) = read(uri, options).map_err(|error| error.with_operation(Operation::Connect))?;
    let endpoint = uri.endpoints.first().map_or("", String::as_str);
    version(&uri.backend, endpoint, options.without("domain")).await
}

/// Asks the store behind one endpoint for its version, without opening a handle.
///
/// # Errors
/// As [`new`].
///
/// # Cancel safety
/// A dropped future leaves nothing.
pub async fn version(name: &str, url: &str, options: Options) -> Result<Version> {
    let factory = linked::find(name).map_err(|error| error.with_operation(Operation::Connect))?;
    let asked = async {
        let options = password::fill(options)?;
        (factory.version)(url.to_owned(), options).await
    };
    let server = asked.await.map_err(|error| named(error, factory))?;
    Ok(Version { api: factory.api, server })
}
