//! Users: who is let in, and tokens that run out.

use std::time::Duration;

use kvdb_core::{ErrorKind, Kvdb, KvdbExt, Options, Secret};
use kvdb_servers::{CertFiles, Certs, Etcd, EtcdSetup, ROOT};
use tokio::time::timeout;

use crate::help::{PATIENCE, backend, open, refused, start, text};

fn root() -> Options {
    Options::new().username(ROOT.0).password(&Secret::new(ROOT.1))
}

fn authentications(etcd: &Etcd) -> f64 {
    let labels = [("grpc_method", "Authenticate")];
    etcd.members().iter().map(|member| member.metric_sum("grpc_server_handled_total", &labels).unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_proves_who_we_are() {
    let etcd = start(EtcdSetup::default().auth());
    open(&etcd.endpoints(), root()).await.unwrap().put("a", "1").await.unwrap();

    let wrong = Options::new().username(ROOT.0).password(&Secret::new("hunter2"));
    let error = refused(open(&etcd.endpoints(), wrong).await, &ErrorKind::Unauthenticated, "wrong user or password");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let nobody = Options::new().username("nobody").password(&Secret::new(ROOT.1));
    refused(open(&etcd.endpoints(), nobody).await, &ErrorKind::Unauthenticated, "wrong user or password");

    let kv = open(&etcd.endpoints(), Options::new()).await.unwrap();
    refused(kv.get("a").await, &ErrorKind::Unauthenticated, "set `username` and `password`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_users_says_so_to_one() {
    let etcd = start(EtcdSetup::default());
    refused(open(&etcd.endpoints(), root()).await, &ErrorKind::InvalidConfig, "etcdctl auth enable");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_user_a_dead_cluster_is_unavailable_when_the_time_is_over() {
    let port = kvdb_servers::ports::free(1).unwrap()[0];
    let endpoints = [format!("127.0.0.1:{port}")];
    let connecting = timeout(PATIENCE, backend(&endpoints, root().set("timeout", "500ms"))).await.unwrap();
    refused(connecting, &ErrorKind::Unavailable, "refused");

    let etcd = start(EtcdSetup::default().auth());
    etcd.member(0).unwrap().pause().unwrap();
    let connecting = timeout(PATIENCE, backend(&etcd.endpoints(), root().set("timeout", "500ms"))).await.unwrap();
    refused(connecting, &ErrorKind::Unavailable, "500ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ran_out_is_renewed_once_for_all_and_watches_live_on() {
    let etcd = start(EtcdSetup::default().auth().token_ttl(Duration::from_secs(1)));
    let kv = open(&etcd.endpoints(), root()).await.unwrap();
    kv.put("a", "0").await.unwrap();
    let mut watch = kv.watch_key("a").await.unwrap();
    // Tokens are looked at once a second.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let before = authentications(&etcd);
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let kv = kv.clone();
            tokio::spawn(async move { kv.get("a").await })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().unwrap().is_some());
    }
    let renewed = authentications(&etcd) - before;
    assert!((renewed - 1.0).abs() < f64::EPSILON, "{renewed} authentications");
    kv.put("a", "1").await.unwrap();
    assert!(timeout(PATIENCE, watch.next()).await.unwrap().unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_before_users_were_changed_is_renewed() {
    // A token of this kind holds the revision of the users that it was made at.
    let certs = Certs::new("root").unwrap();
    let CertFiles { cert, key } = certs.client_files();
    let token = format!("jwt,pub-key={},priv-key={},sign-method=ES256,ttl=10m", text(cert), text(key));
    let etcd = start(EtcdSetup::default().auth().extra_args([format!("--auth-token={token}")]));
    let kv = open(&etcd.endpoints(), root()).await.unwrap();
    kv.put("a", "1").await.unwrap();
    assert!(etcd.etcdctl(["user", "add", "other:otherpw"]).unwrap().status.success());
    let before = authentications(&etcd);
    kv.put("a", "2").await.unwrap();
    let renewed = authentications(&etcd) - before;
    assert!((renewed - 1.0).abs() < f64::EPSILON, "{renewed} authentications");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_shown() {
    let etcd = start(EtcdSetup::default().auth());
    let kv = open(&etcd.endpoints(), root()).await.unwrap();
    let store = backend(&etcd.endpoints(), root()).await.unwrap();
    let config: kvdb_etcd::EtcdConfig = root().backend_config().unwrap();
    for shown in [format!("{kv:?}"), format!("{store:?}"), format!("{:?}", kv.info()), format!("{config:?}")] {
        assert!(!shown.contains(ROOT.1), "{shown}");
    }
}
