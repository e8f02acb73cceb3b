//! Real Consul servers, started and hurt.

#![allow(clippy::unwrap_used)]

use kvdb_servers::{Consul, ConsulSetup, Tls};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
    }
}

fn put(consul: &Consul, key: &str, value: &str) {
    let (status, body) = consul.http("PUT", &format!("/v1/kv/{key}"), value.as_bytes()).unwrap();
    assert_eq!((status, body.trim_ascii()), (200, b"true".as_slice()));
}

fn get(consul: &Consul, key: &str) -> Option<String> {
    let (status, body) = consul.http("GET", &format!("/v1/kv/{key}?raw&consistent"), b"").unwrap();
    (status == 200).then(|| String::from_utf8(body).unwrap())
}

/// A GET as a client sends it: the status, 0 for none.
fn plain(endpoint: &str, path: &str, token: &str) -> u16 {
    let mut stream = TcpStream::connect(endpoint.strip_prefix("http://").unwrap()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nX-Consul-Token: {token}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn one_server_in_memory_takes_short_sessions_and_a_snapshot_goes_back() {
    let consul = Consul::start(ConsulSetup::default()).unwrap();
    assert_eq!(consul.leader().unwrap(), 0);
    assert_eq!(get(&consul, "?recurse"), None, "nothing of ours is left in the store");
    assert_eq!(consul.http("PUT", "/v1/session/create", b"{\"TTL\":\"1s\"}").unwrap().0, 200);
    put(&consul, "k", "before");
    let snapshot = consul.snapshot().unwrap();
    put(&consul, "k", "after");
    consul.restore(&snapshot).unwrap();
    eventually("the old state is back", || get(&consul, "k").as_deref() == Some("before"));
}

#[test]
fn with_default_sessions_a_short_one_is_refused_and_a_durable_server_keeps_its_data() {
    let consul = Consul::start(ConsulSetup::default().default_sessions().durable()).unwrap();
    assert_ne!(consul.http("PUT", "/v1/session/create", b"{\"TTL\":\"1s\"}").unwrap().0, 200);
    put(&consul, "k", "v");
    let member = consul.member(0).unwrap();
    member.kill().unwrap();
    assert!(consul.http("GET", "/v1/kv/k", b"").is_err());
    member.restart().unwrap();
    assert_eq!(get(&consul, "k").as_deref(), Some("v"));
}

#[test]
fn three_servers_have_another_leader_when_theirs_is_killed() {
    let consul = Consul::start(ConsulSetup::default().nodes(3)).unwrap();
    let first = consul.leader().unwrap();
    consul.member(first).unwrap().kill().unwrap();
    assert_ne!(consul.leader().unwrap(), first);
    consul.member(first).unwrap().restart().unwrap();
    let second = consul.leader().unwrap();
    consul.member(second).unwrap().pause().unwrap();
    assert_ne!(consul.leader().unwrap(), second);
    consul.member(second).unwrap().resume().unwrap();
    consul.ready().unwrap();
}

#[test]
fn a_token_allows_what_is_below_its_prefix() {
    let consul = Consul::start(ConsulSetup::default().acl()).unwrap();
    put(&consul, "app/k", "v");
    put(&consul, "other/k", "v");
    let token = consul.token_for_prefix("app/").unwrap();
    let endpoint = consul.endpoints().remove(0);
    assert_eq!(plain(&endpoint, "/v1/kv/app/k", &token), 200);
    assert_ne!(plain(&endpoint, "/v1/kv/other/k", &token), 200);
    assert_eq!(plain(&endpoint, "/v1/kv/other/k", consul.token().unwrap()), 200);
    assert_eq!(plain(&endpoint, "/v1/kv/app/k", "no-such-token"), 403);
}

#[test]
fn with_mutual_tls_it_serves_on_https_and_a_proxy_counts_requests_on_plain_http() {
    let secure = Consul::start(ConsulSetup::default().tls(Tls::Mutual)).unwrap();
    assert!(secure.endpoints().remove(0).starts_with("https://127.0.0.1:"));
    assert!(secure.certs().unwrap().ca().is_file());

    let consul = Consul::start(ConsulSetup::default().client_proxy()).unwrap();
    let member = consul.member(0).unwrap();
    let proxy = member.client_proxy().unwrap();
    assert_eq!(plain(member.endpoint(), "/v1/kv/none?raw", ""), 404);
    assert_eq!(proxy.requests("GET", "/v1/kv/"), 1);
    proxy.cut().unwrap();
    assert_eq!(get(&consul, "none"), None, "from outside it is still reached");
}
