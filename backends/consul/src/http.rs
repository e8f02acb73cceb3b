//! HTTP clients as the options ask for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kvdb_core::{Error, ErrorKind, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Url, redirect, retry};

use crate::config::{ConsulConfig, Settings};

/// One client, for all endpoints unless `resolver` finds one of them.
pub(crate) fn http(config: &ConsulConfig, settings: &Settings, resolver: Option<Pinned>) -> Result<reqwest::Client> {
    let mut headers = HeaderMap::new();
    if let Some(token) = config.acl_token.as_ref().filter(|token| !token.reveal().is_empty()) {
        // The cause is left out: it may show the token.
        let mut value = HeaderValue::from_str(token.reveal())
            .map_err(|_| Error::new(ErrorKind::InvalidConfig, "`acl_token` has characters that no token has"))?;
        value.set_sensitive(true);
        headers.insert("X-Consul-Token", value);
    }
    let mut builder = reqwest::Client::builder()
        .default_headers(headers)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(retry::never())
        .http1_only()
        .connect_timeout(config.dial_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(15))
        // Below the two minutes after which agents close idle connections.
        .pool_idle_timeout(Duration::from_secs(60));
    if let Some(authorities) = &settings.authorities {
        builder = builder.tls_certs_only(authorities.iter().cloned());
    }
    if let Some(identity) = &settings.identity {
        builder = builder.identity(identity.clone());
    }
    if config.insecure_skip_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if let Some(resolver) = resolver {
        builder = builder.dns_resolver(Arc::new(resolver));
    }
    builder.build().map_err(|source| {
        Error::new(ErrorKind::InvalidConfig, "the options of TLS make no client: check certificate and key")
            .with_source(source)
    })
}

/// A client for one endpoint that asks for `name` and connects to the endpoint's own host.
pub(crate) fn named(
    config: &ConsulConfig,
    settings: &Settings,
    url: &Url,
    name: &str,
) -> Result<(Url, reqwest::Client)> {
    let invalid = || Error::new(ErrorKind::InvalidConfig, "`server_name` is not the name of a host");
    let host = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()).ok_or_else(invalid)?;
    let mut asked = url.clone();
    asked.set_host(Some(name)).map_err(|_| invalid())?;
    // Addresses are not looked up, so that the connection would go there.
    if asked.domain().is_none() {
        return Err(invalid());
    }
    let http = http(config, settings, Some(Pinned { host }))?;
    Ok((asked, http))
}

/// Finds one host, whatever name is asked for.
pub(crate) struct Pinned {
    host: String,
}

impl Resolve for Pinned {
    fn resolve(&self, _name: Name) -> Resolving {
        let host = self.host.clone();
        Box::pin(async move {
            // The port is that of the URL.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
