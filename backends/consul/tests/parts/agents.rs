use super::*;
use kvdb_core::Retry;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_gone_or_silent_is_left_for_the_next() {
    let ((one, first), (two, second)) = (proxy(), proxy());
    let store = open_at(&[first, second], &ConsulConfig::default()).await;
    let key = Key::from(format!("{}k", place()));
    drop(written(&store, vec![], put(&key, "1")).await);
    let asked = two.connections();
    assert_eq!(asked, 0, "one agent is kept as long as it answers");
    one.cut().unwrap();
    // A read first: a write on a connection that is being reset may be ambiguous.
    assert_eq!(get(&store, &key).await.unwrap().value, "1");
    drop(written(&store, vec![], put(&key, "2")).await);
    one.heal().unwrap();
    two.stall();
    assert_eq!(get(&store, &key).await.unwrap().value, "2", "a read asks the next when one is silent");
    drop(written(&store, vec![], put(&key, "3")).await);
    // A write that nobody answers is given up by its caller, which the next call then knows.
    two.heal().unwrap();
    one.stall();
    let batch = Batch { guards: vec![], ops: vec![put(&key, "4")] };
    let given_up = tokio::time::timeout(Duration::from_millis(1500), store.commit(&batch)).await;
    assert!(given_up.is_err());
    drop(written(&store, vec![], put(&key, "5")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_reached_opens_and_says_so_at_the_first_call() {
    let (proxy, address) = proxy();
    proxy.cut().unwrap();
    let store = open_at(&[address], &ConsulConfig::default()).await;
    let key = Key::from("k");
    let read = store.get(&key, &Read::default()).await.unwrap_err();
    let write = store.commit(&Batch { guards: vec![], ops: vec![put(&key, "1")] }).await.unwrap_err();
    for error in [read, write] {
        assert_eq!((error.kind(), error.retry()), (&ErrorKind::Unavailable, Retry::Safe), "{error:?}");
    }
}

#[tokio::test]
async fn the_endpoints_can_be_told_and_set() {
    use kvdb_core::{AdminReply, AdminRequest};
    let good = server().endpoints();
    let (dead, address) = proxy();
    dead.cut().unwrap();
    let store = open_at(std::slice::from_ref(&address), &ConsulConfig::default()).await;
    assert_eq!(kind(store.get(&"k".into(), &Read::default())).await, ErrorKind::Unavailable);
    let told = store.admin(&AdminRequest::Endpoints).await.unwrap();
    assert_eq!(told, AdminReply::Endpoints(vec![address]));
    let mixed = vec!["http://a".to_owned(), "https://b".to_owned()];
    assert_eq!(kind(store.admin(&AdminRequest::SetEndpoints(mixed))).await, ErrorKind::InvalidConfig);
    store.admin(&AdminRequest::SetEndpoints(good.clone())).await.unwrap();
    assert_eq!(store.admin(&AdminRequest::Endpoints).await.unwrap(), AdminReply::Endpoints(good));
    assert!(store.get(&"k".into(), &Read::default()).await.is_ok());
}

#[tokio::test]
async fn a_datacenter_can_be_named() {
    let key = Key::from(format!("{}k", place()));
    let named = |name: &str| ConsulConfig { datacenter: Some(name.into()), ..ConsulConfig::default() };
    let store = open_at(&server().endpoints(), &named("dc1")).await;
    let entry = written(&store, vec![], put(&key, "1")).await;
    assert_eq!(get(&store, &key).await, Some(entry));
    let nowhere = open_at(&server().endpoints(), &named("nowhere")).await;
    assert_eq!(kind(nowhere.get(&key, &Read::default())).await, ErrorKind::InvalidConfig);
    let batch = Batch { guards: vec![], ops: vec![put(&key, "2")] };
    assert_eq!(kind(nowhere.commit(&batch)).await, ErrorKind::InvalidConfig);
}
