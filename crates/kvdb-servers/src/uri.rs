//! Store URIs of what was started.

use crate::certs::Certs;
use crate::tls::Tls;
use std::path::Path;

/// `kind://host:port,..?option=value&..` for a cluster with these endpoints.
pub(crate) fn uri(kind: &str, endpoints: &[String], options: &[(&str, String)]) -> String {
    let transport = if endpoints.iter().any(|endpoint| endpoint.starts_with("https:")) { "+https" } else { "" };
    let hosts: Vec<&str> = endpoints
        .iter()
        .map(|endpoint| endpoint.split_once("://").map_or(endpoint.as_str(), |(_, host)| host))
        .collect();
    let mut uri = format!("{kind}{transport}://{}", hosts.join(","));
    for (index, (name, value)) in options.iter().enumerate() {
        uri.push(if index == 0 { '?' } else { '&' });
        uri.push_str(&format!("{name}={}", encode(value)));
    }
    uri
}

/// The options that make a client speak TLS to a cluster.
pub(crate) fn tls_options(tls: Tls, certs: Option<&Certs>) -> Vec<(&'static str, String)> {
    let Some(certs) = certs else { return Vec::new() };
    let text = |path: &Path| path.display().to_string();
    let mut options = vec![("ca_file", text(&certs.ca()))];
    if tls == Tls::Mutual {
        let client = certs.client_files();
        options.push(("cert_file", text(&client.cert)));
        options.push(("cert_key_file", text(&client.key)));
    }
    options
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_listed_and_values_encoded() {
        let plain = uri("etcd", &["http://h:1".into(), "http://h:2".into()], &[]);
        assert_eq!(plain, "etcd://h:1,h:2");
        let secure = uri("consul", &["https://h:1".into()], &[("ca_file", "/a b".into()), ("x", "&".into())]);
        assert_eq!(secure, "consul+https://h:1?ca_file=/a%20b&x=%26");
    }
}
