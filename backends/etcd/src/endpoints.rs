//! Where an etcd cluster is: `h1`, `h1:2379`, `[::1]:2379`, `https://h1:2379`.

use http::uri::{Authority, Scheme, Uri};
use kvdb_core::Result;

use crate::config::{EtcdConfig, invalid, set};

/// etcd's port for clients.
const PORT: u16 = 2379;

/// Where calls go unless told otherwise.
const LOCAL: &str = "127.0.0.1";

/// Where one member listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
}

impl Endpoint {
    /// The host as a certificate names it.
    pub(crate) fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// With a path, for what wants a whole URI.
    pub(crate) fn uri(&self) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        // All three are there, so that it cannot fail.
        Uri::from_parts(parts).unwrap_or_default()
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// The scheme of all endpoints of one store.
///
/// # Errors
/// `InvalidConfig` when the endpoints and options do not agree on one.
pub(crate) fn scheme(endpoints: &[String], config: &EtcdConfig) -> Result<Scheme> {
    let mut scheme = match set(config.transport_scheme.as_deref()) {
        Some(text) => Some((known_scheme(text)?, "`transport_scheme`")),
        None => None,
    };
    for endpoint in endpoints {
        let Some((text, _)) = endpoint.split_once("://") else { continue };
        let own = known_scheme(text)?;
        match &scheme {
            Some((agreed, by)) if *agreed != own => {
                return Err(invalid(format!(
                    "an endpoint is {own}:// and {by} {agreed}: all endpoints of a store have one scheme"
                )));
            }
            _ => scheme = Some((own, "another one")),
        }
    }
    let option = config.tls_option();
    match (scheme, option) {
        (Some((scheme, _)), Some(option)) if scheme == Scheme::HTTP => Err(invalid(format!(
            "`{option}` is for TLS, but the endpoints are http: write https:// in front of them, or remove the option"
        ))),
        (Some((scheme, _)), _) => Ok(scheme),
        (None, Some(_)) => Ok(Scheme::HTTPS),
        (None, None) => Ok(Scheme::HTTP),
    }
}

fn known_scheme(text: &str) -> Result<Scheme> {
    match text.to_ascii_lowercase().as_str() {
        "http" => Ok(Scheme::HTTP),
        "https" => Ok(Scheme::HTTPS),
        _ => Err(invalid(format!("`{}` is no scheme of etcd: write http or https", text.escape_debug()))),
    }
}

/// Reads endpoints that all have `scheme`, each once; none means the local one.
///
/// # Errors
/// `InvalidConfig` naming the endpoint and what is wrong with it.
pub(crate) fn parse(endpoints: &[String], scheme: &Scheme) -> Result<Vec<Endpoint>> {
    let mut parsed: Vec<Endpoint> = Vec::with_capacity(endpoints.len());
    for text in endpoints {
        let endpoint = parse_one(text, scheme)?;
        if !parsed.contains(&endpoint) {
            parsed.push(endpoint);
        }
    }
    if parsed.is_empty() {
        parsed.push(parse_one(LOCAL, scheme)?);
    }
    Ok(parsed)
}

fn parse_one(text: &str, scheme: &Scheme) -> Result<Endpoint> {
    // What may be a user's password is not shown.
    if text.contains('@') {
        return Err(invalid("an endpoint names a user: give it by the options `username` and `password`"));
    }
    let wrong = |what: &str| invalid(format!("the endpoint `{}` {what}", text.escape_debug()));
    let place = match text.split_once("://") {
        Some((own, place)) if known_scheme(own)? == *scheme => place,
        Some(_) => return Err(wrong(&format!("is not {scheme} like the store's other endpoints"))),
        None => text,
    };
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.contains(',') {
        return Err(wrong("holds several: give each by itself"));
    }
    if place.contains(['/', '?', '#']) {
        return Err(wrong("has a path: write host:port, and the domain elsewhere"));
    }
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if bare.is_empty() {
        return Err(wrong("has no host: write host:port"));
    }
    if bare == host && host.contains(':') {
        return Err(wrong("has more than one colon: an IPv6 address is written in brackets, as [::1]:2379"));
    }
    if bare != host && bare.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(wrong("has brackets around what is no IPv6 address"));
    }
    let port = match port {
        None => PORT,
        Some(port) => port
            .parse()
            .ok()
            .filter(|number| *number != 0 && port.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or_else(|| wrong("has no port between 1 and 65535 behind its colon"))?,
    };
    let authority = Authority::try_from(format!("{host}:{port}"))
        .map_err(|source| wrong("has characters that no host has").with_source(source))?;
    Ok(Endpoint { scheme: scheme.clone(), authority })
}

#[cfg(test)]
mod tests {
    use kvdb_core::ErrorKind;

