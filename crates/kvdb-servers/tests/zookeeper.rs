//! Real ZooKeeper servers, started and hurt.

#![allow(clippy::unwrap_used)]

use kvdb_servers::{Tls, ZooKeeper, ZooKeeperSetup};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Opens a session with this timeout in milliseconds; answers the connection, the granted timeout and the id.
fn session(endpoint: &str, timeout: i32) -> (TcpStream, i32, i64) {
    let mut stream = TcpStream::connect(endpoint).unwrap();
    let mut request = Vec::new();
    for part in [&44_i32.to_be_bytes()[..], &[0; 12], &timeout.to_be_bytes(), &[0; 8], &16_i32.to_be_bytes(), &[0; 16]]
    {
        request.extend_from_slice(part);
    }
    stream.write_all(&request).unwrap();
    let mut answer = [0; 20];
    stream.read_exact(&mut answer).unwrap();
    let granted = i32::from_be_bytes(answer[8..12].try_into().unwrap());
    (stream, granted, i64::from_be_bytes(answer[12..20].try_into().unwrap()))
}

#[test]
fn one_server_grants_sessions_from_two_ticks_to_forty_seconds_and_tells_their_end() {
    let zookeeper = ZooKeeper::start(ZooKeeperSetup::default().client_proxy()).unwrap();
    assert_eq!(zookeeper.leader().unwrap(), 0);
    let member = zookeeper.member(0).unwrap();
    let (_long, granted, _) = session(member.endpoint(), i32::MAX);
    assert_eq!(granted, 40_000);
    let (_short, granted, id) = session(member.endpoint(), 1);
    assert_eq!(granted, 1000);
    assert!(zookeeper.sessions().unwrap().contains(&id));
    member.client_proxy().unwrap().cut().unwrap();
    zookeeper.expired(id).unwrap();
    assert!(!zookeeper.sessions().unwrap().contains(&id));
}

#[test]
fn three_servers_have_another_leader_when_theirs_is_killed() {
    let zookeeper = ZooKeeper::start(ZooKeeperSetup::default().nodes(3)).unwrap();
    let first = zookeeper.leader().unwrap();
    zookeeper.member(first).unwrap().kill().unwrap();
    assert!(zookeeper.member(first).unwrap().word("srvr").is_err());
    assert_ne!(zookeeper.leader().unwrap(), first);
    zookeeper.member(first).unwrap().restart().unwrap();
    zookeeper.ready().unwrap();
}

#[test]
fn a_host_may_have_so_many_connections() {
    let zookeeper = ZooKeeper::start(ZooKeeperSetup::default().max_client_cnxns(2)).unwrap();
    let endpoint = zookeeper.endpoints().remove(0);
    let _two = [session(&endpoint, 1), session(&endpoint, 1)];
    let mut third = TcpStream::connect(&endpoint).unwrap();
    assert_eq!(third.read(&mut [0; 1]).unwrap_or(0), 0);
}

#[test]
fn with_mutual_tls_it_serves_on_another_port() {
    let zookeeper = ZooKeeper::start(ZooKeeperSetup::default().tls(Tls::Mutual)).unwrap();
    assert!(zookeeper.uri().starts_with("zk+https://127.0.0.1:"), "{}", zookeeper.uri());
    assert!(zookeeper.certs().unwrap().ca().is_file());
    assert!(zookeeper.member(0).unwrap().word("srvr").unwrap().contains("Mode: standalone"));
}
