//! Ensembles, and servers that are not there.

use super::*;
use kvdb_core::{AdminReply, AdminRequest};

async fn members(store: &ZooKeeperBackend) -> Vec<kvdb_core::MemberInfo> {
    let request = AdminRequest::ListMembers { within: Some(Duration::from_secs(2)) };
    match store.admin(&request).await.unwrap() {
        AdminReply::Members(members) => members.into_values().collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ensemble_loses_its_leader_and_goes_on() {
    let own = ZooKeeper::start(ZooKeeperSetup::default().nodes(3)).unwrap();
    let store = open_at(&own.endpoints(), &ZooKeeperConfig::default()).await;
    let key = |n: usize| Key::from(format!("d/{n}"));
    drop(written(&store, vec![], put(&key(0), "1")).await);
    let mut feed = watch(&store, KeyRange::prefix(b"d/"), None).await;
    let leader = own.leader().unwrap();
    let found = members(&store).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|member| member.healthy && member.version.starts_with("3.")), "{found:?}");
    assert_eq!(found.iter().position(|member| member.leader), Some(leader));
    own.member(leader).unwrap().kill().unwrap();
    let batch = Batch { guards: vec![Guard::Absent(key(1))], ops: vec![put(&key(1), "2")] };
    // The guard makes a second try harmless.
    until("a write goes through", || async { store.commit(&batch).await.is_ok() }).await;
    assert_eq!(get(&store, &key(1)).await.unwrap().value, "2");
    assert_eq!(cut(&mut feed).await.1, ["+d/1=2"]);
    let found = members(&store).await;
    assert_eq!(found.iter().filter(|member| member.healthy).count(), 2, "{found:?}");
    assert!(!found[leader].healthy && !found[leader].leader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_and_a_stopped_server_are_passed_over() {
    let (stopped, silent) = proxy();
    stopped.stall();
    let dead = format!("127.0.0.1:{}", kvdb_servers::ports::free(1).unwrap()[0]);
    let endpoints = [silent.clone(), dead.clone(), server().endpoints().remove(0)];
    let store = open_at(&endpoints, &ZooKeeperConfig::default()).await;
    let key = Key::from(format!("{}k", place()));
    drop(written(&store, vec![], put(&key, "1")).await);
    // Without any that answers, opening is Ok and calls say so.
    let none = open_at(&[dead, silent], &ZooKeeperConfig::default()).await;
    let error = tokio::time::timeout(SOON, none.get(&key, &Read::default())).await.expect("an answer").unwrap_err();
    assert_eq!((error.kind(), error.retry()), (&ErrorKind::Unavailable, kvdb_core::Retry::Safe));
    // Until it is told where the others are.
    let there = AdminRequest::SetEndpoints(server().endpoints());
    assert_eq!(none.admin(&there).await.unwrap(), AdminReply::Done);
    assert_eq!(none.admin(&AdminRequest::Endpoints).await.unwrap(), AdminReply::Endpoints(server().endpoints()));
    assert_eq!(get(&none, &key).await.unwrap().value, "1");
    for wrong in [vec![], vec!["https://h".to_owned()], vec!["a b".to_owned()]] {
        let refused = none.admin(&AdminRequest::SetEndpoints(wrong)).await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::InvalidConfig | ErrorKind::InvalidArgument), "{refused:?}");
    }
}

#[tokio::test]
async fn a_server_tells_its_version_and_takes_no_other_administration() {
    let endpoint = server().endpoints().remove(0);
    let version = (kvdb_zookeeper::FACTORY.version)(endpoint.clone(), Default::default()).await.unwrap();
    assert!(version.starts_with("3."), "{version}");
    let store = open().await;
    let found = members(&store).await;
    assert_eq!((found.len(), found[0].id.clone(), found[0].leader), (1, endpoint, true));
    for request in [AdminRequest::PromoteMember { id: 1 }, AdminRequest::RemoveUser { name: "x".into() }] {
        assert!(matches!(kind(store.admin(&request)).await, ErrorKind::Unsupported(_)), "{request:?}");
    }
}
