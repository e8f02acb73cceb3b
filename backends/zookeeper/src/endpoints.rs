//! Where the servers are: `h1`, `h1:2181`, `[::1]:2181`, `https://h1:2281`.

use std::fmt;

use kvdb_core::Result;
use rustls::pki_types::ServerName;

use crate::config::{ZooKeeperConfig, invalid};

/// ZooKeeper's port for clients, and that for clients that speak TLS.
const PORTS: (u16, u16) = (2181, 2281);

/// Where one server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// All of them, as the client wants to be told.
pub(crate) fn cluster(endpoints: &[Endpoint]) -> String {
    let scheme = |endpoint: &Endpoint| if endpoint.tls { "tcp+tls" } else { "tcp" };
    endpoints.iter().map(|endpoint| format!("{}://{endpoint}", scheme(endpoint))).collect::<Vec<_>>().join(",")
}

/// Reads endpoints, each once; none means the local one.
///
/// # Errors
/// `InvalidConfig` for what is no endpoint, naming it, and when they and the options do not agree on TLS.
pub(crate) fn parse(endpoints: &[String], config: &ZooKeeperConfig) -> Result<Vec<Endpoint>> {
    let tls_option = config.tls_option();
    let default = match config.transport_scheme.as_deref().filter(|scheme| !scheme.is_empty()) {
        Some(scheme) => is_tls(scheme)?,
        None => tls_option.is_some(),
    };
    let mut parsed: Vec<Endpoint> = Vec::with_capacity(endpoints.len().max(1));
    for text in endpoints.iter().filter(|text| !text.is_empty()) {
        let endpoint = parse_one(text, default)?;
        if !parsed.contains(&endpoint) {
            parsed.push(endpoint);
        }
    }
    if parsed.is_empty() {
        parsed.push(parse_one("127.0.0.1", default)?);
    }
    if parsed.iter().any(|endpoint| endpoint.tls != parsed.first().is_some_and(|first| first.tls)) {
        return Err(invalid("the endpoints mix http and https: all endpoints of a store have one scheme"));
    }
    if config.transport_scheme.is_some() && parsed.iter().any(|endpoint| endpoint.tls != default) {
        return Err(invalid("`transport_scheme` says otherwise than an endpoint"));
    }
    if let Some(option) = tls_option
        && parsed.iter().any(|endpoint| !endpoint.tls)
    {
        return Err(invalid(format!(
            "`{option}` is for TLS, but the endpoints are http: write https:// in front of them, or remove the option"
        )));
    }
    Ok(parsed)
}

fn is_tls(scheme: &str) -> Result<bool> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "tcp" => Ok(false),
        "https" | "tcp+tls" => Ok(true),
        _ => Err(invalid(format!("`{}` is no scheme of ZooKeeper: write http or https", scheme.escape_debug()))),
    }
}

fn parse_one(text: &str, default: bool) -> Result<Endpoint> {
    // What may be a user's password is not shown.
    if text.contains('@') {
        return Err(invalid("an endpoint names a user: give it by the options `username` and `password`"));
    }
    let wrong = |what: &str| invalid(format!("the endpoint `{}` {what}", text.escape_debug()));
    let (tls, place) = match text.split_once("://") {
        Some((scheme, place)) => (is_tls(scheme)?, place),
        None => (default, text),
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
        return Err(wrong("has more than one colon: an IPv6 address is written in brackets, as [::1]:2181"));
    }
    if bare != host && bare.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(wrong("has brackets around what is no IPv6 address"));
    }
    // The client takes any name that it can look up, but ends with a panic if no certificate could have it.
    if ServerName::try_from(bare).is_err() {
        return Err(wrong("has characters that no host has"));
    }
    let port = match port {
        None => {
            if tls {
                PORTS.1
            } else {
                PORTS.0
            }
        }
        Some(port) => port
            .parse()
            .ok()
            .filter(|number| *number != 0 && port.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or_else(|| wrong("has no port between 1 and 65535 behind its colon"))?,
    };
    Ok(Endpoint { host: bare.to_owned(), port, tls })
}

#[cfg(test)]
mod tests {
    use kvdb_core::ErrorKind;

    use super::*;

    fn read(endpoints: &[&str], config: &ZooKeeperConfig) -> Result<String> {
        let endpoints: Vec<String> = endpoints.iter().map(|text| (*text).to_owned()).collect();
        Ok(cluster(&parse(&endpoints, config)?))
    }

    fn with_ca() -> ZooKeeperConfig {
        ZooKeeperConfig { ca_file: Some("ca.pem".into()), ..ZooKeeperConfig::default() }
    }

    fn with_scheme(scheme: &str) -> ZooKeeperConfig {
        ZooKeeperConfig { transport_scheme: Some(scheme.to_owned()), ..ZooKeeperConfig::default() }
    }

    #[test]
    fn an_endpoint_is_a_host_with_or_without_scheme_and_port() {
        let plain = ZooKeeperConfig::default();
        for (text, whole) in [
            ("h1", "tcp://h1:2181"),
            ("h1:1", "tcp://h1:1"),
            ("HTTP://h1:65535/", "tcp://h1:65535"),
            ("https://h1", "tcp+tls://h1:2281"),
            ("[::1]", "tcp://[::1]:2181"),
            ("tcp://[::1]:77", "tcp://[::1]:77"),
        ] {
            assert_eq!(read(&[text], &plain).unwrap(), whole, "{text}");
        }
        assert_eq!(read(&[], &plain).unwrap(), "tcp://127.0.0.1:2181");
        assert_eq!(read(&["h", "http://h:2181", "i"], &plain).unwrap(), "tcp://h:2181,tcp://i:2181");
        assert_eq!(read(&["h1"], &with_ca()).unwrap(), "tcp+tls://h1:2281");
        assert_eq!(read(&["h1:7"], &with_scheme("HTTPS")).unwrap(), "tcp+tls://h1:7");
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_a_way_out() {
        let plain = ZooKeeperConfig::default();
        for (endpoints, config, says) in [
            (&["ftp://h1"][..], &plain, "http or https"),
            (&["http://"], &plain, "no host"),
            (&[":2181"], &plain, "no host"),
            (&["h1:0"], &plain, "between 1 and 65535"),
            (&["h1:65536"], &plain, "between 1 and 65535"),
            (&["h1:+1"], &plain, "between 1 and 65535"),
            (&["::1"], &plain, "brackets"),
            (&["[h1]:1"], &plain, "brackets"),
            (&["h1/app"], &plain, "path"),
            (&["h1,h2"], &plain, "by itself"),
            (&["h 1"], &plain, "characters"),
            (&["h\u{0}1"], &plain, "characters"),
            (&["me:hunter2@h1"], &plain, "`username`"),
            (&["http://h1", "https://h2"], &plain, "one scheme"),
            (&["http://h1"], &with_ca(), "`ca_file` is for TLS"),
            (&["http://h1"], &with_scheme("https"), "`transport_scheme`"),
            (&["h1"], &with_scheme("ftp"), "http or https"),
        ] {
            let error = read(endpoints, config).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::InvalidConfig, "{endpoints:?}");
            assert!(error.to_string().contains(says) && !error.to_string().contains("hunter2"), "{error}");
        }
    }
}
