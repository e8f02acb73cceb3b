use super::*;
use kvdb_core::{AdminReply, AdminRequest, Options, Retry, Secret};
use kvdb_servers::Tls;

fn with_token(token: &str) -> ConsulConfig {
    ConsulConfig { acl_token: Some(Secret::new(token)), ..ConsulConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_one_prefix_can_do_everything_below_it_and_nothing_beside() {
    let own = Consul::start(ConsulSetup::default().acl()).unwrap();
    let token = own.token_for_prefix("team/app/").unwrap();
    let store = open_at(&own.endpoints(), &with_token(&token)).await;
    let key = Key::from("team/app/d/k");
    let range = KeyRange::prefix(b"team/app/");
    assert_eq!(names(&store, &range).await, [""; 0]);
    let mut feed = watch(&store, range.clone(), None).await;
    let (lease, _) = store.grant(Duration::from_secs(60)).await.unwrap();
    let entry = written(&store, vec![], put_held(&key, "1", &lease)).await;
    assert_eq!(cut(&mut feed).await.1, [format!("+{key}=1")]);
    // Its marker may lie only where the token may write.
    let (revision, previous) = deleted(&store, &key).await;
    assert!(revision > entry.modified && previous == Some(entry));
    assert_eq!(cut(&mut feed).await.1, [format!("-{key}")]);
    let (status, _) = own.http("GET", "/v1/kv/team/app/_kvdb/deleted", b"").unwrap();
    assert_eq!(status, 200);
    assert_eq!(names(&store, &range).await, [""; 0]);

    let denied = ErrorKind::PermissionDenied;
    let beside = Key::from("team/other");
    assert_eq!(kind(store.get(&beside, &Read::default())).await, denied);
    assert_eq!(kind(store.get_together(&[key.clone(), beside.clone()])).await, denied);
    // Nor what lies beside under a name that no path takes, which Consul answers as if it were not there.
    let (status, _) =
        own.http("PUT", "/v1/txn", r#"[{"KV":{"Verb":"set","Key":"team/\u2028","Value":"djE="}}]"#.as_bytes()).unwrap();
    assert_eq!(status, 200);
    assert_eq!(kind(store.get(&Key::from("team/\u{2028}"), &Read::default())).await, denied);
    // Below its own prefix such names are as good as any.
    let odd = Key::from("team/app/\u{2028}");
    assert_eq!(get(&store, &odd).await, None);
    let entry = written(&store, vec![], put(&odd, "1")).await;
    let fresh = open_at(&own.endpoints(), &with_token(&token)).await;
    assert_eq!(get(&fresh, &odd).await, Some(entry));
    drop(deleted(&store, &odd).await);
    for op in [put(&beside, "1"), put_held(&beside, "1", &lease), delete(&beside)] {
        assert_eq!(kind(store.commit(&Batch { guards: vec![], ops: vec![put(&key, "2"), op] })).await, denied);
    }
    assert_eq!(get(&store, &key).await, None, "a refused batch wrote nothing");
    // Consul filters listings silently: an empty one is not taken for an answer.
    let beside = KeyRange::prefix(b"team/other/");
    assert_eq!(kind(store.watch(&WatchSpec::new(beside.clone(), None, false))).await, denied);
    for keys_only in [false, true] {
        let mut scan = Scan::default();
        scan.keys_only = keys_only;
        let page = store.list(&beside, &scan).next().await.unwrap();
        assert_eq!(*page.unwrap_err().kind(), denied);
    }
    assert_eq!(kind(store.admin(&AdminRequest::ListMembers { within: None })).await, denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_token_is_unauthenticated_and_shown_nowhere() {
    let own = Consul::start(ConsulSetup::default().acl()).unwrap();
    let token = "deadbeef-0000-4000-8000-c0ffee000000";
    let store = open_at(&own.endpoints(), &with_token(token)).await;
    let key = Key::from("k");
    let error = store.get(&key, &Read::default()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unauthenticated);
    let refused = store.commit(&Batch { guards: vec![], ops: vec![put(&key, "1")] }).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Unauthenticated);
    let granted = store.grant(Duration::from_secs(60)).await.unwrap_err();
    let shown = format!("{store:?} {:?} {error:?} {error} {refused:?} {granted:?} {granted}", with_token(token));
    assert!(!shown.contains(token), "{shown}");
}

/// What a call that cannot succeed is told, once it is told anything but that the connection broke.
async fn told(call: impl AsyncFn() -> kvdb_core::Result<()>) -> (ErrorKind, Retry, String) {
    let told = async {
        loop {
            let error = call().await.unwrap_err();
            if *error.kind() != ErrorKind::Unavailable {
                return (error.kind().clone(), error.retry(), error.to_string());
            }
        }
    };
    tokio::time::timeout(SOON, told).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_must_show_a_certificate_that_the_other_trusts() {
    let own = Consul::start(ConsulSetup::default().tls(Tls::Mutual)).unwrap();
    let certs = own.certs().unwrap();
    let config = |ca: std::path::PathBuf, client: Option<kvdb_servers::CertFiles>| ConsulConfig {
        ca_file: Some(ca),
        cert_file: client.as_ref().map(|files| files.cert.clone()),
        cert_key_file: client.map(|files| files.key),
        ..ConsulConfig::default()
    };
    let good = config(certs.ca(), Some(certs.client_files()));
    let named = |name: &str| ConsulConfig { server_name: Some(name.into()), ..good.clone() };
    let key = Key::from("k");
    for config in [
        good.clone(),
        named("server.dc1.consul"),
        ConsulConfig { insecure_skip_verify: true, ..config(certs.foreign_ca(), Some(certs.client_files())) },
    ] {
        let store = open_at(&own.endpoints(), &config).await;
        drop(written(&store, vec![], put(&key, "1")).await);
    }
    for (case, advice, config) in [
        ("no client certificate", "`cert_file`", config(certs.ca(), None)),
        ("a foreign client", "`cert_file`", config(certs.ca(), Some(certs.foreign_client()))),
        ("an expired client", "`cert_file`", config(certs.ca(), Some(certs.expired_client()))),
        ("a foreign server", "`ca_file`", config(certs.foreign_ca(), Some(certs.client_files()))),
        ("another name", "`server_name`", named("elsewhere.dc1.consul")),
    ] {
        let store = open_at(&own.endpoints(), &config).await;
        // The agent resets the connection once it has sent its alert, which the reset may overtake: then nobody knows.
        let get = async || store.get(&key, &Read::default()).await.map(drop);
        let batch = Batch { guards: vec![], ops: vec![put(&key, "1")] };
        let commit = async || store.commit(&batch).await.map(drop);
        for (kind, retry, text) in [told(get).await, told(commit).await] {
            assert_eq!((kind, retry), (ErrorKind::Unauthenticated, Retry::Never), "{case}");
            assert!(text.contains(advice), "{case}: {text}");
        }
    }
    let expired = Consul::start(ConsulSetup::default().tls(Tls::Server).expired_server()).unwrap();
    let config = ConsulConfig { ca_file: Some(expired.certs().unwrap().ca()), ..ConsulConfig::default() };
    let store = open_at(&expired.endpoints(), &config).await;
    let error = store.get(&key, &Read::default()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("has expired: renew it"), "{error}");
    let plain = own.endpoints()[0].replace("https", "http");
    let store = open_at(&[plain], &ConsulConfig::default()).await;
    assert!(store.get(&key, &Read::default()).await.is_err(), "plain HTTP is answered by TLS");
}

#[tokio::test]
async fn members_and_version_are_told() {
    let store = open().await;
    let AdminReply::Members(members) = store.admin(&AdminRequest::ListMembers { within: None }).await.unwrap() else {
        panic!("no members")
    };
    let (id, member) = members.first_key_value().unwrap();
    assert!(member.leader && member.healthy && member.started && !member.learner, "{member:?}");
    assert!(member.id.replace('-', "").starts_with(&format!("{id:016x}")), "{id:x} {member:?}");
    assert_eq!(member.name, server().members()[0].name());
    let version = (kvdb_consul::FACTORY.version)(server().endpoints()[0].clone(), Options::new()).await.unwrap();
    assert_eq!(version, member.version);
    assert!(version.starts_with(|digit: char| digit.is_ascii_digit()), "{version}");
    let lacks = kvdb_core::Capabilities::MEMBERS;
    assert_eq!(kind(store.admin(&AdminRequest::RemoveMemberById { id: *id })).await, ErrorKind::Unsupported(lacks));
}
