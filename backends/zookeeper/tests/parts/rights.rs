//! Users and certificates.

use super::*;
use kvdb_core::Secret;
use kvdb_servers::Tls;

fn user(name: &str, password: &str) -> ZooKeeperConfig {
    ZooKeeperConfig {
        username: Some(name.to_owned()),
        password: Some(Secret::new(password)),
        ..ZooKeeperConfig::default()
    }
}

#[tokio::test]
async fn every_node_of_a_user_is_the_users_alone() {
    let store = open_at(&server().endpoints(), &user("me", "hunter2")).await;
    let place = place();
    let key = Key::from(format!("{place}a/k"));
    drop(written(&store, vec![], put(&key, "secret")).await);
    let (lease, _) = store.grant(Duration::from_secs(30)).await.unwrap();
    let held = Key::from(format!("{place}a/held"));
    drop(written(&store, vec![], put_held(&held, "secret", &lease)).await);
    let again = open_at(&server().endpoints(), &user("me", "hunter2")).await;
    assert_eq!(get(&again, &key).await.unwrap().value, "secret");
    let feed = again.watch(&WatchSpec::new(KeyRange::prefix(place.as_bytes()), None, false)).await;
    assert!(feed.is_ok());
    for config in [user("me", "wrong"), user("you", "hunter2"), ZooKeeperConfig::default()] {
        let other = open_at(&server().endpoints(), &config).await;
        for key in [&key, &held] {
            let error = other.get(key, &Read::default()).await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::PermissionDenied);
            let shown = format!("{error:?} {error} {other:?}");
            assert!(!shown.contains("hunter2") && !shown.contains("wrong"), "{shown}");
        }
        let range = KeyRange::prefix(place.as_bytes());
        let listed = other.list(&range, &Scan::default()).next().await.unwrap();
        assert_eq!(*listed.unwrap_err().kind(), ErrorKind::PermissionDenied);
        for ops in [vec![put(&key, "x")], vec![delete(&key)], vec![put(&Key::from(format!("{place}new")), "x")]] {
            let refused = other.commit(&Batch { guards: vec![], ops }).await;
            assert_eq!(*refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        assert_eq!(
            kind(other.watch(&WatchSpec::new(range, None, false))).await,
            ErrorKind::PermissionDenied,
            "a watch without the right to read"
        );
    }
    // By anybody without a name: not even the directory, nor the generations.
    let stranger = stranger().await;
    let root = format!("/{}", place.trim_end_matches('/'));
    for path in [&root, &format!("{root}/a"), &format!("{root}/_kvdb"), &format!("{root}/_kvdb/gen")] {
        assert_eq!(stranger.get_children(path).await.unwrap_err(), zookeeper::Error::NoAuth, "{path}");
    }
}

#[tokio::test]
async fn certificates_are_asked_for_and_shown() {
    let own = ZooKeeper::start(ZooKeeperSetup::default().tls(Tls::Mutual)).unwrap();
    let (certs, endpoints) = (own.certs().unwrap(), own.endpoints());
    let client = certs.client_files();
    let with = |ca, files: Option<kvdb_servers::CertFiles>| ZooKeeperConfig {
        ca_file: Some(ca),
        cert_file: files.as_ref().map(|files| files.cert.clone()),
        cert_key_file: files.map(|files| files.key),
        ..ZooKeeperConfig::default()
    };
    let store = open_at(&endpoints, &with(certs.ca(), Some(client.clone()))).await;
    let key = Key::from("d/k");
    drop(written(&store, vec![], put(&key, "1")).await);
    let (lease, _) = store.grant(Duration::from_secs(10)).await.unwrap();
    drop(written(&store, vec![], put_held(&key, "2", &lease)).await);
    let kvdb_core::AdminReply::Members(members) =
        store.admin(&kvdb_core::AdminRequest::ListMembers { within: None }).await.unwrap()
    else {
        panic!("no members")
    };
    assert!(members.values().all(|member| member.healthy && member.leader), "{members:?}");
    for (what, config) in [
        ("a server of another authority", with(certs.foreign_ca(), Some(client.clone()))),
        ("no certificate", with(certs.ca(), None)),
        ("an expired certificate", with(certs.ca(), Some(certs.expired_client()))),
        ("a certificate of another authority", with(certs.ca(), Some(certs.foreign_client()))),
    ] {
        let error = ZooKeeperBackend::open(&endpoints, &config).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Unauthenticated, "{what}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_whose_certificate_has_expired_is_refused() {
    let own = ZooKeeper::start(ZooKeeperSetup::default().tls(Tls::Server).expired_server()).unwrap();
    let config = ZooKeeperConfig { ca_file: Some(own.certs().unwrap().ca()), ..ZooKeeperConfig::default() };
    let error = ZooKeeperBackend::open(&own.endpoints(), &config).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unauthenticated, "{error:?}");
}