    use super::*;

    fn read(endpoints: &[&str], config: &EtcdConfig) -> Result<Vec<String>> {
        let endpoints: Vec<String> = endpoints.iter().map(|text| (*text).to_owned()).collect();
        let scheme = scheme(&endpoints, config)?;
        Ok(parse(&endpoints, &scheme)?.iter().map(ToString::to_string).collect())
    }

    fn with_ca() -> EtcdConfig {
        EtcdConfig { ca_file: Some("ca.pem".to_owned()), ..EtcdConfig::default() }
    }

    #[test]
    fn an_endpoint_is_a_host_with_or_without_scheme_and_port() {
        let plain = EtcdConfig::default();
        for (text, whole) in [
            ("h1", "http://h1:2379"),
            ("h1:1", "http://h1:1"),
            ("HTTP://h1:65535/", "http://h1:65535"),
            ("10.0.0.1", "http://10.0.0.1:2379"),
            ("[::1]", "http://[::1]:2379"),
            ("http://[::1]:77", "http://[::1]:77"),
        ] {
            assert_eq!(read(&[text], &plain).unwrap(), [whole], "{text}");
        }
        assert_eq!(read(&[], &plain).unwrap(), ["http://127.0.0.1:2379"]);
        assert_eq!(read(&["h", "http://h:2379", "i"], &plain).unwrap(), ["http://h:2379", "http://i:2379"]);
    }

    #[test]
    fn without_a_scheme_it_is_https_once_tls_is_asked_for() {
        assert_eq!(read(&["h1"], &with_ca()).unwrap(), ["https://h1:2379"]);
        assert_eq!(read(&[], &with_ca()).unwrap(), ["https://127.0.0.1:2379"]);
        assert_eq!(
            read(&["h1", "https://h2"], &EtcdConfig::default()).unwrap(),
            ["https://h1:2379", "https://h2:2379"]
        );
        let https = EtcdConfig { transport_scheme: Some("HTTPS".to_owned()), ..EtcdConfig::default() };
        assert_eq!(read(&["h1"], &https).unwrap(), ["https://h1:2379"]);
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_a_way_out() {
        for (text, says) in [
            ("ftp://h1", "http or https"),
            ("http://", "no host"),
            ("", "no host"),
            (":2379", "no host"),
            ("h1:0", "between 1 and 65535"),
            ("h1:65536", "between 1 and 65535"),
            ("h1:+1", "between 1 and 65535"),
            ("h1:", "between 1 and 65535"),
            ("h1:x", "between 1 and 65535"),
            ("::1", "brackets"),
            ("[h1]:1", "brackets"),
            ("h1/app", "path"),
            ("h1?x=y", "path"),
            ("h1,h2", "by itself"),
            ("h 1", "characters"),
            ("h\u{0}1", "characters"),
            ("me:hunter2@h1", "`username`"),
        ] {
            let error = read(&[text], &EtcdConfig::default()).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::InvalidConfig, "{text}");
            assert!(error.to_string().contains(says) && !error.to_string().contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn schemes_that_do_not_agree_are_refused() {
        let http = EtcdConfig { transport_scheme: Some("http".to_owned()), ..EtcdConfig::default() };
        for (endpoints, config, says) in [
            (&["http://h1", "https://h2"][..], EtcdConfig::default(), "one scheme"),
            (&["https://h1"], http.clone(), "`transport_scheme`"),
            (&["http://h1"], with_ca(), "`ca_file` is for TLS"),
            (&["h1"], EtcdConfig { insecure_skip_verify: true, ..http }, "`insecure_skip_verify` is for TLS"),
            (
                &["h1"],
                EtcdConfig { transport_scheme: Some("ftp".to_owned()), ..EtcdConfig::default() },
                "http or https",
            ),
        ] {
            let error = read(endpoints, &config).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
