//! Addresses of members, compared as a whole: `10.0.0.1` is no part of `10.0.0.10`, and `::1` is `0:0:0:0:0:0:0:1`.

use std::net::{IpAddr, Ipv6Addr};

use http::Uri;
use kvdb_core::{Error, Result};

/// A host, and a port where one was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    /// In lower case.
    Name(String),
}

impl Address {
    /// Reads `host`, `host:port` or a URL; an IPv6 address stands in brackets, or alone.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Self::read(text).ok_or_else(|| Error::invalid(format!("{} is neither a host nor host:port", shown(text))))
    }

    /// Whether `url` leads here; any port does where none was said.
    pub(crate) fn is_of(&self, url: &str) -> bool {
        let found = url.contains("://").then(|| Self::read(url)).flatten();
        found.is_some_and(|found| found.host == self.host && (self.port.is_none() || found.port == self.port))
    }

    fn read(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            return Some(Self { host: Host::Ip(ip.into()), port: None });
        }
        let uri: Uri = text.parse().ok()?;
        if text.contains("://") && uri.path() != "/" || uri.query().is_some() {
            return None;
        }
        let authority = uri.authority()?;
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let bare = authority.as_str();
        // What the parser took for a port must be one, and nobody is named before it.
        let port = authority.port_u16();
        if bare.contains('@') || (port.is_none() && bare != authority.host()) {
            return None;
        }
        let host = match host.parse() {
            Ok(ip) => Host::Ip(ip),
            Err(_) if is_name(host) => Host::Name(host.to_ascii_lowercase()),
            Err(_) => return None,
        };
        Some(Self { host, port })
    }
}

/// The URL on which peers reach a member.
pub(crate) fn peer_url(scheme: &str, host: &str, port: u16) -> Result<String> {
    let inner = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    match inner.parse() {
        _ if port == 0 => Err(Error::invalid("a member has no port 0")),
        Ok(IpAddr::V6(ip)) => Ok(format!("{scheme}://[{ip}]:{port}")),
        Ok(IpAddr::V4(ip)) => Ok(format!("{scheme}://{ip}:{port}")),
        Err(_) if is_name(host) => Ok(format!("{scheme}://{host}:{port}")),
        Err(_) => Err(Error::invalid(format!("{} is no host", shown(host)))),
    }
}

/// The scheme of the first URL.
pub(crate) fn scheme_of(urls: &[String]) -> Option<&str> {
    urls.first()?.split_once("://").map(|(scheme, _)| scheme)
}

/// Refuses what names no endpoint of a client.
pub(crate) fn check_endpoint(endpoint: &str) -> Result<()> {
    let known = endpoint.split_once("://").is_none_or(|(scheme, _)| ["http", "https"].contains(&scheme));
    if known && Address::read(endpoint).is_some() {
        return Ok(());
    }
    Err(Error::invalid(format!("{} is no endpoint; one is such as http://127.0.0.1:2379", shown(endpoint))))
}

/// What was given, unless it may hold a password.
fn shown(text: &str) -> String {
    if text.contains('@') { "what names a user".to_owned() } else { format!("`{}`", text.escape_debug()) }
}

fn is_name(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of(address: &str, url: &str) -> bool {
        Address::parse(address).unwrap().is_of(url)
    }

    #[test]
    fn addresses_are_compared_as_a_whole() {
        assert!(is_of("10.0.0.1", "http://10.0.0.1:2380"));
        assert!(is_of("10.0.0.1:2380", "https://10.0.0.1:2380"));
        assert!(is_of("http://10.0.0.1:2380", "http://10.0.0.1:2380"));
        assert!(!is_of("10.0.0.1", "http://10.0.0.10:2380"));
        assert!(!is_of("10.0.0.1", "http://110.0.0.1:2380"));
        assert!(!is_of("10.0.0.1:238", "http://10.0.0.1:2380"));
        assert!(is_of("Node1.example", "http://node1.EXAMPLE:2380"));
        assert!(!is_of("node1", "http://node1.example:2380"));
    }

    #[test]
    fn an_ip_address_is_the_same_however_it_is_written() {
        for written in ["::1", "[::1]", "0:0:0:0:0:0:0:1", "[::1]:2380"] {
            assert!(is_of(written, "http://[0:0::1]:2380"), "{written}");
        }
        assert!(!is_of("[::1]:2381", "http://[::1]:2380"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", " ", "a b", "a/b", "a:b", "a:70000", "me@host", "http://a:1/path", "a?b", "\u{7f}", "[::1", "ü"]
        {
            assert!(Address::parse(text).is_err(), "{text:?}");
            assert!(peer_url("http", text, 2380).is_err(), "{text:?}");
        }
        assert!(peer_url("http", "a", 0).is_err());
        for text in ["", "ftp://127.0.0.1:1", "http://", "http://h:1/x", "unix:///tmp/x", "h:0x1"] {
            assert!(check_endpoint(text).is_err(), "{text:?}");
        }
        for text in ["127.0.0.1:2379", "http://127.0.0.1:2379", "https://h", "http://[::1]:2379", "::1"] {
            check_endpoint(text).unwrap();
        }
        let error = check_endpoint("http://me:word@host:2379").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("word"));
    }

    #[test]
    fn a_peer_url_has_the_scheme_of_the_others_and_brackets_where_they_belong() {
        assert_eq!(peer_url("https", "10.0.0.1", 2380).unwrap(), "https://10.0.0.1:2380");
        assert_eq!(peer_url("http", "fe80::1", 2380).unwrap(), "http://[fe80::1]:2380");
        assert_eq!(peer_url("http", "[fe80::1]", 2380).unwrap(), "http://[fe80::1]:2380");
        assert_eq!(peer_url("http", "node-1.example", 1).unwrap(), "http://node-1.example:1");
        assert_eq!(scheme_of(&["https://a:1".to_owned()]), Some("https"));
    }
}
