//! Real etcd members, started and hurt.

#![allow(clippy::unwrap_used)]

use kvdb_servers::{Etcd, EtcdSetup, Tls};
use std::process::Output;
use std::time::{Duration, Instant};

fn ok(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
    }
}

#[test]
fn one_node_keeps_its_data_over_a_kill() {
    let etcd = Etcd::start(EtcdSetup::default()).unwrap();
    ok(etcd.etcdctl(["put", "k", "v"]).unwrap());
    let member = etcd.member(0).unwrap();
    let id = member.id().unwrap();

    member.kill().unwrap();
    assert!(!member.is_alive());
    assert!(member.metrics().is_err());
    member.restart().unwrap();

    assert_eq!(member.id().unwrap(), id);
    assert_eq!(ok(etcd.etcdctl(["get", "k", "--print-value-only"]).unwrap()), "v\n");
    assert!(member.metric_sum("grpc_server_handled_total", &[("grpc_method", "Range")]).unwrap() >= 1.0);
}

#[test]
fn three_nodes_have_another_leader_when_theirs_is_paused() {
    let etcd = Etcd::start(EtcdSetup::default().nodes(3)).unwrap();
    assert_eq!(etcd.endpoints().len(), 3);
    let first = etcd.leader().unwrap();
    let member = etcd.member(first).unwrap();

    member.pause().unwrap();
    assert!(member.is_alive());
    let next = etcd.leader().unwrap();
    assert_ne!(next, first);

    member.resume().unwrap();
    etcd.ready().unwrap();
}

#[test]
fn an_isolated_leader_is_replaced_and_comes_back() {
    let etcd = Etcd::start(EtcdSetup::default().nodes(3).peer_proxy()).unwrap();
    let first = etcd.leader().unwrap();
    etcd.isolate(first).unwrap();
    let next = etcd.leader().unwrap();
    assert_ne!(next, first);
    let old = etcd.member(first).unwrap();
    eventually("the isolated one knows no leader", || old.metric_sum("etcd_server_has_leader", &[]).unwrap() == 0.0);

    let both = [next, 3 - first - next].map(|index| etcd.member(index).unwrap().endpoint().to_owned()).join(",");
    ok(etcd.etcdctl_at(&both, ["put", "k", "v"]).unwrap());
    let refused = etcd.etcdctl_at(old.endpoint(), ["--command-timeout=1s", "get", "k"]).unwrap();
    assert!(!refused.status.success(), "a minority answers no linearizable read");

    etcd.heal().unwrap();
    etcd.ready().unwrap();
    assert_eq!(ok(etcd.etcdctl_at(old.endpoint(), ["get", "k", "--print-value-only"]).unwrap()), "v\n");
}

#[test]
fn a_learner_joins() {
    let etcd = Etcd::start(EtcdSetup::default()).unwrap();
    let spare = etcd.spare().unwrap();
    let peers = format!("--peer-urls={}", spare.peer_url());
    eventually("the cluster takes a member", || {
        etcd.etcdctl(["member", "add", spare.name(), "--learner", &peers]).unwrap().status.success()
    });
    let old = etcd.member(0).unwrap();
    let listed = ok(etcd.etcdctl(["member", "list"]).unwrap());
    let urls = listed.lines().find(|line| line.contains(old.name())).unwrap();
    let peer_url = urls.split(", ").nth(3).unwrap();
    let initial = format!("{}={peer_url},{}={}", old.name(), spare.name(), spare.peer_url());
    let name = spare.name().to_owned();

    let index = etcd.join(spare, &initial).unwrap();
    let member = etcd.member(index).unwrap();
    assert_eq!((index, member.name()), (1, name.as_str()));
    assert_eq!(member.metric_sum("etcd_server_is_learner", &[]).unwrap(), 1.0);
    assert_ne!(member.id().unwrap(), old.id().unwrap());
}

#[test]
fn with_users_only_root_may_write() {
    let etcd = Etcd::start(EtcdSetup::default().auth().token_ttl(Duration::from_secs(3))).unwrap();
    ok(etcd.etcdctl(["put", "k", "v"]).unwrap());
    let refused = etcd.etcdctl(["--user=root:wrong", "put", "k", "w"]).unwrap();
    assert!(!refused.status.success());
}

#[test]
fn with_mutual_tls_a_client_needs_a_certificate_of_the_authority() {
    let etcd = Etcd::start(EtcdSetup::default().tls(Tls::Mutual)).unwrap();
    ok(etcd.etcdctl(["put", "k", "v"]).unwrap());
    let certs = etcd.certs().unwrap();
    for files in [certs.expired_client(), certs.foreign_client()] {
        let cert = format!("--cert={}", files.cert.display());
        let key = format!("--key={}", files.key.display());
        let refused = etcd.etcdctl([&cert, &key, "--command-timeout=300ms", "get", "k"]).unwrap();
        assert!(!refused.status.success());
    }
    let foreign = format!("--cacert={}", certs.foreign_ca().display());
    assert!(!etcd.etcdctl([&foreign, "--command-timeout=300ms", "get", "k"]).unwrap().status.success());
}

#[test]
fn with_tls_an_expired_server_is_not_believed() {
    let etcd = Etcd::start(EtcdSetup::default().tls(Tls::Server).expired_server()).unwrap();
    assert!(etcd.endpoints()[0].starts_with("https://"));
    assert!(!etcd.etcdctl(["--command-timeout=300ms", "get", "k"]).unwrap().status.success());
    ok(etcd.etcdctl(["--insecure-skip-tls-verify", "put", "k", "v"]).unwrap());
}

#[test]
fn clients_are_told_of_the_proxy_and_etcdctl_goes_past_it() {
    let etcd = Etcd::start(EtcdSetup::default().client_proxy()).unwrap();
    let member = etcd.member(0).unwrap();
    ok(etcd.etcdctl_at(member.endpoint(), ["put", "k", "v"]).unwrap());
    assert!(member.client_proxy().unwrap().connections() > 0);
    assert!(ok(etcd.etcdctl(["member", "list"]).unwrap()).contains(member.endpoint()));

    member.client_proxy().unwrap().cut().unwrap();
    let refused = etcd.etcdctl_at(member.endpoint(), ["--command-timeout=300ms", "get", "k"]).unwrap();
    assert!(!refused.status.success());
    ok(etcd.etcdctl(["get", "k"]).unwrap());
}

#[test]
fn a_member_that_cannot_start_says_why() {
    let error = Etcd::start(EtcdSetup::default().extra_args(["--no-such-flag"])).unwrap_err().to_string();
    assert!(error.contains("no-such-flag"), "{error}");
}
